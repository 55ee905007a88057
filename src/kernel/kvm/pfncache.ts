// The gfn_to_pfn cache: where a page that the guest named lies in the host, so that the kernel can write to it at once (Xen's shared info, steal time). It keeps no reference:
// the MMU notifier marks it invalid before the page goes. kernel: virt/kvm/pfncache.c hva_to_pfn_retry(), kvm_gpc_check(), gfn_to_pfn_cache_invalidate_start() (6.8).
//
//   gpc->lock (rwlock)          read: use of a valid cache; write: valid, pfn, where it points
//   gpc->refresh_lock (mutex)   one refresh at a time; taken before gpc->lock
// Order: kvm->srcu, refresh_lock, gpc->lock, mn_invalidate_lock. One cache a VM is enough here.
import { EEXIST, EFAULT, ENOMEM } from '../abi/errno';
import { LC_GPC, LC_GPC_REFRESH } from '../abi/classes';
import {
  GPC_GENERATION, GPC_GFN, GPC_HVA, GPC_LOCK, GPC_PFN, GPC_REFRESH_LOCK, GPC_SIZE, GPC_VALID, KVM_GPC, KVM_ID, KVM_INVALIDATE_IN_PROGRESS, KVM_INVALIDATE_SEQ, KVM_MN_ACTIVE, KVM_MN_LOCK,
  KVM_SRCU,
} from '../abi/kvm';
import { NO_PFN, PAGE_SHIFT } from '../abi/layout';
import { OOPS_STALE_CACHE, ORACLE_STALE_MAPPING } from '../abi/oops';
import { V_B36 } from '../abi/variants';
import { kfree, kzalloc } from '../heap';
import { pageRefcount, putPage, setPageContent, setPageDirty } from '../mm/page';
import { oops } from '../oops';
import { atomicLoad32, atomicLoad64, cpuRelax, load32, load64, oraclesOn, store32, store64, variant } from '../point';
import { mutexInit, mutexLock, mutexUnlock } from '../sync/mutex';
import { readLock, readUnlock, rwlockInit, writeLock, writeUnlock } from '../sync/rwlock';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { gfnToMemslot, kvmMemslotsGeneration, slotHva } from './memslots';
import { sharedGetPfn } from './shared';

/**
 * Points the VM's cache at a shared gfn; it is valid afterwards. 0; -EEXIST when there is one; -EFAULT without a memslot; -ENOMEM.
 * @context sleeps; takes kvm->srcu, the cache's locks. kernel: kvm_gpc_activate().
 */
export function kvmGpcActivate(kvm: usize, gfn: u64): i32 {
  const gpc = kzalloc(GPC_SIZE);
  if (gpc == 0) return -ENOMEM;
  rwlockInit(gpc + GPC_LOCK, LC_GPC);
  mutexInit(gpc + GPC_REFRESH_LOCK, LC_GPC_REFRESH);
  store64(gpc + GPC_GFN, gfn);
  // Under the notifier's lock: a start that does not see the cache is seen by its first refresh.
  spinLock(kvm + KVM_MN_LOCK);
  const exists = load32(kvm + KVM_GPC) != 0;
  if (!exists) store32(kvm + KVM_GPC, <u32>gpc);
  spinUnlock(kvm + KVM_MN_LOCK);
  if (!exists) return gpcRefresh(kvm, gpc);
  kfree(gpc, GPC_SIZE);
  return -EEXIST;
}

/** @context the VM is being destroyed. */
export function kvmGpcFree(kvm: usize): void {
  const gpc: usize = load32(kvm + KVM_GPC);
  if (gpc != 0) kfree(gpc, GPC_SIZE);
}

/** Whether the cache may be used. @context kvm->srcu, gpc->lock in either mode. kernel: kvm_gpc_check(). */
function gpcCheck(kvm: usize, gpc: usize): bool {
  return load32(gpc + GPC_VALID) != 0 && load64(gpc + GPC_GENERATION) == kvmMemslotsGeneration(kvm, 0);
}

/**
 * The kernel writes `token` to the cached page, after a refresh if it has to. 0; -EFAULT without a cache or a memslot; -ENOMEM.
 * @context sleeps; takes kvm->srcu, the cache's locks. kernel: as kvm_xen_update_runstate_guest() does.
 */
export function kvmGpcWrite(kvm: usize, token: u32): i32 {
  const gpc: usize = load32(kvm + KVM_GPC);
  if (gpc == 0) return -EFAULT;
  let ret: i32 = 0;
  while (ret == 0) {
    const idx = srcuReadLock(kvm + KVM_SRCU);
    readLock(gpc + GPC_LOCK);
    const valid = gpcCheck(kvm, gpc);
    if (valid) writeCached(kvm, gpc, token);
    readUnlock(gpc + GPC_LOCK);
    srcuReadUnlock(kvm + KVM_SRCU, idx);
    if (valid) return 0;
    ret = gpcRefresh(kvm, gpc);
  }
  return ret;
}

