// The AMD-SP's page transitions and the marks that VMRUN leaves: all that changes the RMP besides the instructions. Firmware moves pages whose
// entries are immutable, which no host instruction touches, so one compare-and-exchange is enough. kernel: drivers/crypto/ccp/sev-dev.c,
// arch/x86/kvm/svm/sev.c; SEV-SNP firmware ABI.
import { EBUSY, EINVAL } from '../abi/errno';
import {
  PS_CONTEXT, PS_FIRMWARE, PS_GUEST_VALID, PS_HYPERVISOR, PS_METADATA, PS_PRE_GUEST, PS_PRE_SWAP, RMP_HI, SNP_IN_USE_SEEN,
} from '../abi/snp';
import { atomicAnd64, atomicCas64, atomicLoad32, atomicLoad64, atomicStore32 } from '../point';
import {
  pageState, RMP_ASID_MASK, RMP_ASID_SHIFT, RMP_ASSIGNED, RMP_COUNT_MASK, rmpCovers, rmpEntry, RMP_GPA_MASK, RMP_HI_BUSY, RMP_HI_IN_USE, RMP_IMMUTABLE,
  rmpPageLo, RMP_PAGESIZE_2M, RMP_VALIDATED, RMP_VMSA,
} from './rmp';

/** Firmware's compare-and-exchange of an immutable entry; only the count bits of a head can change under it. */
function transition(entry: usize, lo: u64, next: u64): bool {
  let expected = lo;
  let found = atomicCas64(entry, expected, (next & ~RMP_COUNT_MASK) | (expected & RMP_COUNT_MASK));
  while (found != expected) {
    if ((found ^ expected) & ~RMP_COUNT_MASK) return false;
    expected = found;
    found = atomicCas64(entry, expected, (next & ~RMP_COUNT_MASK) | (expected & RMP_COUNT_MASK));
  }
  return true;
}

/**
 * SNP_LAUNCH_UPDATE of one page (4K, or 2M by its head): Pre-Guest of this guest and gpa becomes Guest-Valid, as a VMSA if asked.
 * -EINVAL when the page is in another state or another's.
 */
export function snpLaunchUpdate(asid: u32, gpa: u64, pfn: u32, vmsa: bool): i32 {
  if (!rmpCovers(pfn)) return -EINVAL;
  const entry = rmpEntry(pfn);
  const lo = atomicLoad64(entry);
  if (pageState(lo, 0) != PS_PRE_GUEST) return -EINVAL;
  if (((lo >> RMP_ASID_SHIFT) & RMP_ASID_MASK) != <u64>asid || (lo & RMP_GPA_MASK) != (gpa & RMP_GPA_MASK)) return -EINVAL;
  const next = (lo & ~RMP_IMMUTABLE) | RMP_VALIDATED | (vmsa ? RMP_VMSA : <u64>0);
  return transition(entry, lo, next) ? 0 : -EINVAL;
}

/**
 * SNP_PAGE_RECLAIM of one page (4K, or 2M by its head): Firmware and Metadata become Reclaim; Pre-Guest and Pre-Swap become Guest-Invalid and Guest-Valid. The host then
 * gives the page back with RMPUPDATE. -EINVAL for any other state.
 */
export function snpPageReclaim(pfn: u32): i32 {
  if (!rmpCovers(pfn)) return -EINVAL;
  const entry = rmpEntry(pfn);
  const lo = atomicLoad64(entry);
  const state = pageState(lo, 0);
  if (state == PS_PRE_GUEST || state == PS_PRE_SWAP) return transition(entry, lo, lo & ~RMP_IMMUTABLE) ? 0 : -EINVAL;
  if (state != PS_FIRMWARE && state != PS_METADATA) return -EINVAL;
  return transition(entry, lo, lo & (RMP_ASSIGNED | RMP_PAGESIZE_2M)) ? 0 : -EINVAL;
}

/** SNP_GCTX_CREATE: a Firmware page becomes a guest's context page. */
export function snpGctxCreate(pfn: u32): i32 {
  return moveImmutable(pfn, PS_FIRMWARE, 0x1000);
}

/** SNP_DECOMMISSION: a context page becomes a Firmware page again. */
export function snpDecommission(pfn: u32): i32 {
  return moveImmutable(pfn, PS_CONTEXT, 0);
}

function moveImmutable(pfn: u32, from: i32, tag: u64): i32 {
  if (!rmpCovers(pfn)) return -EINVAL;
  const entry = rmpEntry(pfn);
  const lo = atomicLoad64(entry);
  if (pageState(lo, 0) != from) return -EINVAL;
  return transition(entry, lo, (lo & ~RMP_GPA_MASK) | tag) ? 0 : -EINVAL;
}

/**
 * VMRUN takes a page into use: the VMSA of guest `asid` (its Guest-Valid page with vmsa), or for `asid` 0 a page of the host's (VMCB, AVIC backing page: Hypervisor).
 * While it is in use no RMPUPDATE changes its entry and the host cannot write it. -EBUSY when it is in use already or an instruction is at it, -EINVAL when
 * it is not such a page.
 * @context the vCPU's own thread; rmpClearInUse at the exit.
 */
export function rmpMarkInUse(pfn: u32, asid: u32): i32 {
  if (!rmpCovers(pfn)) return -EINVAL;
  if (atomicLoad32(SNP_IN_USE_SEEN) == 0) atomicStore32(SNP_IN_USE_SEEN, 1);
  const entry = rmpEntry(pfn);
  const hi = atomicLoad64(entry + RMP_HI);
  if ((hi & RMP_HI_BUSY) != 0 || atomicCas64(entry + RMP_HI, hi, hi | RMP_HI_IN_USE) != hi) return -EBUSY;
  // P4: whoever changes lo from now on sees the mark and takes his change back.
  const lo = rmpPageLo(pfn);
  const state = pageState(lo, 0);
  const owner = <u32>(lo >> RMP_ASID_SHIFT) & <u32>RMP_ASID_MASK;
  if (asid == 0 ? state == PS_HYPERVISOR : state == PS_GUEST_VALID && (lo & RMP_VMSA) != 0 && owner == asid) return 0;
  rmpClearInUse(pfn);
  return -EINVAL;
}

/** The VMEXIT: the page is not in use any more. */
export function rmpClearInUse(pfn: u32): void {
  atomicAnd64(rmpEntry(pfn) + RMP_HI, ~RMP_HI_IN_USE);
}
