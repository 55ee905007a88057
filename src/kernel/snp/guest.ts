// The guest's RMP instructions: PVALIDATE, RMPADJUST, RMPQUERY. The caller has translated the guest's address (gpa, pfn); what the hardware
// answers with an #NPF instead of a code is GUEST_NPF_RMP or GUEST_NPF_SIZEM. kernel: arch/x86/include/asm/sev.h, AMD APM volume 3.
import { COST_PVALIDATE, COST_RMPADJUST } from '../abi/costs';
import { PTRS_PER_2M } from '../abi/layout';
import {
  GUEST_NPF_RMP, GUEST_NPF_SIZEM, PG_LEVEL_2M, PVALIDATE_NO_CHANGE, RMP_FAIL_INPUT, RMP_FAIL_INUSE, RMP_FAIL_PERMISSION,
  RMP_FAIL_SIZEMISMATCH, RMP_HI, RMP_OK,
} from '../abi/snp';
import { spend } from '../costs';
import { atomicCas64, atomicLoadStatic64, cpuRelax } from '../point';
import { rmpLockEntry, rmpUnlockEntry } from './region';
import {
  RMP_ASID_SHIFT, RMP_ASSIGNED, rmpEntry, RMP_GPA_MASK, rmpHeadEntry, RMP_HI_BUSY, RMP_HI_PERMS, RMP_IMMUTABLE, RMP_MARK, RMP_OWNER_MASK,
  rmpPageLo, RMP_PAGESIZE_2M, RMP_VALIDATED, RMP_VMSA,
} from './rmp';

/** Rounds a guest instruction waits for an entry that the host is changing, before it gives up as if the page were not its own. */
const BUSY_ROUNDS = 1024;

/** Whether an entry's lo says: this guest's, at this gpa, and the guest may change it. */
// @ts-ignore: decorator
@inline
function owned(lo: u64, asid: u32, gpa: u64): bool {
  return (lo & (RMP_OWNER_MASK | RMP_IMMUTABLE)) == (RMP_ASSIGNED | (gpa & RMP_GPA_MASK) | (<u64>asid << RMP_ASID_SHIFT));
}

/**
 * Which entry the instruction works on and whether it may: RMP_OK, a hardware code, or GUEST_NPF_*. A 4K operation inside a 2M entry is an
 * #NPF with SIZEM (the host smashes the entry and the guest repeats), a 2M operation on 4K entries is the guest's mistake.
 */
function checkPage(asid: u32, gpa: u64, pfn: u32, level: i32): i32 {
  if (level == PG_LEVEL_2M && ((gpa & 0x1fffff) != 0 || (pfn & (PTRS_PER_2M - 1)) != 0)) return RMP_FAIL_INPUT;
  const lo = rmpPageLo(pfn);
  if (!owned(lo, asid, gpa)) return GUEST_NPF_RMP;
  const is2m = (lo & RMP_PAGESIZE_2M) != 0;
  if (level == PG_LEVEL_2M) return is2m ? RMP_OK : RMP_FAIL_SIZEMISMATCH;
  return is2m ? GUEST_NPF_SIZEM : RMP_OK;
}

/**
 * PVALIDATE: sets (validate) or rescinds the guest's "validated" of a page. RMP_OK; PVALIDATE_NO_CHANGE when it is so already; a hardware code;
 * or GUEST_NPF_*. @context guest code of one vCPU; waits, bounded, for an entry that is locked.
 */
export function pvalidate(asid: u32, gpa: u64, pfn: u32, level: i32, validate: bool): i32 {
  const wanted: u64 = validate ? RMP_VALIDATED : 0;
  spend(COST_PVALIDATE);
  for (let round = 0; round < BUSY_ROUNDS; round++) {
    const code = checkPage(asid, gpa, pfn, level);
    if (code != RMP_OK) return code;
    const result = level == PG_LEVEL_2M ? validate2m(rmpHeadEntry(pfn), asid, gpa, wanted) : validate4k(rmpEntry(pfn), asid, gpa, wanted);
    if (result != RMP_FAIL_INUSE) return result;
    cpuRelax();
  }
  return GUEST_NPF_RMP;
}

/** FAIL_INUSE: the entry is being changed, look again. */
function validate4k(entry: usize, asid: u32, gpa: u64, wanted: u64): i32 {
  const lo = atomicLoadStatic64(entry);
  // A head's bit 3 is part of its count, but then pagesize and owner are enough; MARK matters on followers, which have no count.
  if (!owned(lo, asid, gpa) || (lo & RMP_PAGESIZE_2M) != 0 || isMarked(entry, lo)) return RMP_FAIL_INUSE;
  if ((lo & RMP_VALIDATED) == wanted) return PVALIDATE_NO_CHANGE;
  return atomicCas64(entry, lo, lo ^ RMP_VALIDATED) == lo ? RMP_OK : RMP_FAIL_INUSE;
}

/** Whether a PSMASH has not finished with this entry. Entries of 2M-aligned PFNs are never marked; table and regions are 8 KiB apart. */
// @ts-ignore: decorator
@inline
function isMarked(entry: usize, lo: u64): bool {
  return (lo & RMP_MARK) != 0 && entry != rmpHeadEntryOf(entry);
}