/** Oracle 2: a valid cache never points to a page that has gone: its notifier call waits for gpc->lock first. @context gpc->lock for read. */
function writeCached(kvm: usize, gpc: usize, token: u32): void {
  const pfn = load32(gpc + GPC_PFN);
  if (oraclesOn() && pageRefcount(pfn) == 0) oops(ORACLE_STALE_MAPPING, OOPS_STALE_CACHE, load32(kvm + KVM_ID), <f64>load64(gpc + GPC_GFN), <f64>pfn);
  setPageContent(pfn, token);
  setPageDirty(pfn);
}

/** Makes the cache valid again. 0, -EFAULT, -ENOMEM. @context sleeps; takes kvm->srcu, refresh_lock, gpc->lock. kernel: __kvm_gpc_refresh(). */
function gpcRefresh(kvm: usize, gpc: usize): i32 {
  const idx = srcuReadLock(kvm + KVM_SRCU);
  mutexLock(gpc + GPC_REFRESH_LOCK);
  writeLock(gpc + GPC_LOCK);
  const gfn = load64(gpc + GPC_GFN);
  const slot = gfnToMemslot(kvm, 0, gfn);
  let ret: i32 = -EFAULT;
  if (slot == 0) {
    store32(gpc + GPC_VALID, 0);
  } else {
    store64(gpc + GPC_GENERATION, kvmMemslotsGeneration(kvm, 0));
    store64(gpc + GPC_HVA, slotHva(slot, gfn));
    ret = hvaToPfnRetry(kvm, gpc, slot, gfn);
  }
  writeUnlock(gpc + GPC_LOCK);
  mutexUnlock(gpc + GPC_REFRESH_LOCK);
  srcuReadUnlock(kvm + KVM_SRCU, idx);
  return ret;
}

/**
 * Looks the page up, outside the lock, until no notifier call was open meanwhile: only then is the cache valid. Its reference is dropped at once: from now on the notifier
 * minds the cache.
 * @context refresh_lock; gpc->lock for write, dropped and taken again. kernel: hva_to_pfn_retry() with 58cd407ca4c6.
 */
function hvaToPfnRetry(kvm: usize, gpc: usize, slot: usize, gfn: u64): i32 {
  store32(gpc + GPC_VALID, 0);
  while (true) {
    const seq = atomicLoad64(kvm + KVM_INVALIDATE_SEQ);
    writeUnlock(gpc + GPC_LOCK);
    const pfn = sharedGetPfn(slot, gfn);
    writeLock(gpc + GPC_LOCK);
    if (pfn == <u32>NO_PFN) return -ENOMEM;
    if (!retryCache(kvm, seq)) {
      store32(gpc + GPC_PFN, pfn);
      store32(gpc + GPC_VALID, 1);
      putPage(pfn);
      return 0;
    }
    putPage(pfn);
    cpuRelax();
  }
  return 0;
}

/**
 * Whether the page that was looked up may be on its way out. mmu_invalidate_in_progress says it too late (B36): the notifier passes the caches before it raises that, and does
 * not come back. The count of open calls is raised before, and lowered when the sequence has risen.
 * @context gpc->lock for write. kernel: mmu_notifier_retry_cache().
 */
function retryCache(kvm: usize, seq: u64): bool {
  if (variant(V_B36)) return atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS) != 0 || atomicLoad64(kvm + KVM_INVALIDATE_SEQ) != seq;
  spinLock(kvm + KVM_MN_LOCK);
  const active = load32(kvm + KVM_MN_ACTIVE);
  spinUnlock(kvm + KVM_MN_LOCK);
  return active != 0 || atomicLoad64(kvm + KVM_INVALIDATE_SEQ) != seq;
}

/**
 * The host takes [hvaStart, hvaEnd) away: a cache that points there is invalid from now on, and who uses it has done so.
 * @context a notifier call that has been counted, before mmu_lock; takes gpc->lock. kernel: gfn_to_pfn_cache_invalidate_start().
 */
export function gfnToPfnCacheInvalidateStart(gpc: usize, hvaStart: u64, hvaEnd: u64): void {
  writeLock(gpc + GPC_LOCK);
  const hva = load64(gpc + GPC_HVA);
  if (load32(gpc + GPC_VALID) != 0 && hva < hvaEnd && hva + ((<u64>1) << PAGE_SHIFT) > hvaStart) store32(gpc + GPC_VALID, 0);
  writeUnlock(gpc + GPC_LOCK);
}
