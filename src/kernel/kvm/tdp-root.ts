// Roots of the TDP MMU. A VM has one valid root at most; vCPUs share it by reference. A memslot update makes it obsolete: the root is marked
// invalid at once (no fault maps into it any more), vCPUs are told to let go, and its tables are torn down while faults already fill a new one.
// kernel: arch/x86/kvm/mmu/tdp_mmu.c kvm_tdp_mmu_get_vcpu_root_hpa(), kvm_tdp_mmu_put_root(), kvm_tdp_mmu_invalidate_all_roots() (6.8).
import { EIO, ENOMEM } from '../abi/errno';
import { KVM_BUGGED, KVM_ID, KVM_MMU_LOCK, KVM_TDP_ROOT } from '../abi/kvm';
import { OOPS_DEAD_ROOT, OOPS_FREED_ROOT, ORACLE_KERNEL_BUG, ORACLE_STALE_MAPPING } from '../abi/oops';
import { V_B32 } from '../abi/variants';
import {
  KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, MMU_PAGES_LOCK, MMU_ROOTS, MMU_VALID_GEN, ROOT_FREED, ROOT_GEN, ROOT_INVALID, ROOT_NEXT, ROOT_REFS, ROOT_SCHEDULED,
  ROOT_SIZE, ROOT_STATE, ROOT_TABLE, VCPU_KVM, VCPU_ROOT, VCPU_ROOT_TABLE,
} from '../abi/vcpu';
import { kfree, kzalloc } from '../heap';
import {
  atomicAdd32, atomicAnd32, atomicCas32, atomicLoad32, atomicLoadNear32, atomicOr32, atomicStore32, atomicSub32, load32, load64, oraclesOn, store32, variant,
} from '../point';
import { oops } from '../oops';
import { kfreeRcu } from '../sync/rcu';
import { readLock, readUnlock, writeLock, writeUnlock } from '../sync/rwlock';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { kvmMakeAllCpusRequest } from './requests';
import { tlbFlush } from './tlb';
import { tdpAllocTable, TDP_ENTRIES, tdpFreeTable } from './tdp-spte';
import { tdpZapRootShared } from './tdp-remove';

/** Whether the root is no longer the one that faults may map into. @context any; decisive under mmu_lock. kernel: is_obsolete_root(). */
// @ts-ignore: decorator
@inline
export function tdpRootObsolete(root: usize): bool { return (atomicLoadNear32(root + ROOT_STATE) & ROOT_INVALID) != 0; }

/** @context mmu_lock held in either mode, or a reference held already. */
// @ts-ignore: decorator
@inline
export function tdpRootGet(root: usize): void { atomicAdd32(root + ROOT_REFS, 1); }

/** A reference unless the last one is gone. kernel: kvm_tdp_mmu_get_root(). */
function rootGetUnlessZero(root: usize): bool {
  let refs = atomicLoad32(root + ROOT_REFS);
  while (refs != 0) {
    const seen = atomicCas32(root + ROOT_REFS, refs, refs + 1);
    if (seen == refs) return true;
    refs = seen;
  }
  return false;
}

/** A root is torn down before its last reference goes; what a fault has mapped into it since (B29) would be lost with all its tables. */
function checkEmpty(kvm: usize, table: usize): void {
  for (let n: usize = 0; n < TDP_ENTRIES; n++) {
    if (load64(table + (n << 3)) != 0) oops(ORACLE_STALE_MAPPING, OOPS_DEAD_ROOT, load32(kvm + KVM_ID), <f64>(<u64>n << 27));
  }
}

/** Drops a reference; the last one frees the root, whose entries are gone by then. @context mmu_lock held in either mode. kernel: kvm_tdp_mmu_put_root(). */
export function tdpRootPut(kvm: usize, root: usize): void {
  if (atomicSub32(root + ROOT_REFS, 1) != 1) return;
  spinLock(kvm + MMU_PAGES_LOCK);
  let link: usize = kvm + MMU_ROOTS;
  while (load32(link) != <u32>root) link = <usize>load32(link) + ROOT_NEXT;
  store32(link, load32(root + ROOT_NEXT));
  spinUnlock(kvm + MMU_PAGES_LOCK);
  if (oraclesOn()) {
    checkEmpty(kvm, load32(root + ROOT_TABLE));
    atomicOr32(root + ROOT_STATE, ROOT_FREED);
  }
  tdpFreeTable(kvm, load32(root + ROOT_TABLE));
  kfreeRcu(root, ROOT_SIZE);
}

/** Makes a root, valid, with the MMU's own reference. @context mmu_lock held for write. Returns 0 when out of memory. */
function makeRoot(kvm: usize): usize {
  const root = kzalloc(ROOT_SIZE);
  if (root == 0) return 0;
  const table = tdpAllocTable(kvm);
  if (table == 0) {
    kfree(root, ROOT_SIZE);
    return 0;
  }
  store32(root + ROOT_TABLE, <u32>table);
  store32(root + ROOT_GEN, load32(kvm + MMU_VALID_GEN));
  atomicStore32(root + ROOT_REFS, 1);
  spinLock(kvm + MMU_PAGES_LOCK);
  store32(root + ROOT_NEXT, load32(kvm + MMU_ROOTS));
  store32(kvm + MMU_ROOTS, <u32>root);
  spinUnlock(kvm + MMU_PAGES_LOCK);
  atomicStore32(kvm + KVM_TDP_ROOT, <u32>root);
  return root;
}

