// Taking page tables out of the tree: one entry atomically, a whole subtree, a whole root.
// kernel: arch/x86/kvm/mmu/tdp_mmu.c handle_removed_pt(), tdp_mmu_zap_spte_atomic(), tdp_mmu_zap_root() (6.8).
//
// `shared` says in which mode the caller holds mmu_lock. Shared: other faults walk the same tables at the same time, so every entry of a removed
// table, empty ones too, is frozen first: a fault that still stands in the table cannot install anything that nobody would find again.
import { KVM_ID, KVM_MMU_LOCK } from '../abi/kvm';
import { OOPS_LEAF_OF_FREE_PAGE, ORACLE_STALE_MAPPING } from '../abi/oops';
import { MMU_YIELDS, ROOT_TABLE, TDP_MAX_GFN } from '../abi/vcpu';
import { pageRefcount } from '../mm/page';
import { oops } from '../oops';
import {
  atomicAdd32, atomicCas64, atomicLoad64, atomicStore64, atomicXchg64, cpuRelax, load32, load64, oraclesOn, store64,
} from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { readLock, readUnlock, rwlockNeedbreak, writeLock, writeUnlock } from '../sync/rwlock';
import { heartbeat } from '../task';
import { kvmFlushRemoteTlbs } from './requests';
import { noteDirty, SPTE_FROZEN, spteIsLeaf, spteIsPresent, sptePfn, spteTable, tdpEntry, tdpFreeTable, TDP_ENTRIES, tdpNextGfn } from './tdp-spte';

/**
 * Clears a leaf that stands in the way while others may fault on it: frozen, flushed, then 0, so that whoever installs next does so after the flush.
 * False when the entry has changed. @context mmu_lock for read, RCU section. kernel: tdp_mmu_zap_spte_atomic().
 */
export function tdpZapSpteAtomic(kvm: usize, sptep: usize, spte: u64): bool {
  if (atomicCas64(sptep, spte, SPTE_FROZEN) != spte) return false;
  kvmFlushRemoteTlbs(kvm);
  atomicStore64(sptep, 0);
  return true;
}

/** Takes the entry's value and leaves FROZEN. In shared mode someone else may have frozen it: he is about to write 0. */
// @ts-ignore: decorator
@inline
function freeze(sptep: usize, shared: bool): u64 {
  if (!shared) {
    const spte = load64(sptep);
    store64(sptep, SPTE_FROZEN);
    return spte;
  }
  let spte = atomicXchg64(sptep, SPTE_FROZEN);
  while (spte == SPTE_FROZEN) {
    cpuRelax();
    spte = atomicXchg64(sptep, SPTE_FROZEN);
  }
  return spte;
}

/** Whoever gives a page away has to zap all roots first, the invalid ones too (B31): a leaf that still stands names a page in use. */
function checkLeaf(kvm: usize, spte: u64): void {
  const pfn = sptePfn(spte);
  if (pageRefcount(pfn) == 0) oops(ORACLE_STALE_MAPPING, OOPS_LEAF_OF_FREE_PAGE, load32(kvm + KVM_ID), <f64>pfn);
}

/**
 * Empties and frees a table of `level` that no entry points to any more.
 * @context mmu_lock, RCU section; TLBs still to be flushed before that section ends. kernel: handle_removed_pt().
 */
export function tdpRemoveTable(kvm: usize, table: usize, level: i32, shared: bool): void {
  for (let n: u32 = 0; n < TDP_ENTRIES; n++) {
    const spte = freeze(table + (<usize>n << 3), shared);
    if (!spteIsPresent(spte)) continue;
    if (spteIsLeaf(spte, level)) {
      if (oraclesOn()) checkLeaf(kvm, spte);
      noteDirty(kvm, spte);
    }
    else tdpRemoveTable(kvm, spteTable(spte), level - 1, shared);
  }
  tdpFreeTable(kvm, table);
}

/** Clears one entry with all that is below it. @context mmu_lock, RCU section. */
function zapEntry(kvm: usize, sptep: usize, level: i32, shared: bool): void {
  let spte = atomicLoad64(sptep);
  while (spte != 0) {
    const seen = spte == SPTE_FROZEN ? 0 : atomicCas64(sptep, spte, 0);
    if (seen == spte) break;
    cpuRelax();
    spte = atomicLoad64(sptep);
  }
  if (spteIsPresent(spte) && !spteIsLeaf(spte, level)) tdpRemoveTable(kvm, spteTable(spte), level - 1, shared);
}

/** Lets waiters of mmu_lock through. What was removed is flushed first where CPUs may still use it. @context mmu_lock, RCU section: both renewed. */
function yieldLock(kvm: usize, shared: bool): void {
  if (!shared) kvmFlushRemoteTlbs(kvm);
  rcuReadUnlock();
  const lock = kvm + KVM_MMU_LOCK;
  if (shared) {
    readUnlock(lock);
    heartbeat();
    readLock(lock);
  } else {
    writeUnlock(lock);
    heartbeat();
    writeLock(lock);
  }
  atomicAdd32(kvm + MMU_YIELDS, 1);
  rcuReadLock();
}

/**
 * Empties a root, 1G at a time and then the rest. Each step starts from the root: while the lock was free somebody else may have removed tables.
 * @context mmu_lock (let go of between pieces), a reference to the root. kernel: tdp_mmu_zap_root().
 */
function zapRoot(kvm: usize, root: usize, shared: bool): void {
  const table: usize = load32(root + ROOT_TABLE);
  rcuReadLock();
  for (let gfn: u64 = 0; gfn < <u64>TDP_MAX_GFN; ) {
    const spte = atomicLoad64(tdpEntry(table, gfn, 4));
    if (!spteIsPresent(spte)) {
      gfn = tdpNextGfn(gfn, 4);
      continue;
    }
    zapEntry(kvm, tdpEntry(spteTable(spte), gfn, 3), 3, shared);
    gfn = tdpNextGfn(gfn, 3);
    if (rwlockNeedbreak(kvm + KVM_MMU_LOCK)) yieldLock(kvm, shared);
  }
  for (let n: u32 = 0; n < TDP_ENTRIES; n++) zapEntry(kvm, table + (<usize>n << 3), 4, shared);
  // In shared mode the root is invalid and every vCPU has left it: no TLB, no walk knows it any more.
  if (!shared) kvmFlushRemoteTlbs(kvm);
  rcuReadUnlock();
}

/** Empties an invalid root. @context mmu_lock for read, let go of between pieces; a reference to the root. */
export function tdpZapRootShared(kvm: usize, root: usize): void { zapRoot(kvm, root, true); }

/** Empties a root that may be in use. @context mmu_lock for write, let go of between pieces; a reference to the root. */
export function tdpZapRootExclusive(kvm: usize, root: usize): void { zapRoot(kvm, root, false); }
