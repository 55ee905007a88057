// The TDP MMU as the rest of KVM sees it: life of its data, invalidation by gfn range, by memslot, of everything; look-ups and iteration for
// audits. kernel: arch/x86/kvm/mmu/mmu.c, tdp_mmu.c (6.8).
import { LC_MEM_ATTR, LC_TDP_PAGES } from '../abi/classes';
import { KVM_ID, KVM_MMU_LOCK, KVM_TDP_ROOT, SLOT_BASE_GFN, SLOT_NPAGES } from '../abi/kvm';
import { PG_LEVEL_2M, PG_LEVEL_4K } from '../abi/snp';
import { PTRS_PER_2M } from '../abi/layout';
import { EV_UNMAP } from '../abi/trace';
import {
  KVM_SHARED_PAGES, LEAF_GFN, LEAF_LEVEL, LEAF_PFN, LEAF_PRIVATE, LEAF_SPTE, LEAF_WRITABLE, MMU_PAGES_LOCK, MMU_ROOTS, ROOT_NEXT, ROOT_TABLE,
  TDP_MAX_GFN,
} from '../abi/vcpu';
import { xaInit } from '../mm/xarray';
import { atomicLoad32, atomicLoad64, load32, load64, store32, store64 } from '../point';
import { rcuBarrier, rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { writeLock, writeUnlock } from '../sync/rwlock';
import { spinLockInit } from '../sync/spinlock';
import { traceBegin, traceEnd } from '../trace';
import { kvmMmuInvalidateBegin, kvmMmuInvalidateEnd, kvmMmuInvalidateRangeAdd } from './invalidate';
import { kvmFlushRemoteTlbs } from './requests';
import { tdpWalk, tdpWriteProtect } from './tdp-map';
import { tdpZapRootExclusive } from './tdp-remove';
import { tdpInvalidateAllRoots, tdpRootGet, tdpRootPut, tdpZapInvalidatedRoots } from './tdp-root';
import {
  SPTE_LARGE, SPTE_PRIVATE, SPTE_WRITABLE, spteIsPresent, sptePfn, spteTable, tdpEntry, tdpNextGfn,
} from './tdp-spte';
import { tdpZapLeafs } from './tdp-zap';
import { sharedDestroy } from './shared';

/** @context the VM is not visible yet. Returns 0. kernel: kvm_mmu_init_tdp_mmu(). */
export function tdpInit(kvm: usize): i32 {
  spinLockInit(kvm + MMU_PAGES_LOCK, LC_TDP_PAGES);
  xaInit(kvm + KVM_SHARED_PAGES, LC_MEM_ATTR);
  return 0;
}

/**
 * Frees all page tables and the process memory behind shared gfns.
 * @context the VM is being destroyed: its vCPUs are gone, nobody holds mmu_lock; sleeps. kernel: kvm_mmu_uninit_tdp_mmu().
 */
export function tdpDestroy(kvm: usize): void {
  writeLock(kvm + KVM_MMU_LOCK);
  tdpInvalidateAllRoots(kvm);
  writeUnlock(kvm + KVM_MMU_LOCK);
  tdpZapInvalidatedRoots(kvm);
  rcuBarrier();
  sharedDestroy(kvm);
}

/**
 * Zaps gfns [start, end) of a slot. Returns whether the caller has to flush TLBs.
 * @context mmu_lock for write, an invalidation open; with `mayBlock` drops and retakes the lock when somebody waits for it and the range is large.
 * kernel: kvm_unmap_gfn_range().
 */
export function kvmUnmapGfnRange(kvm: usize, slot: usize, start: u64, end: u64, mayBlock: bool): bool {
  const since = traceBegin();
  const flush = start < end && tdpZapLeafs(kvm, start, end, mayBlock);
  traceEnd(EV_UNMAP, since, load32(kvm + KVM_ID), start, end, flush ? 1 : 0);
  return flush;
}

/** Zaps gfns [start, end), whatever slots they are in. @context takes mmu_lock for write. kernel: kvm_zap_gfn_range(). */
export function kvmZapGfnRange(kvm: usize, start: u64, end: u64): void {
  if (start >= end) return;
  writeLock(kvm + KVM_MMU_LOCK);
  kvmMmuInvalidateBegin(kvm);
  kvmMmuInvalidateRangeAdd(kvm, start, end);
  if (tdpZapLeafs(kvm, start, end, true)) kvmFlushRemoteTlbs(kvm);
  kvmMmuInvalidateEnd(kvm);
  writeUnlock(kvm + KVM_MMU_LOCK);
}

/**
 * Makes all page tables obsolete and tears them down while new ones fill up. @context slots_lock held; takes mmu_lock for write, then for read.
 * kernel: kvm_mmu_zap_all_fast().
 */
export function kvmMmuZapAllFast(kvm: usize): void {
  writeLock(kvm + KVM_MMU_LOCK);
  // vCPUs are told under the lock: one that takes a fault now finds its root obsolete, and none keeps a translation of the old tables.
  tdpInvalidateAllRoots(kvm);
  writeUnlock(kvm + KVM_MMU_LOCK);
  tdpZapInvalidatedRoots(kvm);
}

/**
 * Drops every translation of a slot that is being deleted or moved. As in the kernel all slots lose theirs.
 * @context slots_lock held. kernel: kvm_arch_flush_shadow_memslot().
 */
export function kvmArchFlushShadowMemslot(kvm: usize, slot: usize): void { kvmMmuZapAllFast(kvm); }

/** Zaps everything in all roots, at once. @context takes mmu_lock for write. kernel: kvm_mmu_zap_all(), kvm_tdp_mmu_zap_all(). */
export function kvmMmuZapAll(kvm: usize): void {
  writeLock(kvm + KVM_MMU_LOCK);
  let root: usize = load32(kvm + MMU_ROOTS);
  while (root != 0) {
    tdpRootGet(root);
    tdpZapRootExclusive(kvm, root);
    const next: usize = load32(root + ROOT_NEXT);
    tdpRootPut(kvm, root);
    root = next;
  }
  writeUnlock(kvm + KVM_MMU_LOCK);
}

/** The address space behind the VM goes away. kernel: kvm_flush_shadow_all(). @context takes mmu_lock for write. */
export function kvmFlushShadowAll(kvm: usize): void { kvmMmuZapAll(kvm); }

/** Write-protects a slot for dirty logging and flushes. @context slots_lock; takes mmu_lock for write. kernel: kvm_mmu_slot_remove_write_access(). */
export function kvmMmuSlotRemoveWriteAccess(kvm: usize, slot: usize): void {
  const start = load64(slot + SLOT_BASE_GFN);
  const end = start + load64(slot + SLOT_NPAGES);
  writeLock(kvm + KVM_MMU_LOCK);
  const root: usize = load32(kvm + KVM_TDP_ROOT);
  let flush = false;
  for (let gfn = start; root != 0 && gfn < end; ) {
    gfn = nextPresent(load32(root + ROOT_TABLE), gfn);
    if (gfn >= end) break;
    if (tdpWriteProtect(kvm, load32(root + ROOT_TABLE), gfn)) flush = true;
    gfn = (tdpWalk(load32(root + ROOT_TABLE), gfn) & SPTE_LARGE) != 0 ? tdpNextGfn(gfn, 2) : gfn + 1;
  }
  if (flush) kvmFlushRemoteTlbs(kvm);
  writeUnlock(kvm + KVM_MMU_LOCK);
}

/** First gfn at or behind `gfn` that a leaf translates; TDP_MAX_GFN when there is none. */
function nextPresent(rootTable: usize, from: u64): u64 {
  let gfn = from;
  while (gfn < <u64>TDP_MAX_GFN) {
    let table = rootTable;
    let level = 4;
    let spte = atomicLoad64(tdpEntry(table, gfn, level));
    while (spteIsPresent(spte) && level > 1 && (spte & SPTE_LARGE) == 0) {
      table = spteTable(spte);
      level--;
      spte = atomicLoad64(tdpEntry(table, gfn, level));
    }
    if (spteIsPresent(spte)) return gfn;
    gfn = tdpNextGfn(gfn, level);
  }
  return <u64>TDP_MAX_GFN;
}

/** The present leaf of `gfn` in the current root, its pfn field that of the gfn itself; 0 when none. @context any. */
export function tdpLookup(kvm: usize, gfn: u64): u64 {
  rcuReadLock();
  const root: usize = atomicLoad32(kvm + KVM_TDP_ROOT);
  let spte = root == 0 ? <u64>0 : tdpWalk(load32(root + ROOT_TABLE), gfn);
  rcuReadUnlock();
  if ((spte & SPTE_LARGE) != 0) spte += (gfn & (PTRS_PER_2M - 1)) << 12;
  return spte;
}

/**
 * For audits: writes the first leaf at or behind `fromGfn` in the current root to `outp` (LEAF_*; a 2M leaf that begins before `fromGfn` counts)
 * and returns true; false at the end. Go on behind it: gfn + 1, or + 512 for a 2M leaf. @context RCU section, mmu_lock or a VM at rest.
 */
export function tdpNextLeaf(kvm: usize, fromGfn: u64, outp: usize): bool {
  const root: usize = atomicLoad32(kvm + KVM_TDP_ROOT);
  if (root == 0) return false;
  const table: usize = load32(root + ROOT_TABLE);
  const gfn = nextPresent(table, fromGfn);
  if (gfn >= <u64>TDP_MAX_GFN) return false;
  const spte = tdpWalk(table, gfn);
  if (spte == 0) return tdpNextLeaf(kvm, gfn + 1, outp); // gone since, on a VM that is not at rest
  const large = (spte & SPTE_LARGE) != 0;
  store64(outp + LEAF_GFN, large ? gfn & ~(<u64>PTRS_PER_2M - 1) : gfn);
  store32(outp + LEAF_PFN, sptePfn(spte));
  store32(outp + LEAF_LEVEL, large ? PG_LEVEL_2M : PG_LEVEL_4K);
  store64(outp + LEAF_SPTE, spte);
  store32(outp + LEAF_PRIVATE, (spte & SPTE_PRIVATE) != 0 ? 1 : 0);
  store32(outp + LEAF_WRITABLE, (spte & SPTE_WRITABLE) != 0 ? 1 : 0);
  return true;
}
