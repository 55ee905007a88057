// Boot: lays the shard's tables out in linear memory from the geometry in the header. Hosts differ in it alone, whether they have 64 pages or
// 512 GiB. Nothing here touches a table whose pages should stay uncommitted.
import {
  LOCK_ASID, LOCK_FILE_LIST, LOCK_KVM, LOCK_SNP_LEAKED, PTRS_PER_2M, SHARD_MAGIC, SH_BOOTED, SH_MAGIC, SH_PAGES, SH_PARTITIONS,
  SH_PARTITION_COUNT, SH_PFN_COUNT, SH_REGIONS, SH_RMP,
} from './abi/layout';
import { LC_ASID, LC_FILE_LIST, LC_KVM_LOCK, LC_LEAKED } from './abi/classes';
import { ENOMEM } from './abi/errno';
import { PARTITION_SIZE, REGION_SIZE } from './abi/mm';
import { bootHeap, place, placeTasks } from './boot-core';
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

/**
 * Boots the shard whose geometry the host has written into the header; the caller becomes task 0. Returns 0, or -ENOMEM when the
 * tables do not fit into the linear memory.
 * @context one thread, before any other.
 */
export function bootKernel(): i32 {
  const pfnCount = <u64>load32(SH_PFN_COUNT);
  const regionCount = (pfnCount + PTRS_PER_2M - 1) / PTRS_PER_2M;
  placeTasks();
  place(SH_PARTITIONS, <u64>load32(SH_PARTITION_COUNT) * PARTITION_SIZE);
  place(SH_REGIONS, regionCount * REGION_SIZE);
  place(SH_PAGES, pfnCount * PAGE_STRUCT_SIZE);
  // The RMP covers whole 2M regions: the entry that tells a page's size is the one of its 2M-aligned PFN.
  place(SH_RMP, regionCount * PTRS_PER_2M * RMP_ENTRY_SIZE);
  if (!bootHeap()) return -ENOMEM;
  spinLockInit(LOCK_SNP_LEAKED, LC_LEAKED);
  mutexInit(LOCK_KVM, LC_KVM_LOCK);
  mutexInit(LOCK_FILE_LIST, LC_FILE_LIST);
  mutexInit(LOCK_ASID, LC_ASID);
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
