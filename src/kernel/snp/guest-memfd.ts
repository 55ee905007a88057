// What SNP does for guest_memfd: a page is assigned when a guest first needs it, and unassigned when it leaves the file; nothing hangs on memory attributes or
// on begin and end. kernel: arch/x86/kvm/svm/sev.c sev_gmem_prepare, sev_gmem_invalidate (6.11).
import { EAGAIN, EINVAL } from '../abi/errno';
import { KVM_ASID, SLOT_BASE_GFN, SLOT_NPAGES } from '../abi/kvm';
import { HOOK_SNP, PTRS_PER_2M, SH_HOOK } from '../abi/layout';
import { PG_LEVEL_2M, PG_LEVEL_4K, SNPC_HOOK_PAGES, SNPC_LEAKED_PAGES } from '../abi/snp';
import { V_B09, V_B55 } from '../abi/variants';
import { snpLeakPages } from '../mm/page';
import { perturbHook } from '../perturb';
import { load32, load64, variant } from '../point';
import { rmpRegionAssigned } from './access';
import { assignLevel, snpMakePagePrivate, snpMakePageShared } from './convert';
import { snpCount } from './helpers';
import { RMP_ASID_MASK, RMP_ASID_SHIFT, RMP_ASSIGNED, rmpAssigned, RMP_IMMUTABLE, rmpLevel, RMP_OWNER_MASK, rmpPageLo, rmpState } from './rmp';

/**
 * Assigns the page to the guest at `gfn` unless it is so: the whole 2M around it where folio, slot and alignment allow and none of it is assigned. 0; -EINVAL when
 * the RMP would not have it, or has it at another gfn of this guest (the VMM has bound the file elsewhere without punching the page out: upstream takes it for
 * prepared, and the guest faults for ever).
 * @context the folio lock, which keeps the page in its file; no mmu_lock: a fault that turns out to be stale leaves the page assigned, in the file.
 */
export function sevGmemPrepare(kvm: usize, slot: usize, gfn: u64, pfn: u32, order: u32): i32 {
  const asid = load32(kvm + KVM_ASID);
  if (asid == 0) return 0;
  const lo = rmpPageLo(pfn);
  if ((lo & RMP_ASSIGNED) != 0) {
    const owner = lo & (RMP_OWNER_MASK | RMP_IMMUTABLE);
    if (owner == rmpState(gfn << 12, PG_LEVEL_4K, asid, false)) return 0;
    if ((<u32>(lo >> RMP_ASID_SHIFT) & <u32>RMP_ASID_MASK) == asid) return -EINVAL;
  }
  const level = order >= 9 ? prepareLevel(slot, gfn, pfn, order) : PG_LEVEL_4K;
  const offset = level == PG_LEVEL_2M ? <u32>gfn & (PTRS_PER_2M - 1) : 0;
  return snpMakePagePrivate(kvm, gfn - offset, pfn - offset, level) == 0 ? 0 : -EINVAL;
}

/** The level at which a page of a 2M folio is assigned. @context as sevGmemPrepare. */
function prepareLevel(slot: usize, gfn: u64, pfn: u32, order: u32): i32 {
  const first = gfn & ~(<u64>PTRS_PER_2M - 1);
  const base = load64(slot + SLOT_BASE_GFN);
  if (((<u32>gfn ^ pfn) & (PTRS_PER_2M - 1)) != 0 || first < base || rmpRegionAssigned(pfn) != 0) return PG_LEVEL_4K;
  return assignLevel(slot, first, base + load64(slot + SLOT_NPAGES), pfn & ~(<u32>PTRS_PER_2M - 1), order);
}

/**
 * Gives the assigned ones of pages [startPfn, endPfn) back to the hypervisor. Upstream warns of one that cannot be and frees it all the same (B09); here it is
 * leaked. With HOOK_NONE nothing is done.
 * @context the folio lock; the pages have left their file, or no fault can take them. kernel: sev_gmem_invalidate.
 */
export function sevGmemInvalidate(startPfn: u32, endPfn: u32): void {
  if (load32(SH_HOOK) != <u32>HOOK_SNP || variant(V_B55)) return;
  perturbHook();
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
    const error = snpMakePageShared(pfn, is2m ? PG_LEVEL_2M : PG_LEVEL_4K);
    // Split while we looked: the same pages again, one by one.
    if (error == -EAGAIN) continue;
    if (error == 0) {
      snpCount(SNPC_HOOK_PAGES, pages);
    } else if (!variant(V_B09)) {
      snpCount(SNPC_LEAKED_PAGES, pages);
      snpLeakPages(pfn, pages);
    }
    pfn += pages;
  }
}
