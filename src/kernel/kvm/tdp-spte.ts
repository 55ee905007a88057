// Shadow page-table entries of the TDP MMU in the format that the nested walk of an AMD CPU reads, and the pages they lie in.
// kernel: arch/x86/kvm/mmu/spte.h, mmu/tdp_iter.h (6.8). A page-table page is kernel memory of 4 KiB; the entry above it holds its kernel
// address where a leaf holds a pfn (struct page frames are not modelled for kernel memory).
//
// Who may change an entry: a writer of mmu_lock by plain stores; readers of mmu_lock, the lockless fast page fault and the CPU's walk (accessed,
// dirty) by compare-and-exchange only. FROZEN belongs to whoever wrote it.
import {
  MMU_TABLES, SPTE_ACCESSED_BIT, SPTE_DIRTY_BIT, SPTE_FROZEN_VALUE, SPTE_LARGE_BIT, SPTE_MMU_WRITABLE_BIT, SPTE_PFN_SHIFT, SPTE_PRESENT_BIT,
  SPTE_PRIVATE_BIT, SPTE_USER_BIT, SPTE_WRITABLE_BIT, SPT_TABLE_SIZE,
} from '../abi/vcpu';
import { KVM_PROCESS } from '../abi/kvm';
import { kfree, kzalloc } from '../heap';
import { setPageDirty } from '../mm/page';
import { atomicAdd32, atomicSub32, load32 } from '../point';
import { kfreeRcu } from '../sync/rcu';

export const SPTE_PRESENT: u64 = (<u64>1) << SPTE_PRESENT_BIT;
export const SPTE_WRITABLE: u64 = (<u64>1) << SPTE_WRITABLE_BIT;
export const SPTE_USER: u64 = (<u64>1) << SPTE_USER_BIT;
export const SPTE_ACCESSED: u64 = (<u64>1) << SPTE_ACCESSED_BIT;
export const SPTE_DIRTY: u64 = (<u64>1) << SPTE_DIRTY_BIT;
export const SPTE_LARGE: u64 = (<u64>1) << SPTE_LARGE_BIT;
export const SPTE_MMU_WRITABLE: u64 = (<u64>1) << SPTE_MMU_WRITABLE_BIT;
export const SPTE_PRIVATE: u64 = (<u64>1) << SPTE_PRIVATE_BIT;
export const SPTE_ADDRESS_MASK: u64 = 0x000ffffffffff000;
export const SPTE_FROZEN: u64 = SPTE_FROZEN_VALUE;
/** With these set nobody but a holder of mmu_lock changes the entry: no bit of it can get lost in a plain store. */
export const SPTE_STABLE: u64 = SPTE_WRITABLE | SPTE_ACCESSED | SPTE_DIRTY;

export const TDP_ROOT_LEVEL: i32 = 4;
export const TDP_ENTRIES: u32 = 512;

/** log2 of the gfns that one entry of a level stands for. */
// @ts-ignore: decorator
@inline
export function tdpShift(level: i32): u64 { return <u64>(9 * (level - 1)); }

/** Address of the entry for `gfn` in a table of `level`. */
// @ts-ignore: decorator
@inline
export function tdpEntry(table: usize, gfn: u64, level: i32): usize {
  return table + ((<usize>(gfn >> tdpShift(level)) & 511) << 3);
}

/** First gfn behind the entry of `level` that covers `gfn`. */
// @ts-ignore: decorator
@inline
export function tdpNextGfn(gfn: u64, level: i32): u64 {
  return ((gfn >> tdpShift(level)) + 1) << tdpShift(level);
}

// @ts-ignore: decorator
@inline
export function spteIsPresent(spte: u64): bool { return (spte & SPTE_PRESENT) != 0; }
/** A leaf at this level; of a present entry. kernel: is_last_spte(). */
// @ts-ignore: decorator
@inline
export function spteIsLeaf(spte: u64, level: i32): bool { return level == 1 || (spte & SPTE_LARGE) != 0; }
/** Page of a leaf (of a large one the first). kernel: spte_to_pfn(). */
// @ts-ignore: decorator
@inline
export function sptePfn(spte: u64): u32 { return <u32>((spte & SPTE_ADDRESS_MASK) >> SPTE_PFN_SHIFT); }
/** Whether an entry above the lowest level points to a table. */
// @ts-ignore: decorator
@inline
export function spteIsTable(spte: u64): bool { return (spte & (SPTE_PRESENT | SPTE_LARGE)) == SPTE_PRESENT; }
/** The table below a present non-leaf entry. */
// @ts-ignore: decorator
@inline
export function spteTable(spte: u64): usize { return <usize>((spte & SPTE_ADDRESS_MASK) >> SPTE_PFN_SHIFT); }

/**
 * A leaf. Accessed and dirty are set at once, as make_spte() does: the CPU need not write the entry at the first access.
 * kernel: make_spte().
 */
// @ts-ignore: decorator
@inline
export function makeSpte(pfn: u32, level: i32, writable: bool, isPrivate: bool): u64 {
  return SPTE_PRESENT | SPTE_USER | SPTE_ACCESSED | (<u64>pfn << SPTE_PFN_SHIFT)
    | (level > 1 ? SPTE_LARGE : <u64>0)
    | (writable ? SPTE_WRITABLE | SPTE_DIRTY | SPTE_MMU_WRITABLE : <u64>0)
    | (isPrivate ? SPTE_PRIVATE : <u64>0);
}

/** kernel: make_nonleaf_spte(). */
// @ts-ignore: decorator
@inline
export function makeTableSpte(table: usize): u64 {
  return SPTE_PRESENT | SPTE_WRITABLE | SPTE_USER | SPTE_ACCESSED | (<u64>table << SPTE_PFN_SHIFT);
}

/**
 * A leaf of a VM goes or becomes read-only: that the guest has written through it must be known to whoever reclaims the page. Asked of VMs with a process only;
 * private pages have none. @context mmu_lock: the page is still the process's. kernel: kvm_set_pfn_dirty() in handle_changed_spte().
 */
// @ts-ignore: decorator
@inline
export function noteDirty(kvm: usize, spte: u64): void {
  if ((spte & (SPTE_DIRTY | SPTE_PRIVATE)) == SPTE_DIRTY && load32(kvm + KVM_PROCESS) != 0) setPageDirty(sptePfn(spte));
}

/** An empty page table, 0 when out of memory. */
export function tdpAllocTable(kvm: usize): usize {
  const table = kzalloc(SPT_TABLE_SIZE);
  if (table != 0) atomicAdd32(kvm + MMU_TABLES, 1);
  return table;
}

/** Frees a table that no entry has ever pointed to. */
export function tdpFreeUnusedTable(kvm: usize, table: usize): void {
  atomicSub32(kvm + MMU_TABLES, 1);
  kfree(table, SPT_TABLE_SIZE);
}

/**
 * Frees a table that was taken out of the tree. @context inside an RCU section that ends after the TLB flush: CPUs that walk in guest mode are
 * no RCU readers, only the flush drives them out. kernel: tdp_mmu_free_sp_rcu_callback().
 */
export function tdpFreeTable(kvm: usize, table: usize): void {
  atomicSub32(kvm + MMU_TABLES, 1);
  kfreeRcu(table, SPT_TABLE_SIZE);
}
