// Encrypted regions: memory of the VMM that an SEV guest uses, pinned while it is registered. kernel: arch/x86/kvm/svm/sev.c
// sev_mem_enc_register_region(), sev_mem_enc_unregister_region(); the list and its checks: lib/list_debug.c.
import { EINVAL, ENOMEM } from '../abi/errno';
import { KVM_ENC_REGIONS, KVM_LOCK } from '../abi/kvm';
import { OOPS_LIST_CORRUPT, OOPS_USE_AFTER_FREE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { V_B52, V_B53 } from '../abi/variants';
import { kfree, kzalloc } from '../heap';
import { oops } from '../oops';
import { atomicLoad32, atomicStore32, cpuRelax, load32, loadStatic32, loadStatic64, oraclesOn, store32, store64, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';

// struct enc_region, and the list head in struct kvm: {next u32, prev u32}, 0 in a head that was never used.
const NEXT: usize = 0;
const PREV: usize = 4;
const MAGIC: usize = 8;
const START: usize = 16; // u64 first page of the VMM's address space
const PAGES: usize = 24; // u64
const REGION_SIZE: usize = 32;
const REGION_LIVE: u32 = 0x6e676572; // "regn"

// @ts-ignore: decorator
@inline
function checkLink(holds: bool, entry: usize, neighbour: usize): void {
  if (oraclesOn() && !holds) oops(ORACLE_KERNEL_BUG, OOPS_LIST_CORRUPT, <f64>entry, <f64>neighbour);
}

/** kernel: list_add_tail(). */
function addTail(entry: usize, head: usize): void {
  if (load32(head + NEXT) == 0) {
    store32(head + NEXT, <u32>head);
    store32(head + PREV, <u32>head);
  }
  const last: usize = atomicLoad32(head + PREV);
  checkLink(load32(last + NEXT) == <u32>head, entry, last);
  store32(head + PREV, <u32>entry);
  store32(entry + NEXT, <u32>head);
  store32(entry + PREV, <u32>last);
  atomicStore32(last + NEXT, <u32>entry); // WRITE_ONCE
}

/** kernel: list_del(). */
function remove(entry: usize): void {
  const next: usize = load32(entry + NEXT);
  const prev: usize = load32(entry + PREV);
  checkLink(load32(prev + NEXT) == <u32>entry, entry, prev);
  checkLink(load32(next + PREV) == <u32>entry, entry, next);
  store32(next + PREV, <u32>prev);
  store32(prev + NEXT, <u32>next);
}

function checkAlive(region: usize): void {
  if (oraclesOn() && loadStatic32(region + MAGIC) != REGION_LIVE) oops(ORACLE_KERNEL_BUG, OOPS_USE_AFTER_FREE, <f64>region, <f64>REGION_LIVE);
}

/** Writes back what the caches hold of the region's pages: the guest encrypts them from now on. @context the region cannot go. kernel: sev_clflush_pages(). */
function clflushPages(region: usize): void {
  for (let page: u64 = 0; ; page++) {
    checkAlive(region);
    if (page >= loadStatic64(region + PAGES)) return;
    cpuRelax();
  }
}

/**
 * KVM_MEMORY_ENCRYPT_REG_REGION of pages [start, start + pages) of the VMM. 0, -ENOMEM.
 * @context sleeps; takes kvm->lock: for the list (B52), and until the flush is done, because the region can be unregistered as soon as it is on it (B53).
 */
export function sevRegisterRegion(kvm: usize, start: u64, pages: u64): i32 {
  const region = kzalloc(REGION_SIZE);
  if (region == 0) return -ENOMEM;
  store32(region + MAGIC, REGION_LIVE);
  store64(region + START, start);
  store64(region + PAGES, pages);
  if (!variant(V_B52)) mutexLock(kvm + KVM_LOCK);
  addTail(region, kvm + KVM_ENC_REGIONS);
  if (variant(V_B53)) mutexUnlock(kvm + KVM_LOCK);
  clflushPages(region);
  if (!variant(V_B52) && !variant(V_B53)) mutexUnlock(kvm + KVM_LOCK);
  return 0;
}

/** The region that begins at page `start`, 0: none. @context kvm->lock. kernel: find_enc_region(). */
function find(kvm: usize, start: u64): usize {
  const head = kvm + KVM_ENC_REGIONS;
  for (let region: usize = load32(head + NEXT); region != 0 && region != head; region = loadStatic32(region + NEXT)) {
    if (loadStatic64(region + START) == start) return region;
  }
  return 0;
}

/** @context kvm->lock, or nobody else uses the VM. */
function free(region: usize): void {
  remove(region);
  store32(region + MAGIC, 0);
  kfree(region, REGION_SIZE);
}

/** KVM_MEMORY_ENCRYPT_UNREG_REGION. 0, -EINVAL. @context sleeps; takes kvm->lock. */
export function sevUnregisterRegion(kvm: usize, start: u64): i32 {
  mutexLock(kvm + KVM_LOCK);
  const region = find(kvm, start);
  if (region != 0) free(region);
  mutexUnlock(kvm + KVM_LOCK);
  return region != 0 ? 0 : -EINVAL;
}

/** @context the VM is being destroyed. kernel: sev_vm_destroy(). */
export function sevFreeRegions(kvm: usize): void {
  const head = kvm + KVM_ENC_REGIONS;
  while (load32(head + NEXT) != 0 && load32(head + NEXT) != <u32>head) free(load32(head + NEXT));
}
