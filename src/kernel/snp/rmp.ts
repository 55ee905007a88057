// The reverse map table: one 16-byte entry a PFN, in the layout that Zen 3 and Zen 4 keep in memory, so that raw dumps of real hosts can be
// compared word by word. Here: bits, address arithmetic, reading. kernel: arch/x86/virt/svm/sev.c (struct rmpentry_raw).
//
// lo, changed by compare-and-exchange only:
//   0      assigned
//   1      pagesize: 1 = this entry (of a 2M-aligned PFN, the "head") stands for 512 pages
//   2      immutable
//   3-11   head: number of other assigned 4K entries of its 2M region (0 while pagesize is 1)
//          follower: bit 3 MARK, ours: PSMASH has filled the entry in but not finished; the others 0
//   12-50  gpa >> 12
//   51-60  asid
//   61     vmsa
//   62     validated
//   63     set by firmware on its own pages, as in the real dumps
// hi (the kernel does not decode it; the split into VMPLs is inferred from two dumps, 0xf and 0x1f):
//   0-7 permissions of VMPL0, 8-15 of VMPL1, 16-23 of VMPL2, 24-31 of VMPL3
//   62     IN_USE, ours: a VMRUN uses the page (VMSA, VMCB, AVIC page)
//   63     LOCK, ours: the entry is locked by an instruction that changes more than one word
//
// The protocol, and why it holds without a lock on the common path:
//  P1 A follower becomes assigned in two steps: reserve (CAS head: count + 1, only while pagesize is 0), then CAS own lo. It becomes
//     unassigned in two: CAS own lo to 0, then count - 1. So count >= number of assigned followers at every moment, and never borrows.
//     (The reverse order of the first would let another CPU's unassignment subtract before the addition.)
//  P2 A 2M entry is made by one CAS of the head from count = 0, and P1 reserves only under pagesize = 0: so under a 2M head every
//     follower's lo is 0, except those that a PSMASH has marked.
//  P3 PSMASH holds the head's LOCK, fills in the followers with MARK, flips the head (that is the moment it takes effect), removes the
//     marks. An unmarked assigned follower therefore proves that its head is not 2M, and its CAS needs no look at the head.
//  P4 Whoever changes lo looks at hi before and after its CAS and takes the change back if IN_USE or LOCK came up in between; whoever
//     sets IN_USE or LOCK looks at lo after that. One of the two sees the other. If taking back fails, someone has built on our value:
//     then the instruction has succeeded before that.
//  P5 A reader takes the head first, then its own entry: if it saw pagesize = 0 and the region became 2M meanwhile, what it reads is what
//     the follower held just before that, or what the 2M entry says of it.
import { PTRS_PER_2M, SH_PFN_COUNT, SH_RMP } from '../abi/layout';
import {
  LEAVER_FIRMWARE, LEAVER_GUEST, LEAVER_HOST, PG_LEVEL_2M, PG_LEVEL_4K, PS_CONTEXT, PS_DEFAULT, PS_FIRMWARE, PS_GUEST_INVALID,
  PS_GUEST_VALID, PS_HV_FIXED, PS_HYPERVISOR, PS_METADATA, PS_PRE_GUEST, PS_PRE_SWAP, PS_RECLAIM, RMP_ENTRY_SIZE, RMP_HI,
  RMP_LO_ASID, RMP_LO_ASSIGNED, RMP_LO_COUNT, RMP_LO_FIRMWARE, RMP_LO_IMMUTABLE, RMP_LO_PAGESIZE, RMP_LO_VALIDATED, RMP_LO_VMSA, RMP_OPERAND_ASID, RMP_OPERAND_ASSIGNED, RMP_OPERAND_GPA, RMP_OPERAND_IMMUTABLE, RMP_OPERAND_PAGESIZE, RMP_OPERAND_SIZE, RMP_USE_LOCK, RMP_USE_VMRUN,
  SNP_DIRECT_MAP, SNP_ENABLED, SNP_TABLE_PFNS,
} from '../abi/snp';
import { EINVAL, ENXIO } from '../abi/errno';
import { vmalloc } from '../heap';
import { atomicAdd64, atomicLoadStatic64, atomicStore64, atomicSub64, fillBytes, load32, store32, store64, store8 } from '../point';

