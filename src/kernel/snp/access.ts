// What the RMP lets through: the checks that the hardware makes on every write of the host and every access of an SNP guest, with the error codes
// they raise. kernel: AMD APM volume 2, 15.36; error code bits as arch/x86/include/asm/kvm_host.h PFERR_*.
import { PTRS_PER_2M } from '../abi/layout';
import {
  HOST_PF_RMP_WRITE, PFERR_GUEST_ENC_BIT, PFERR_GUEST_FINAL_BIT, PFERR_GUEST_SIZEM_BIT, PFERR_GUEST_VMPL_BIT, PFERR_PRESENT_BIT, PFERR_RMP_BIT,
  PFERR_USER_BIT, PFERR_WRITE_BIT, PG_LEVEL_2M, RMP_CHECK_VC_BIT, RMP_HI, SNP_ERRATUM_IN_USE_2M, SNP_HV_IN_USE_WRITE_ALLOWED, VMPL_READ,
  VMPL_WRITE,
} from '../abi/snp';
import { atomicLoadStatic64, load32 } from '../point';
import { directMapIsSplit } from './direct-map';
import { vmplPerms } from './guest';
import {
  RMP_ASID_SHIFT, RMP_ASSIGNED, RMP_COUNT_MASK, rmpCovers, rmpEntry, RMP_GPA_MASK, rmpHeadEntry, RMP_HI_IN_USE, RMP_IMMUTABLE, RMP_OWNER_MASK,
  rmpAssigned, rmpInUse, rmpPageLo, RMP_PAGESIZE_2M, RMP_VALIDATED,
} from './rmp';

/** rmpCheckGuest: the access raises #VC in the guest (page assigned but not validated), not an #NPF. */
export const RMP_CHECK_VC: u64 = (<u64>1) << RMP_CHECK_VC_BIT;

const NPF_RMP: u64 = (<u64>1 << PFERR_RMP_BIT) | (<u64>1 << PFERR_GUEST_FINAL_BIT) | (<u64>1 << PFERR_PRESENT_BIT) | (<u64>1 << PFERR_USER_BIT);
const NPF_WRITE: u64 = <u64>1 << PFERR_WRITE_BIT;
const NPF_ENC: u64 = <u64>1 << PFERR_GUEST_ENC_BIT;
const NPF_SIZEM: u64 = <u64>1 << PFERR_GUEST_SIZEM_BIT;
const NPF_VMPL: u64 = <u64>1 << PFERR_GUEST_VMPL_BIT;

/**
 * A guest's access through a nested mapping of `level`: 0 when the RMP lets it through, RMP_CHECK_VC, or the #NPF error code. `gpa` is the address of
 * the page accessed, pfn the page it is mapped to.
 * @context any; two loads.
 */
export function rmpCheckGuest(asid: u32, gpa: u64, pfn: u32, write: bool, isPrivate: bool, level: i32): u64 {
  if (!isPrivate) return write ? checkSharedWrite(pfn, level) : 0;
  const lo = rmpPageLo(pfn);
  const wanted = RMP_ASSIGNED | (gpa & RMP_GPA_MASK) | (<u64>asid << RMP_ASID_SHIFT);
  if ((lo & (RMP_OWNER_MASK | RMP_IMMUTABLE | RMP_VALIDATED)) == (wanted | RMP_VALIDATED)) {
    if (level != PG_LEVEL_2M || (lo & RMP_PAGESIZE_2M) != 0) return 0;
  }
  return privateFault(lo, wanted, write);
}

function privateFault(lo: u64, wanted: u64, write: bool): u64 {
  const code = NPF_RMP | NPF_ENC | (write ? NPF_WRITE : 0);
  if ((lo & (RMP_OWNER_MASK | RMP_IMMUTABLE)) != wanted) return code;
  // The page is the guest's. It has to be validated before sizes are compared: what the guest accepts at 4K meets the mismatch at its next access.
  if (lo & RMP_VALIDATED) return code | NPF_SIZEM;
  return RMP_CHECK_VC;
}

/** A guest's write through a shared mapping: as the host's, by the level of the nested mapping. */
function checkSharedWrite(pfn: u32, level: i32): u64 {
  if (level == PG_LEVEL_2M ? regionHasAssigned(pfn) : rmpAssigned(pfn)) return NPF_RMP | NPF_WRITE;
  return 0;
}

/** rmpCheckGuest for software at a VMPL other than 0, whose rights RMPADJUST has set. */
export function rmpCheckGuestVmpl(asid: u32, gpa: u64, pfn: u32, write: bool, isPrivate: bool, level: i32, vmpl: u32): u64 {
  const code = rmpCheckGuest(asid, gpa, pfn, write, isPrivate, level);
  if (code != 0 || !isPrivate) return code;
  const entry = rmpPageLo(pfn) & RMP_PAGESIZE_2M ? rmpHeadEntry(pfn) : rmpEntry(pfn);
  const needed: u32 = write ? VMPL_WRITE : VMPL_READ;
  if ((vmplPerms(atomicLoadStatic64(entry + RMP_HI), vmpl) & needed) != 0) return 0;
  return NPF_RMP | NPF_ENC | NPF_VMPL | (write ? NPF_WRITE : 0);
}

/** Whether any page of the 2M region is assigned: one look at the head, which counts the others. */
// @ts-ignore: decorator
@inline
function regionHasAssigned(pfn: u32): bool {
  return (atomicLoadStatic64(rmpHeadEntry(pfn)) & (RMP_COUNT_MASK | RMP_ASSIGNED)) != 0;
}

/**
 * A write of the host to the page: 0, or the #PF error code. Through a 2M mapping of the direct map no page of the region may be assigned;
 * a page that VMRUN uses may not be written although it is not assigned.
 * @context any.
 */
export function rmpCheckHostWrite(pfn: u32): u32 {
  if (!rmpCovers(pfn)) return 0;
  // Splitting the mapping ends with a TLB flush, which waits for a write that is under way: no write meets the old mapping and the new state.
  const wide = !directMapIsSplit(pfn) && regionHasAssigned(pfn) && !directMapIsSplit(pfn);
  if (wide || rmpAssigned(pfn)) return HOST_PF_RMP_WRITE;
  return inUse(pfn) ? HOST_PF_RMP_WRITE : 0;
}

function inUse(pfn: u32): bool {
  if (load32(SNP_HV_IN_USE_WRITE_ALLOWED) != 0) return false;
  if (rmpInUse(pfn)) return true;
  // Erratum: a page in use whose PFN is 2M-aligned makes the CPU take its whole region for in use.
  return load32(SNP_ERRATUM_IN_USE_2M) != 0 && (atomicLoadStatic64(rmpHeadEntry(pfn) + RMP_HI) & RMP_HI_IN_USE) != 0;
}

/** How many pages of a PFN's 2M region are assigned, for reports: by the head, not by counting. */
export function rmpRegionAssigned(pfn: u32): u32 {
  const head = atomicLoadStatic64(rmpHeadEntry(pfn));
  if (head & RMP_PAGESIZE_2M) return PTRS_PER_2M;
  return <u32>(((head & RMP_COUNT_MASK) >> 3) + (head & RMP_ASSIGNED));
}
