// Walking and filling the nested page tables: the CPU's walk, the fault path's installation of a leaf, the lock-free repair of a write-protected one.
// kernel: arch/x86/kvm/mmu/tdp_mmu.c kvm_tdp_mmu_map(), tdp_mmu_map_handle_target_level(), mmu.c fast_page_fault() (6.8).
import { ENOMEM } from '../abi/errno';
import { KVM_ID } from '../abi/kvm';
import { OOPS_SPTE_PFN_CHANGED, ORACLE_STALE_MAPPING } from '../abi/oops';
import { TDP_MAX_GFN } from '../abi/vcpu';
import { oops } from '../oops';
import { atomicCas64, atomicLoad64, atomicLoadNear64, load32 } from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { kvmFlushRemoteTlbs } from './requests';
import { tdpRemoveTable, tdpZapSpteAtomic } from './tdp-remove';
import {
  makeTableSpte, noteDirty, SPTE_DIRTY, SPTE_FROZEN, SPTE_LARGE, SPTE_MMU_WRITABLE, SPTE_PRIVATE, SPTE_WRITABLE, spteIsLeaf, spteIsPresent, spteIsTable, sptePfn, spteTable, tdpAllocTable,
  tdpEntry, tdpFreeUnusedTable, TDP_ROOT_LEVEL,
} from './tdp-spte';

// What a fault ended with. kernel: enum RET_PF_*; values above 0 make KVM_RUN go on, 0 and errors (negative) return to user space.
export const RET_PF_EMULATE_MMIO: i32 = 0;
export const RET_PF_FIXED: i32 = 1;
export const RET_PF_SPURIOUS: i32 = 2;
export const RET_PF_RETRY: i32 = 3;
export const RET_PF_RETRY_STALE: i32 = 4; // ours: RETRY because of an invalidation, which oracle 9 watches

/**
 * The leaf that translates `gfn`, 0 when there is none: the walk of the CPU. @context guest mode (a flush drives the walk out before tables are
 * freed), an RCU section, or mmu_lock.
 */
// @ts-ignore: decorator
@inline
export function tdpWalk(rootTable: usize, gfn: u64): u64 {
  if (gfn >= <u64>TDP_MAX_GFN) return 0;
  let spte = atomicLoad64(tdpEntry(rootTable, gfn, 4));
  if (!spteIsPresent(spte)) return 0;
  spte = atomicLoad64(tdpEntry(spteTable(spte), gfn, 3));
  if (!spteIsPresent(spte)) return 0;
  spte = atomicLoad64(tdpEntry(spteTable(spte), gfn, 2));
  if (!spteIsPresent(spte)) return 0;
  if ((spte & SPTE_LARGE) != 0) return spte;
  spte = atomicLoad64(tdpEntry(spteTable(spte), gfn, 1));
  return spteIsPresent(spte) ? spte : 0;
}

/** Address of the entry of `gfn`'s leaf, 0 when a table is missing. @context RCU section or mmu_lock. */
function leafEntry(rootTable: usize, gfn: u64): usize {
  let table = rootTable;
  for (let level = TDP_ROOT_LEVEL; level > 1; level--) {
    const sptep = tdpEntry(table, gfn, level);
    const spte = atomicLoad64(sptep);
    if (!spteIsPresent(spte)) return 0;
    if (spteIsLeaf(spte, level)) return sptep;
    table = spteTable(spte);
  }
  return tdpEntry(table, gfn, 1);
}

/**
 * Installs `spte` (a leaf of level `goal`) for `gfn`. RET_PF_FIXED; SPURIOUS when it is there already; RETRY when another CPU was faster at some
 * entry; -ENOMEM.
 * @context mmu_lock for read, after the stale check. kernel: kvm_tdp_mmu_map().
 */
export function tdpMap(kvm: usize, rootTable: usize, gfn: u64, spte: u64, goal: i32): i32 {
  rcuReadLock();
  let table = goal == 1 ? lowestTable(rootTable, gfn) : 0;
  if (table == 0) table = tableAt(kvm, rootTable, gfn, goal);
  const ret = table == RETRY ? RET_PF_RETRY : table == 0 ? -ENOMEM : setLeaf(kvm, tdpEntry(table, gfn, goal), spte, goal);
  rcuReadUnlock();
  return ret;
}

const RETRY: usize = 1;

/** The table of level 1 for `gfn` where the way down to it is there, else 0: the common case, without a loop. @context as tdpMap, RCU section. */
// @ts-ignore: decorator
@inline
function lowestTable(rootTable: usize, gfn: u64): usize {
  let spte = atomicLoadNear64(tdpEntry(rootTable, gfn, 4));
  if (!spteIsTable(spte)) return 0;
  spte = atomicLoad64(tdpEntry(spteTable(spte), gfn, 3));
  if (!spteIsTable(spte)) return 0;
  spte = atomicLoad64(tdpEntry(spteTable(spte), gfn, 2));
  return spteIsTable(spte) ? spteTable(spte) : 0;
}

