// What every boot begins with: the tables of tasks and names, the heap behind all tables, and the locks of the layers below the modelled kernel.
// A program of the explorer (control/program.ts) has nothing else; bootKernel adds the host.
import {
  HEAP_FIRST, LOCK_HEAP, LOCK_NAMES, LOCK_RCU_GP, LOCK_VMALLOC, SH_END, SH_HEAP_END, SH_HEAP_NEXT, SH_MAX_TASKS, SH_MEMORY_END_PAGES, SH_NAMES, SH_NAMES_MAX,
  SH_TASKS, TASK_SIZE,
} from './abi/layout';
import { LC_HEAP, LC_NAMES, LC_RCU_GP, LC_VMALLOC } from './abi/classes';
import { NAME_SIZE } from './abi/names';
import { load32, store32 } from './point';
import { spinLockInit } from './sync/spinlock';
import { mutexInit } from './sync/mutex';

const DEFAULT_NAMES: u32 = 4096;

let cursor: u64 = 0; // only while the shard boots, on one thread

/** Gives a table of `bytes` its place and notes the address in the header's `word`. @context boot. */
export function place(word: usize, bytes: u64): void {
  store32(word, <u32>cursor);
  cursor = (cursor + bytes + 127) & ~(<u64>127);
}

/** Places the first tables. @context boot, one thread. */
export function placeTasks(): void {
  cursor = SH_END;
  place(SH_TASKS, <u64>load32(SH_MAX_TASKS) * TASK_SIZE);
  if (load32(SH_NAMES_MAX) == 0) store32(SH_NAMES_MAX, DEFAULT_NAMES);
  place(SH_NAMES, <u64>load32(SH_NAMES_MAX) * NAME_SIZE);
}

/** Starts the heap behind the last table, with the locks it needs. False: the tables do not fit. @context boot, one thread. */
export function bootHeap(): bool {
  const end = <u64>load32(SH_MEMORY_END_PAGES) * 65536;
  if (cursor + 65536 > end) return false;
  store32(SH_HEAP_NEXT, <u32>cursor);
  store32(HEAP_FIRST, <u32>cursor);
  store32(SH_HEAP_END, <u32>min<u64>(end, 0xfffff000));
  spinLockInit(LOCK_HEAP, LC_HEAP);
  spinLockInit(LOCK_VMALLOC, LC_VMALLOC);
  spinLockInit(LOCK_NAMES, LC_NAMES);
  mutexInit(LOCK_RCU_GP, LC_RCU_GP);
  return true;
}