// @ts-ignore: decorator
@inline
function rmpHeadEntryOf(entry: usize): usize {
  const base = rmpEntry(0);
  return base + ((entry - base) & ~(<usize>0x1fff));
}

function validate2m(head: usize, asid: u32, gpa: u64, wanted: u64): i32 {
  const hi = rmpLockEntry(head); // against PSMASH, which copies validated into the followers
  if (hi == RMP_HI_BUSY) return RMP_FAIL_INUSE;
  const lo = atomicLoadStatic64(head);
  let code = RMP_FAIL_INUSE;
  if (owned(lo, asid, gpa) && (lo & RMP_PAGESIZE_2M) != 0) {
    if ((lo & RMP_VALIDATED) == wanted) code = PVALIDATE_NO_CHANGE;
    else if (atomicCas64(head, lo, lo ^ RMP_VALIDATED) == lo) code = RMP_OK;
  }
  rmpUnlockEntry(head, hi);
  return code;
}

/**
 * RMPADJUST by software at `vmpl`: gives `targetVmpl` (a weaker, numerically higher one) the permissions `perms` on a validated page, and
 * makes the page a VMSA or not. Returns a hardware code or GUEST_NPF_*; RMP_FAIL_INUSE for a VMSA that a VMRUN uses.
 * @context guest code of one vCPU; waits, bounded, for an entry that is locked.
 */
export function rmpadjust(asid: u32, vmpl: u32, gpa: u64, pfn: u32, level: i32, targetVmpl: u32, perms: u32, vmsa: bool): i32 {
  if (targetVmpl > 3 || perms > 0xff || (vmsa && level == PG_LEVEL_2M)) return RMP_FAIL_INPUT;
  if (targetVmpl <= vmpl) return RMP_FAIL_PERMISSION;
  const entry = level == PG_LEVEL_2M ? rmpHeadEntry(pfn) : rmpEntry(pfn);
  spend(COST_RMPADJUST);
  for (let round = 0; round < BUSY_ROUNDS; round++) {
    const code = checkPage(asid, gpa, pfn, level);
    if (code != RMP_OK) return code;
    const hi = rmpLockEntry(entry);
    if (hi != RMP_HI_BUSY) {
      const result = adjustLocked(entry, hi, asid, gpa, level, vmpl, targetVmpl, perms, vmsa);
      if (result != RMP_FAIL_INUSE) return result;
    } else if (isInUse(entry)) {
      return RMP_FAIL_INUSE;
    }
    cpuRelax();
  }
  return GUEST_NPF_RMP;
}

function isInUse(entry: usize): bool {
  return (atomicLoadStatic64(entry + RMP_HI) & RMP_HI_BUSY) == (<u64>1 << 62);
}

/** @context holds the entry's LOCK and releases it; with it no RMPUPDATE of the entry can complete (P4), so lo and hi belong together. */
function adjustLocked(
  entry: usize, hi: u64, asid: u32, gpa: u64, level: i32, vmpl: u32, targetVmpl: u32, perms: u32, vmsa: bool,
): i32 {
  let code = RMP_FAIL_INUSE;
  let hiAfter = hi;
  const lo = atomicLoadStatic64(entry);
  const is2m = (lo & RMP_PAGESIZE_2M) != 0;
  if (owned(lo, asid, gpa) && is2m == (level == PG_LEVEL_2M) && !isMarked(entry, lo)) {
    const own = vmplPerms(hi, vmpl);
    if (!(lo & RMP_VALIDATED)) {
      code = GUEST_NPF_RMP;
    } else if ((perms & ~own) != 0) {
      code = RMP_FAIL_PERMISSION; // nobody hands on what he has not got
    } else {
      const next = vmsa ? lo | RMP_VMSA : lo & ~RMP_VMSA;
      if (next == lo || atomicCas64(entry, lo, next) == lo) {
        const shift = <u64>targetVmpl << 3;
        hiAfter = (hi & ~(<u64>0xff << shift)) | (<u64>perms << shift);
        code = RMP_OK;
      }
    }
  }
  rmpUnlockEntry(entry, hiAfter);
  return code;
}

/** Permissions of a VMPL from an entry's hi. VMPL0 may always do everything: nobody is above it to take something away. */
export function vmplPerms(hi: u64, vmpl: u32): u32 {
  return vmpl == 0 ? 0xff : <u32>(((hi & RMP_HI_PERMS) >> (<u64>vmpl << 3)) & 0xff);
}

/** RMPQUERY: the permissions of `targetVmpl` (>= 0), or minus a hardware code, or GUEST_NPF_* minus 1000. */
export function rmpquery(asid: u32, vmpl: u32, gpa: u64, pfn: u32, targetVmpl: u32): i32 {
  if (targetVmpl > 3) return -RMP_FAIL_INPUT;
  if (targetVmpl < vmpl) return -RMP_FAIL_PERMISSION;
  const lo = rmpPageLo(pfn);
  if (!owned(lo, asid, gpa)) return GUEST_NPF_RMP - 1000;
  const entry = lo & RMP_PAGESIZE_2M ? rmpHeadEntry(pfn) : rmpEntry(pfn);
  return <i32>vmplPerms(atomicLoadStatic64(entry + RMP_HI), targetVmpl);
}