/** The table of level `goal` for `gfn`, made if it is missing; RETRY, or 0 when out of memory. @context as tdpMap, RCU section. */
function tableAt(kvm: usize, rootTable: usize, gfn: u64, goal: i32): usize {
  let table = rootTable;
  for (let level = TDP_ROOT_LEVEL; level > goal; level--) {
    const sptep = tdpEntry(table, gfn, level);
    const spte = atomicLoad64(sptep);
    if (spteIsPresent(spte) && !spteIsLeaf(spte, level)) {
      table = spteTable(spte);
      continue;
    }
    table = linkTable(kvm, sptep, spte);
    if (table <= RETRY) return table;
  }
  return table;
}

/** Puts an empty table into an entry that is empty, or holds a larger leaf, which goes first. Returns it, RETRY or 0. */
function linkTable(kvm: usize, sptep: usize, spte: u64): usize {
  if (spte == SPTE_FROZEN) return RETRY;
  if (spte != 0 && !tdpZapSpteAtomic(kvm, sptep, spte)) return RETRY;
  const table = tdpAllocTable(kvm);
  if (table == 0) return 0;
  if (atomicCas64(sptep, 0, makeTableSpte(table)) == 0) return table;
  tdpFreeUnusedTable(kvm, table);
  return RETRY;
}

/** kernel: tdp_mmu_map_handle_target_level(), handle_changed_spte(). @context as tdpMap, RCU section. */
// @ts-ignore: decorator
@inline
function setLeaf(kvm: usize, sptep: usize, spte: u64, level: i32): i32 {
  const old = atomicLoadNear64(sptep);
  if (old == 0) return atomicCas64(sptep, 0, spte) == 0 ? RET_PF_FIXED : RET_PF_RETRY;
  return replaceLeaf(kvm, sptep, old, spte, level);
}

function replaceLeaf(kvm: usize, sptep: usize, old: u64, spte: u64, level: i32): i32 {
  if (old == SPTE_FROZEN) return RET_PF_RETRY;
  if (!spteIsPresent(old)) return RET_PF_RETRY;
  if (spteIsLeaf(old, level)) {
    // Two pages for one gfn without an invalidation in between: the kernel stops here (BUG()), for whoever owned the old page now has it mapped.
    if (sptePfn(old) != sptePfn(spte)) oops(ORACLE_STALE_MAPPING, OOPS_SPTE_PFN_CHANGED, load32(kvm + KVM_ID), <f64>sptePfn(old), <f64>sptePfn(spte));
    if (old == spte || ((old & SPTE_WRITABLE) != 0 && (spte & SPTE_WRITABLE) == 0)) return RET_PF_SPURIOUS;
    return atomicCas64(sptep, old, spte) == old ? RET_PF_FIXED : RET_PF_RETRY;
  }
  // A 2M leaf over a table: the small entries, if any, map the same pages, but a CPU that walks in the old table must be gone before it is freed.
  if (atomicCas64(sptep, old, spte) != old) return RET_PF_RETRY;
  tdpRemoveTable(kvm, spteTable(old), level - 1, true);
  kvmFlushRemoteTlbs(kvm);
  return RET_PF_FIXED;
}

/**
 * Makes a leaf writable again that was only write-protected for dirty logging; false when that is not the reason for the fault. The exchange names
 * the whole old value, and a gfn's entry keeps its meaning while it is unchanged, so an entry that came back means the same (B43).
 * @context none; takes an RCU section. kernel: fast_page_fault().
 */
export function tdpFastPageFault(rootTable: usize, gfn: u64, isPrivate: bool): bool {
  rcuReadLock();
  const sptep = leafEntry(rootTable, gfn);
  let fixed = false;
  if (sptep != 0) {
    const spte = atomicLoad64(sptep);
    // A private access to a shared page, or the reverse, is not for the page tables to cure.
    if (spteIsPresent(spte) && ((spte & SPTE_PRIVATE) != 0) == isPrivate) {
      if ((spte & SPTE_WRITABLE) != 0) fixed = true;
      else if ((spte & SPTE_MMU_WRITABLE) != 0) fixed = atomicCas64(sptep, spte, spte | SPTE_WRITABLE | SPTE_DIRTY) == spte;
    }
  }
  rcuReadUnlock();
  return fixed;
}

/** Removes write access from one leaf but keeps MMU-writable, so that the next write goes the fast way. @context mmu_lock. */
export function tdpWriteProtect(kvm: usize, rootTable: usize, gfn: u64): bool {
  const sptep = leafEntry(rootTable, gfn);
  if (sptep == 0) return false;
  let spte = atomicLoad64(sptep);
  while ((spte & SPTE_WRITABLE) != 0) {
    const seen = atomicCas64(sptep, spte, spte & ~(SPTE_WRITABLE | SPTE_DIRTY));
    if (seen == spte) {
      noteDirty(kvm, spte);
      return true;
    }
    spte = seen;
  }
  return false;
}