/**
 * Gives the vCPU a valid root and an empty TLB. 0, -ENOMEM, or -EIO for a VM that is bugged.
 * @context vcpu->mutex, outside guest mode; takes mmu_lock for write. kernel: kvm_mmu_load().
 */
export function kvmMmuLoad(vcpu: usize): i32 {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  if (atomicLoad32(kvm + KVM_BUGGED) != 0) return -EIO;
  writeLock(kvm + KVM_MMU_LOCK);
  let root: usize = load32(kvm + KVM_TDP_ROOT);
  if (root == 0) root = makeRoot(kvm);
  if (root != 0) tdpRootGet(root);
  writeUnlock(kvm + KVM_MMU_LOCK);
  if (root == 0) return -ENOMEM;
  store32(vcpu + VCPU_ROOT_TABLE, load32(root + ROOT_TABLE));
  store32(vcpu + VCPU_ROOT, <u32>root);
  tlbFlush(vcpu);
  return 0;
}

/** Lets go of the vCPU's root. @context vcpu->mutex, outside guest mode; takes mmu_lock for write. kernel: kvm_mmu_free_roots(). */
export function kvmMmuUnload(vcpu: usize): void {
  const root: usize = load32(vcpu + VCPU_ROOT);
  if (root == 0) return;
  const kvm: usize = load32(vcpu + VCPU_KVM);
  store32(vcpu + VCPU_ROOT, 0);
  store32(vcpu + VCPU_ROOT_TABLE, 0);
  writeLock(kvm + KVM_MMU_LOCK);
  tdpRootPut(kvm, root);
  writeUnlock(kvm + KVM_MMU_LOCK);
}

/** KVM_REQ_MMU_FREE_OBSOLETE_ROOTS. @context vcpu->mutex, outside guest mode. kernel: kvm_mmu_free_obsolete_roots(). */
export function kvmMmuFreeObsoleteRoots(vcpu: usize): void {
  const root: usize = load32(vcpu + VCPU_ROOT);
  if (root != 0 && tdpRootObsolete(root)) kvmMmuUnload(vcpu);
}

/**
 * Makes every root obsolete: vCPUs load a new one before they enter the guest again, faults on their way find theirs stale.
 * @context mmu_lock held for write. kernel: kvm_mmu_zap_all_fast() up to the unlock.
 */
export function tdpInvalidateAllRoots(kvm: usize): void {
  store32(kvm + MMU_VALID_GEN, load32(kvm + MMU_VALID_GEN) + 1);
  for (let root: usize = load32(kvm + MMU_ROOTS); root != 0; root = load32(root + ROOT_NEXT)) {
    if (!tdpRootObsolete(root)) atomicOr32(root + ROOT_STATE, ROOT_INVALID | ROOT_SCHEDULED);
  }
  atomicStore32(kvm + KVM_TDP_ROOT, 0);
  kvmMakeAllCpusRequest(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, true);
}

/**
 * The root behind `previous` (0: the first) with a reference, and without that of `previous`: taken first, so that the list cannot be cut off under
 * the walker (B32). 0 at the end. @context mmu_lock held for read. kernel: tdp_mmu_next_root().
 */
function nextRoot(kvm: usize, previous: usize): usize {
  if (variant(V_B32) && previous != 0) tdpRootPut(kvm, previous);
  // The walker is no RCU reader: without a reference nothing keeps the root for it.
  if (oraclesOn() && previous != 0 && (atomicLoad32(previous + ROOT_STATE) & ROOT_FREED) != 0) {
    oops(ORACLE_KERNEL_BUG, OOPS_FREED_ROOT, load32(kvm + KVM_ID), <f64>previous);
  }
  spinLock(kvm + MMU_PAGES_LOCK);
  let root: usize = load32(previous == 0 ? kvm + MMU_ROOTS : previous + ROOT_NEXT);
  while (root != 0 && !rootGetUnlessZero(root)) root = load32(root + ROOT_NEXT);
  spinUnlock(kvm + MMU_PAGES_LOCK);
  if (previous != 0 && !variant(V_B32)) tdpRootPut(kvm, previous);
  return root;
}

/**
 * Tears down the roots that tdpInvalidateAllRoots has marked and drops the MMU's reference to them.
 * @context takes mmu_lock for read, lets go of it between pieces. kernel: kvm_tdp_mmu_zap_invalidated_roots().
 */
export function tdpZapInvalidatedRoots(kvm: usize): void {
  readLock(kvm + KVM_MMU_LOCK);
  for (let root = nextRoot(kvm, 0); root != 0; root = nextRoot(kvm, root)) {
    if ((atomicAnd32(root + ROOT_STATE, ~ROOT_SCHEDULED) & ROOT_SCHEDULED) == 0) continue;
    tdpZapRootShared(kvm, root);
    tdpRootPut(kvm, root);
  }
  readUnlock(kvm + KVM_MMU_LOCK);
}