export const RMP_ASSIGNED: u64 = (<u64>1) << RMP_LO_ASSIGNED;
export const RMP_PAGESIZE_2M: u64 = (<u64>1) << RMP_LO_PAGESIZE;
export const RMP_IMMUTABLE: u64 = (<u64>1) << RMP_LO_IMMUTABLE;
export const RMP_COUNT_ONE: u64 = (<u64>1) << RMP_LO_COUNT;
export const RMP_COUNT_MASK: u64 = 0xff8;
export const RMP_MARK: u64 = RMP_COUNT_ONE;
export const RMP_GPA_MASK: u64 = 0x0007fffffffff000;
export const RMP_ASID_SHIFT: u64 = RMP_LO_ASID;
export const RMP_ASID_MASK: u64 = 0x3ff;
export const RMP_OWNER_MASK: u64 = 0x1ffffffffffff001; // assigned, gpa, asid
export const RMP_VMSA: u64 = (<u64>1) << RMP_LO_VMSA;
export const RMP_VALIDATED: u64 = (<u64>1) << RMP_LO_VALIDATED;
export const RMP_FIRMWARE_BIT: u64 = (<u64>1) << RMP_LO_FIRMWARE;

export const RMP_HI_PERMS: u64 = 0xffffffff;
export const RMP_HI_IN_USE: u64 = (<u64>1) << RMP_USE_VMRUN;
export const RMP_HI_LOCK: u64 = (<u64>1) << RMP_USE_LOCK;
export const RMP_HI_BUSY: u64 = RMP_HI_IN_USE | RMP_HI_LOCK;

/** Bytes from the start of the table in memory (RMP_BASE) to the entry of physical page 0: processor bookkeeping. */
const RMP_BOOKKEEPING_BYTES: u64 = 0x4000;

/** Address of the PFN's entry. The caller has checked that the table covers it. */
// @ts-ignore: decorator
@inline
export function rmpEntry(pfn: u32): usize {
  return <usize>load32(SH_RMP) + <usize>pfn * RMP_ENTRY_SIZE;
}

/** Address of the entry of the region's 2M-aligned PFN. */
// @ts-ignore: decorator
@inline
export function rmpHeadEntry(pfn: u32): usize {
  return rmpEntry(pfn & ~(<u32>PTRS_PER_2M - 1));
}

// @ts-ignore: decorator
@inline
export function rmpIsHead(pfn: u32): bool {
  return (pfn & (PTRS_PER_2M - 1)) == 0;
}

/** Whether the table has an entry for the PFN. */
// @ts-ignore: decorator
@inline
export function rmpCovers(pfn: u32): bool {
  return pfn < load32(SNP_TABLE_PFNS);
}

/** The lo word that an RMPUPDATE asks for. gpa in bytes. All zero: give the page back to the hypervisor. */
// @ts-ignore: decorator
@inline
export function rmpState(gpa: u64, level: i32, asid: u32, immutable: bool): u64 {
  return RMP_ASSIGNED | (gpa & RMP_GPA_MASK) | (<u64>asid << RMP_ASID_SHIFT)
    | (level >= PG_LEVEL_2M ? RMP_PAGESIZE_2M : <u64>0) | (immutable ? RMP_IMMUTABLE : <u64>0);
}

/**
 * What the table says of one page, as a 4K lo word without bookkeeping bits: the own entry, or the page's share of a 2M entry (then
 * pagesize is set). @context any; lockless, see P5.
 */
export function rmpPageLo(pfn: u32): u64 {
  const head = atomicLoadStatic64(rmpHeadEntry(pfn));
  if (head & RMP_PAGESIZE_2M) return (head & ~RMP_COUNT_MASK) + (<u64>(pfn & (PTRS_PER_2M - 1)) << 12);
  return (rmpIsHead(pfn) ? head : atomicLoadStatic64(rmpEntry(pfn))) & ~RMP_COUNT_MASK;
}

