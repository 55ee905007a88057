// Names of places in the state: what the kernel itself has named (`vm0.mmu_lock`), entries of its big tables (`rmp[0x12].lo`, `page[0x12]`), members of tasks.
import * as layout from '../kernel/abi/layout.js';
import { objectName } from '../host/names.js';
import type { Shard } from '../host/shard.js';

/** Of an XArray node (src/kernel/mm/xarray-node.ts). */
const NODE = { align: 64, bytes: 320, shift: 0, offset: 4, parent: 12, xa: 16, slots: 64 };
const XARRAYS = /(?:i_pages|bindings|mem_attr_array)$/;
const RMP_ENTRY = 16;
const PAGE_STRUCT = 8;
const HEADER_WORDS = new Map<number, string>(
  Object.entries(layout)
    .filter(([name, value]) => name.startsWith('SH_') && value >= layout.SHARD && value < layout.SH_TEST)
    .map(([name, value]) => [value, name.slice(3).toLowerCase()]),
);

/** The name of an address; threads are tasks 1, 2, ... */
export function stateName(state: Pick<Shard, 'buffer' | 'words'>, threads: readonly string[], address: number): string {
  const word = (at: number): number => state.words[at / 4]! >>> 0;
  const within = (table: number, size: number): boolean => table !== 0 && address >= table && address < table + size;
  const pfns = word(layout.SH_PFN_COUNT);
  const rmp = word(layout.SH_RMP);
  if (within(rmp, Math.ceil(pfns / layout.PTRS_PER_2M) * layout.PTRS_PER_2M * RMP_ENTRY)) {
    const half = (address - rmp) % RMP_ENTRY < RMP_ENTRY / 2 ? 'lo' : 'hi';
    return `rmp[0x${Math.floor((address - rmp) / RMP_ENTRY).toString(16)}].${half}`;
  }
  const pages = word(layout.SH_PAGES);
  if (within(pages, pfns * PAGE_STRUCT)) {
    const member = (address - pages) % PAGE_STRUCT < 4 ? 'refcount' : 'content';
    return `page[0x${Math.floor((address - pages) / PAGE_STRUCT).toString(16)}].${member}`;
  }
  const tasks = word(layout.SH_TASKS);
  if (within(tasks, word(layout.SH_MAX_TASKS) * layout.TASK_SIZE)) {
    const task = Math.floor((address - tasks) / layout.TASK_SIZE);
    const owner = threads[task - 1] ?? 'set-up';
    return `${owner}.${taskMember((address - tasks) % layout.TASK_SIZE)}`;
  }
  return HEADER_WORDS.get(address) ?? nodeName(state, address) ?? objectName(state, address);
}

const TASK_MEMBERS = new Map<number, string>(
  Object.entries(layout)
    .filter(([name, value]) => name.startsWith('TASK_') && value > layout.TASK_CPU && value < layout.TASK_HELD_BOTTOM)
    .map(([name, value]) => [value, name.slice(5).toLowerCase()]),
);

function taskMember(offset: number): string {
  if (offset >= layout.TASK_STACK && offset < layout.TASK_STACK_END)
    return `stack+0x${(offset - layout.TASK_STACK).toString(16)}`;
  return `task.${TASK_MEMBERS.get(offset) ?? `+0x${offset.toString(16)}`}`;
}

/** `file0.memfd.i_pages[0x3]`, when the address lies in a node of an XArray that has a name. */
function nodeName(state: Pick<Shard, 'buffer' | 'words'>, address: number): string | undefined {
  const word = (at: number): number => state.words[at / 4]! >>> 0;
  const first = address - (address % NODE.align);
  for (let node = first; node > first - NODE.bytes && node > 0; node -= NODE.align) {
    const xa = word(node + NODE.xa);
    if (xa === 0 || xa % 4 !== 0 || address >= node + NODE.bytes || xa >= state.buffer.byteLength) continue;
    const name = objectName(state, xa);
    if (!XARRAYS.test(name)) continue;
    if (address < node + NODE.slots) return `${name} node+0x${(address - node).toString(16)}`;
    let index = ((address - node - NODE.slots) / 4) * 2 ** word(node + NODE.shift);
    for (let at = node; word(at + NODE.parent) !== 0; at = word(at + NODE.parent))
      index += word(at + NODE.offset) * 2 ** word(word(at + NODE.parent) + NODE.shift);
    return `${name}[0x${index.toString(16)}]`;
  }
  return undefined;
}
