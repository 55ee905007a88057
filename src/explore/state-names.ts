// Names of places in the state: what the kernel itself has named (`vm0.mmu_lock`), entries of its big tables (`rmp[0x12].lo`, `page[0x12]`), members of tasks.
import * as layout from '../kernel/abi/layout.js';
import { objectName } from '../host/names.js';
import type { Shard } from '../host/shard.js';

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
    return `${owner}.task+0x${((address - tasks) % layout.TASK_SIZE).toString(16)}`;
  }
  return HEADER_WORDS.get(address) ?? objectName(state, address);
}