/** ASID that a page is assigned to; 0: the host's or the firmware's. @context as rmpPageLo. */
export function rmpOwnerAsid(pfn: u32): u32 { return <u32>(rmpPageLo(pfn) >> RMP_ASID_SHIFT) & <u32>RMP_ASID_MASK; }

/** Whether a VMRUN uses the page itself. @context as rmpPageLo. */
// @ts-ignore: decorator
@inline
export function rmpInUse(pfn: u32): bool { return (atomicLoadStatic64(rmpEntry(pfn) + RMP_HI) & RMP_HI_IN_USE) != 0; }

/** Level of a PFN: the pagesize bit of the entry of its 2M-aligned PFN. */
// @ts-ignore: decorator
@inline
export function rmpLevel(pfn: u32): i32 {
  return atomicLoadStatic64(rmpHeadEntry(pfn)) & RMP_PAGESIZE_2M ? PG_LEVEL_2M : PG_LEVEL_4K;
}

/** Whether the RMP keeps this page from the host: its own entry is assigned, or a 2M entry covers it. @context any; lockless, see P5. */
// @ts-ignore: decorator
@inline
export function rmpAssigned(pfn: u32): bool { return (rmpPageLo(pfn) & RMP_ASSIGNED) != 0; }

/**
 * 1 assigned, 0 not, negative errno. *levelp (u32, may be 0) receives the level. A caller that tests `!lookup` takes an error for
 * "assigned", as kernel code has done. kernel: snp_lookup_rmpentry.
 */
export function snpLookupRmpentry(pfn: u32, levelp: usize): i32 {
  if (load32(SNP_ENABLED) == 0) return -ENXIO;
  if (!rmpCovers(pfn)) return -EINVAL;
  const lo = rmpPageLo(pfn);
  if (levelp != 0) store32(levelp, lo & RMP_PAGESIZE_2M ? PG_LEVEL_2M : PG_LEVEL_4K);
  return <i32>(lo & RMP_ASSIGNED);
}

/** RMPREAD: the architectural form of the PFN's own entry, 16 bytes to `operand`. Returns the hardware code. */
export function rmpread(pfn: u32, operand: usize): i32 {
  if (!rmpCovers(pfn)) return 1;
  const lo = atomicLoadStatic64(rmpEntry(pfn));
  const regionHasPages = rmpIsHead(pfn) && ((lo & RMP_COUNT_MASK) != 0 || (lo & (RMP_ASSIGNED | RMP_PAGESIZE_2M)) == RMP_ASSIGNED);
  fillBytes(operand, 0, RMP_OPERAND_SIZE);
  store64(operand + RMP_OPERAND_GPA, lo & RMP_GPA_MASK);
  store8(operand + RMP_OPERAND_ASSIGNED, <u32>(lo & RMP_ASSIGNED));
  store8(operand + RMP_OPERAND_PAGESIZE, <u32>((lo & RMP_PAGESIZE_2M) >> 1) | (regionHasPages ? 2 : 0));
  store8(operand + RMP_OPERAND_IMMUTABLE, <u32>((lo & RMP_IMMUTABLE) >> 2));
  store32(operand + RMP_OPERAND_ASID, <u32>((lo >> RMP_ASID_SHIFT) & RMP_ASID_MASK));
  return 0;
}

/** Pages that a table of [firstByte, lastByte] (the MSRs RMP_BASE and RMP_END, end inclusive) covers. */
export function rmpCoveredPages(firstByte: u64, lastByte: u64): u64 {
  return (lastByte + 1 - firstByte - RMP_BOOKKEEPING_BYTES) / RMP_ENTRY_SIZE;
}

/** Address of a physical address's entry in a table at `firstByte`: 16 bytes for each 4K page behind the bookkeeping. */
export function rmpEntryPhysical(firstByte: u64, physicalAddress: u64): u64 {
  return firstByte + RMP_BOOKKEEPING_BYTES + (physicalAddress >> 12) * RMP_ENTRY_SIZE;
}

