// Boot: lays the shard's tables out in linear memory from the geometry in the header. Geometry is data: the same code boots a 512 GiB host
// and a host of 64 pages. Nothing here touches a table whose pages should stay uncommitted.
import {
  LOCK_ASID, LOCK_FILE_LIST, LOCK_HEAP, LOCK_KVM, LOCK_NAMES, LOCK_RCU_GP, LOCK_SNP_LEAKED, LOCK_VMALLOC, PTRS_PER_2M, SHARD_MAGIC, SH_BOOTED, SH_END,
  SH_HEAP_END, SH_HEAP_NEXT, SH_MAGIC, SH_MAX_TASKS, SH_MEMORY_END_PAGES, SH_NAMES, SH_NAMES_MAX, SH_PAGES, SH_PARTITIONS,
  SH_PARTITION_COUNT, SH_PFN_COUNT, SH_REGIONS, SH_RMP, SH_TASKS, TASK_SIZE,
} from './abi/layout';
import { LC_ASID, LC_FILE_LIST, LC_HEAP, LC_KVM_LOCK, LC_LEAKED, LC_NAMES, LC_RCU_GP, LC_VMALLOC } from './abi/classes';
import { ENOMEM } from './abi/errno';
import { NAME_SIZE } from './abi/names';
import { PARTITION_SIZE, REGION_SIZE } from './abi/mm';
import { atomicStore32, load32, store32 } from './point';
import { spinLockInit } from './sync/spinlock';
import { mutexInit } from './sync/mutex';
import { syncInit } from './sync/init';
import { taskBind } from './task';
import { pageAllocInit } from './mm/page';
import { rmpInit } from './snp/rmp';
import { fanoutInit } from './program/fanout';
import { kvmInit } from './kvm/vm';

const PAGE_STRUCT_SIZE: u64 = 8;
const RMP_ENTRY_SIZE: u64 = 16;

let cursor: u64 = 0; // only while bootKernel runs, on one thread

function place(word: usize, bytes: u64): void {
  store32(word, <u32>cursor);
  cursor = (cursor + bytes + 127) & ~(<u64>127);
}

/**
 * Boots the shard whose geometry the host has written into the header; the caller becomes task 0. Returns 0, or -ENOMEM when the
 * tables do not fit into the linear memory.
 * @context one thread, before any other.
 */
export function bootKernel(): i32 {
  const pfnCount = <u64>load32(SH_PFN_COUNT);
  const regionCount = (pfnCount + PTRS_PER_2M - 1) / PTRS_PER_2M;
  cursor = SH_END;
  place(SH_TASKS, <u64>load32(SH_MAX_TASKS) * TASK_SIZE);
  if (load32(SH_NAMES_MAX) == 0) store32(SH_NAMES_MAX, 4096);
  place(SH_NAMES, <u64>load32(SH_NAMES_MAX) * NAME_SIZE);
  place(SH_PARTITIONS, <u64>load32(SH_PARTITION_COUNT) * PARTITION_SIZE);
  place(SH_REGIONS, regionCount * REGION_SIZE);
  place(SH_PAGES, pfnCount * PAGE_STRUCT_SIZE);
  // The RMP covers whole 2M regions: the entry that tells a page's size is the one of its 2M-aligned PFN.
  place(SH_RMP, regionCount * PTRS_PER_2M * RMP_ENTRY_SIZE);
  const end = <u64>load32(SH_MEMORY_END_PAGES) * 65536;
  if (cursor + 65536 > end) return -ENOMEM;
  store32(SH_HEAP_NEXT, <u32>cursor);
  store32(SH_HEAP_END, <u32>min<u64>(end, 0xfffff000));
  initGlobalLocks();
  taskBind(0);
  const error = syncInit();
  if (error != 0) return error;
  pageAllocInit();
  fanoutInit();
  rmpInit();
  kvmInit();
  store32(SH_MAGIC, SHARD_MAGIC);
  atomicStore32(SH_BOOTED, 1);
  return 0;
}

function initGlobalLocks(): void {
  spinLockInit(LOCK_HEAP, LC_HEAP);
  spinLockInit(LOCK_VMALLOC, LC_VMALLOC);
  spinLockInit(LOCK_NAMES, LC_NAMES);
  spinLockInit(LOCK_SNP_LEAKED, LC_LEAKED);
  mutexInit(LOCK_KVM, LC_KVM_LOCK);
  mutexInit(LOCK_FILE_LIST, LC_FILE_LIST);
  mutexInit(LOCK_RCU_GP, LC_RCU_GP);
  mutexInit(LOCK_ASID, LC_ASID);
}
