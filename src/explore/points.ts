// Which accesses are points: fills the map that the kernel looks at before it calls the scheduler.
import { LC_MAX } from '../kernel/abi/classes.js';
import * as control from '../kernel/abi/control.js';
import * as layout from '../kernel/abi/layout.js';
import { GRAPH_ROW_SIZE } from '../kernel/abi/sync.js';
import { NAME_SIZE } from '../kernel/abi/names.js';
import type { MachineMemory } from './memory.js';
import type { PointSet } from './target.js';

/** The table of chains is 64 bytes in this build (src/kernel/sync/lockdep-chain.ts), the graph lies behind it. */
const LOCK_GRAPH_BYTES = 64 + LC_MAX * GRAPH_ROW_SIZE;

/**
 * Fills the map. A task's own memory is not shared: its plain accesses are never points. Neither is what the checkers keep (names, the lock-order graph,
 * records of violations): the modelled kernel does not read it. `racy`: addresses of words whose plain accesses are points, too.
 */
export function setPoints({ map, words }: MachineMemory, points: PointSet, racy: Iterable<number> = []): void {
  const word = (address: number): number => words[address / 4]! >>> 0;
  const silence = (start: number, bytes: number): void => void map.fill(0, start >> 2, (start + bytes + 3) >> 2);
  map.fill(points === 'all' ? control.MAP_PLAIN | control.MAP_ATOMIC : control.MAP_ATOMIC);
  const tasks = word(layout.SH_TASKS);
  map.fill(control.MAP_ATOMIC, tasks >> 2, (tasks + word(layout.SH_MAX_TASKS) * layout.TASK_SIZE) >> 2);
  silence(word(layout.SH_NAMES), word(layout.SH_NAMES_MAX) * NAME_SIZE);
  silence(layout.LOCK_NAMES, 64);
  silence(layout.SH_OOPS_COUNT, 4);
  silence(layout.SH_OOPS, layout.OOPS_MAX * layout.OOPS_SIZE);
  if (word(layout.SH_LOCKDEP) !== 0) silence(word(layout.SH_LOCKDEP), LOCK_GRAPH_BYTES);
  for (const address of racy) map[address >> 2]! |= control.MAP_PLAIN;
}
