// What SNP does for guest_memfd: a page is assigned when a guest first needs it, and unassigned when it leaves the file; nothing hangs on memory attributes or
// on begin and end. kernel: arch/x86/kvm/svm/sev.c sev_gmem_prepare, sev_gmem_invalidate (6.11).
import { EINVAL } from '../abi/errno';
import { KVM_ASID, SLOT_BASE_GFN, SLOT_NPAGES } from '../abi/kvm';
import { HOOK_SNP, PTRS_PER_2M, SH_HOOK } from '../abi/layout';
import { PG_LEVEL_2M, PG_LEVEL_4K, SNPC_HOOK_PAGES, SNPC_LEAKED_PAGES } from '../abi/snp';
import { V_B09, V_B55 } from '../abi/variants';
import { snpLeakPages } from '../mm/page';
import { load32, load64, variant } from '../point';
import { assignLevel, snpMakePagePrivate, snpMakePageShared } from './convert';
import { snpCount } from './helpers';
import { rmpAssigned, rmpLevel } from './rmp';

/**
 * Assigns the page to the guest at `gfn` unless it is assigned: the whole 2M around it where folio, slot and alignment allow. 0, or -EINVAL when the RMP would
 * not have it.
 * @context the folio lock, which keeps the page in its file; no mmu_lock: a fault that turns out to be stale leaves the page assigned, in the file.
 */
export function sevGmemPrepare(kvm: usize, slot: usize, gfn: u64, pfn: u32, order: u32): i32 {
  if (load32(kvm + KVM_ASID) == 0) return 0;
  const offset = <u32>gfn & (PTRS_PER_2M - 1);
  const first = gfn - offset;
  const base = load64(slot + SLOT_BASE_GFN);
  const congruent = ((<u32>gfn ^ pfn) & (PTRS_PER_2M - 1)) == 0 && first >= base;
  let error: i32 = 0;
  if (order >= 9 && congruent && assignLevel(slot, first, base + load64(slot + SLOT_NPAGES), pfn - offset, order) == PG_LEVEL_2M) {
    error = snpMakePagePrivate(kvm, first, pfn - offset, PG_LEVEL_2M);
  } else {
    error = snpMakePagePrivate(kvm, gfn, pfn, PG_LEVEL_4K);
  }
  return error == 0 ? 0 : -EINVAL;
}

/**
 * Gives the assigned ones of pages [startPfn, endPfn) back to the hypervisor. Upstream warns of one that cannot be and frees it all the same (B09); here it is
 * leaked. With HOOK_NONE nothing is done.
 * @context the folio lock; the pages have left their file, or no fault can take them. kernel: sev_gmem_invalidate.
 */
export function sevGmemInvalidate(startPfn: u32, endPfn: u32): void {
  if (load32(SH_HOOK) != <u32>HOOK_SNP || variant(V_B55)) return;
  sevGmemReset(startPfn, endPfn);
}

/** @context as sevGmemInvalidate. */
export function sevGmemReset(startPfn: u32, endPfn: u32): void {
  let pfn = startPfn;
  while (pfn < endPfn) {
    if (!rmpAssigned(pfn)) {
      pfn++;
      continue;
    }
    const is2m = (pfn & (PTRS_PER_2M - 1)) == 0 && endPfn - pfn >= <u32>PTRS_PER_2M && rmpLevel(pfn) == PG_LEVEL_2M;
    const pages: u32 = is2m ? PTRS_PER_2M : 1;
    if (snpMakePageShared(pfn, is2m ? PG_LEVEL_2M : PG_LEVEL_4K) == 0) {
      snpCount(SNPC_HOOK_PAGES, pages);
    } else if (!variant(V_B09)) {
      snpCount(SNPC_LEAKED_PAGES, pages);
      snpLeakPages(pfn, pages);
    }
    pfn += pages;
  }
}
