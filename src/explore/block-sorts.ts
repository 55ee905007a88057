// What the blocks of a machine's memory hold, so that what no later step reads (stacks above their tops, signs of life) can be left out of its state.
import * as control from '../kernel/abi/control.js';
import * as layout from '../kernel/abi/layout.js';
import type { MachineMemory } from './memory.js';

/** Address of the task that an address lies in. */
function taskOf(tasks: number, address: number): number {
  return address - ((address - tasks) % layout.TASK_SIZE);
}

/** By block of memory (address >> BLOCK_SHIFT): what it holds. @context the tasks have their places. */
export function blockSorts({ words, stateEnd }: MachineMemory): Uint8Array {
  const sorts = new Uint8Array(stateEnd >>> control.BLOCK_SHIFT);
  const tasks = words[layout.SH_TASKS / 4]! >>> 0;
  const end = tasks + words[layout.SH_MAX_TASKS / 4]! * layout.TASK_SIZE;
  for (let at = tasks; at < end; at += control.BLOCK_SIZE) {
    const inside = at - taskOf(tasks, at);
    if (inside === 0) sorts[at >>> control.BLOCK_SHIFT] = control.SORT_TASK;
    else if (inside >= layout.TASK_STACK && inside < layout.TASK_STACK_END)
      sorts[at >>> control.BLOCK_SHIFT] = control.SORT_STACK;
  }
  return sorts;
}
