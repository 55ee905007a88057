// Names of places in the state: what the kernel itself has named (`vm0.mmu_lock`), entries of its big tables (`rmp[0x12]`, `page[0x12].refcount`, `vm0.spte[0x8]`),
// slots of XArrays, members of tasks; and what sort of word it is, so that a report can say what its value means.
import * as layout from '../kernel/abi/layout.js';
import { globalLockName, objectName } from '../host/names.js';
import type { Shard } from '../host/shard.js';
import { tableName } from './page-table-names.js';

/**
 * What the value of a word is made of: `rmp` the first word of an RMP entry, `rmp-head` that of a 2M region's first page, `xarray` an entry, `lock` the word of a spinlock
 * or mutex; `lock-waiters` and `rwlock-waiters` the byte of a lock's word that its release looks at.
 */
export type WordSort =
  | 'rmp'
  | 'rmp-head'
  | 'rmp-use'
  | 'page'
  | 'spte'
  | 'lock'
  | 'lock-waiters'
  | 'rwlock'
  | 'rwlock-waiters'
  | 'rwsem'
  | 'xarray'
  | 'other';

/** A place, by name, and what is there. */
export interface StateWord {
  name: string;
  sort: WordSort;
}

/** What names are read from. */
export type Named = Pick<Shard, 'buffer' | 'words'>;

/** Of an XArray node (src/kernel/mm/xarray-node.ts). */
const NODE = { align: 64, bytes: 320, shift: 0, offset: 4, parent: 12, xa: 16, slots: 64 };
const XARRAYS = /(?:i_pages|bindings|mem_attr_array|shared_pages)$/;
const XARRAY_PARTS = /^(.*\.(?:i_pages|bindings|mem_attr_array|shared_pages))(\+0x(?:10|14))?$/;
/** By offset: src/kernel/mm/xarray-node.ts. */
const XARRAY_MEMBERS: Record<string, string> = { '': 'xa_lock', '+0x10': 'xa_head', '+0x14': 'xa_marks' };
/** Locks by the ends of their names. */
const LOCKS: [RegExp, WordSort][] = [
  [/\.mmu_lock$/, 'rwlock'],
  [/\.(?:rm\.lock|mmap_lock)$/, 'rwsem'],
  [/\.(?:(?:slots|slots_arch|device|mn_invalidate|tdp_mmu_pages|notifiers|xa)_lock|mutex)$/, 'lock'],
  [/^(?:vm|partition)\d+\.lock$/, 'lock'],
];
/** The byte behind the one that says who holds a lock: src/kernel/sync/word.ts, rwlock.ts. */
const WAITERS = 1;
/** In a rwlock and a rwsem: src/kernel/sync/rwlock.ts, rwsem.ts. */
const WAIT_LOCK = 16;
const RMP_ENTRY = 16;
const PAGE_STRUCT = 8;
const HEADER_WORDS = new Map<number, string>(
  Object.entries(layout)
    .filter(([name, value]) => name.startsWith('SH_') && value >= layout.SHARD && value < layout.SH_TEST)
    .map(([name, value]) => [value, name.slice(3).toLowerCase()]),
);

/** The name of an address; threads are tasks 1, 2, ... */
export function stateName(state: Named, threads: readonly string[], address: number): string {
  return stateWord(state, threads, address).name;
}

/** What is at an address; threads are tasks 1, 2, ... */
export function stateWord(state: Named, threads: readonly string[], address: number): StateWord {
  const word = (at: number): number => state.words[at / 4]! >>> 0;
  const within = (table: number, size: number): boolean => table !== 0 && address >= table && address < table + size;
  const pfns = word(layout.SH_PFN_COUNT);
  const rmp = word(layout.SH_RMP);
  if (within(rmp, Math.ceil(pfns / layout.PTRS_PER_2M) * layout.PTRS_PER_2M * RMP_ENTRY)) {
    const pfn = Math.floor((address - rmp) / RMP_ENTRY);
    if ((address - rmp) % RMP_ENTRY >= RMP_ENTRY / 2) return { name: `rmp[${hex(pfn)}].hi`, sort: 'rmp-use' };
    return { name: `rmp[${hex(pfn)}]`, sort: pfn % layout.PTRS_PER_2M === 0 ? 'rmp-head' : 'rmp' };
  }
  const pages = word(layout.SH_PAGES);
  if (within(pages, pfns * PAGE_STRUCT)) {
    const page = `page[${hex(Math.floor((address - pages) / PAGE_STRUCT))}]`;
    const isCount = (address - pages) % PAGE_STRUCT < 4;
    return isCount ? { name: `${page}.refcount`, sort: 'page' } : { name: `${page}.content`, sort: 'other' };
  }
  const tasks = word(layout.SH_TASKS);
  if (within(tasks, word(layout.SH_MAX_TASKS) * layout.TASK_SIZE)) {
    const task = Math.floor((address - tasks) / layout.TASK_SIZE);
    const owner = threads[task - 1] ?? 'set-up';
    return { name: `${owner}.${taskMember((address - tasks) % layout.TASK_SIZE)}`, sort: 'other' };
  }
  const object = lockPart(state, address) ?? objectWord(state, address);
  const global = object.name.startsWith('0x') ? HEADER_WORDS.get(address) : undefined;
  return global === undefined ? object : { name: global, sort: 'other' };
}

/** The inside of a lock, if the address lies in one: the byte of its waiters, the lock of its queue. */
function lockPart(state: Named, address: number): StateWord | undefined {
  if (address % 4 === WAITERS) {
    const { name, sort } = lockPart(state, address - WAITERS) ?? objectWord(state, address - WAITERS);
    if (sort === 'lock' || sort === 'rwlock') return { name: `${name} waiters`, sort: `${sort}-waiters` };
  }
  if (address % 4 === 0 && address >= WAIT_LOCK) {
    const { name, sort } = objectWord(state, address - WAIT_LOCK);
    if (sort === 'rwlock' || sort === 'rwsem') return { name: `${name}.wait_lock`, sort: 'lock' };
  }
  return undefined;
}

/** Objects, what hangs from them, and the parts of an XArray that lies in one. */
function objectWord(state: Named, address: number): StateWord {
  const slot = nodeName(state, address);
  if (slot !== undefined) return { name: slot, sort: slot.endsWith(']') ? 'xarray' : 'other' };
  const name = objectName(state, address);
  const table = name.startsWith('0x') ? tableName(state, address) : undefined;
  if (table !== undefined) return table;
  if (globalLockName(address) === name) return { name, sort: 'lock' };
  const [, array, part] = XARRAY_PARTS.exec(name) ?? [];
  const member = array === undefined ? undefined : XARRAY_MEMBERS[part ?? ''];
  const full = member === undefined ? name : `${array}.${member}`;
  if (member === 'xa_head') return { name: full, sort: 'xarray' };
  return { name: full, sort: LOCKS.find(([names]) => names.test(full))?.[1] ?? 'other' };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
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
function nodeName(state: Named, address: number): string | undefined {
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