/** State of a page by the APM's names, from its raw entry (of a follower under a 2M entry: from rmpPageLo). */
export function pageState(lo: u64, hi: u64): i32 {
  const asid = (lo >> RMP_ASID_SHIFT) & RMP_ASID_MASK;
  const immutable = (lo & RMP_IMMUTABLE) != 0;
  const validated = (lo & RMP_VALIDATED) != 0;
  if (!(lo & RMP_ASSIGNED)) {
    if (validated || asid != 0 || (lo & RMP_VMSA) != 0) return PS_DEFAULT;
    return immutable ? PS_HV_FIXED : PS_HYPERVISOR;
  }
  if (asid == 0) {
    if (validated || (lo & RMP_VMSA) != 0) return PS_DEFAULT;
    if (!immutable) return PS_RECLAIM;
    const tag = lo & RMP_GPA_MASK;
    // Context and metadata pages carry a tag where a guest page has its gpa. One bit tells them apart here: an assumption.
    if (tag == 0) return PS_FIRMWARE;
    return (tag >> 12) & 1 ? PS_CONTEXT : PS_METADATA;
  }
  if (immutable) return validated ? PS_PRE_SWAP : PS_PRE_GUEST;
  return validated ? PS_GUEST_VALID : PS_GUEST_INVALID;
}

/** Who may take a page out of a state: LEAVER_* bits. HV-Fixed and Default stay until reset. */
export function pageStateLeavers(state: i32): i32 {
  if (state == PS_HYPERVISOR || state == PS_RECLAIM) return LEAVER_HOST;
  if (state >= PS_FIRMWARE && state <= PS_PRE_SWAP) return LEAVER_FIRMWARE;
  if (state == PS_GUEST_INVALID || state == PS_GUEST_VALID) return LEAVER_HOST | LEAVER_GUEST;
  return 0;
}

/** Prepares the RMP at boot: an empty table (zero pages nobody has touched) and the map of split host mappings. @context boot. */
export function rmpInit(): void {
  const regions = (load32(SH_PFN_COUNT) + PTRS_PER_2M - 1) / PTRS_PER_2M;
  store32(SNP_TABLE_PFNS, regions * PTRS_PER_2M);
  store32(SNP_DIRECT_MAP, <u32>vmalloc(<u64>((regions + 31) >> 5) << 2));
  store32(SNP_ENABLED, 1);
}

/**
 * Puts an entry in place as a raw dump of a host has it, whoever wrote it there; the count of others in a head's word is not taken over but kept by the model, and of hi the permissions
 * are. 0, or -EINVAL for a page that the table does not cover or a 2M entry that is none.
 * @context set-up: nobody else changes entries of the region.
 */
export function rmpSetRaw(pfn: u32, lo: u64, hi: u64): i32 {
  if (!rmpCovers(pfn) || ((lo & RMP_PAGESIZE_2M) != 0 && !rmpIsHead(pfn))) return -EINVAL;
  const entry = rmpEntry(pfn);
  const before = atomicLoadStatic64(entry);
  atomicStore64(entry + RMP_HI, hi & RMP_HI_PERMS);
  atomicStore64(entry, (lo & ~RMP_COUNT_MASK) | (rmpIsHead(pfn) ? before & RMP_COUNT_MASK : 0));
  if (rmpIsHead(pfn) || (before & RMP_ASSIGNED) == (lo & RMP_ASSIGNED)) return 0;
  if (lo & RMP_ASSIGNED) atomicAdd64(rmpHeadEntry(pfn), RMP_COUNT_ONE);
  else atomicSub64(rmpHeadEntry(pfn), RMP_COUNT_ONE);
  return 0;
}

/** The raw words of an entry, for dumps and tests. */
export function rmpRawLo(pfn: u32): u64 { return atomicLoadStatic64(rmpEntry(pfn)); }
export function rmpRawHi(pfn: u32): u64 { return atomicLoadStatic64(rmpEntry(pfn) + RMP_HI); }
