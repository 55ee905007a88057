// RMPUPDATE of 2M pages and PSMASH: the instructions that look at a whole 2M region. Both hold the LOCK bit of the head entry.
// Words P1..P5 refer to the protocol in rmp.ts. kernel: AMD APM volume 3 (RMPUPDATE, PSMASH).
import { COST_PSMASH, COST_RMPUPDATE_2M } from '../abi/costs';
import { PTRS_PER_2M } from '../abi/layout';
import {
  RMP_ALREADY_ASSIGNED, RMP_ENTRY_SIZE, RMP_FAIL_INPUT, RMP_FAIL_INUSE, RMP_FAIL_OVERLAP, RMP_FAIL_PERMISSION, RMP_HI, RMP_OK, SNP_IN_USE_SEEN,
} from '../abi/snp';
import { OOPS_RMP_HEAD_CHANGED, ORACLE_KERNEL_BUG } from '../abi/oops';
import { spend } from '../costs';
import { oops } from '../oops';
import { atomicCas64, atomicLoad32, atomicLoadStatic64, atomicStore64 } from '../point';
import {
  RMP_ASSIGNED, RMP_COUNT_MASK, rmpCovers, rmpEntry, RMP_HI_BUSY, RMP_HI_IN_USE, RMP_HI_LOCK, RMP_HI_PERMS, RMP_IMMUTABLE, rmpIsHead,
  RMP_MARK, RMP_PAGESIZE_2M,
} from './rmp';

const GPA_IN_2M: u64 = 0x1ff000;

/**
 * Takes the LOCK of an entry. Returns the hi word before it, which has neither LOCK nor IN_USE, or HI_BUSY when it cannot be had: the
 * instruction fails with FAIL_INUSE, it does not wait. @context released with rmpUnlockEntry.
 */
export function rmpLockEntry(entry: usize): u64 {
  const hi = atomicLoadStatic64(entry + RMP_HI);
  if (hi & RMP_HI_BUSY) return RMP_HI_BUSY;
  return atomicCas64(entry + RMP_HI, hi, hi | RMP_HI_LOCK) == hi ? hi : RMP_HI_BUSY;
}

/** @context holds the entry's LOCK; nobody else writes hi meanwhile. */
export function rmpUnlockEntry(entry: usize, hi: u64): void {
  atomicStore64(entry + RMP_HI, hi);
}

/** RMPUPDATE with a 2M page size. */
export function rmpupdate2m(pfn: u32, state: u64, onlyIfFree: bool): i32 {
  if (!rmpIsHead(pfn) || (state & GPA_IN_2M) != 0) return RMP_FAIL_INPUT;
  const head = rmpEntry(pfn);
  const hi = rmpLockEntry(head);
  if (hi == RMP_HI_BUSY) return RMP_FAIL_INUSE;
  // Under the LOCK: for so long other CPUs find the entry in use.
  spend(COST_RMPUPDATE_2M);
  const code = updateLocked(head, state, onlyIfFree);
  rmpUnlockEntry(head, code == RMP_OK ? 0 : hi);
  return code;
}

/** @context holds the head's LOCK. */
function updateLocked(head: usize, state: u64, onlyIfFree: bool): i32 {
  const lo = atomicLoadStatic64(head);
  if (lo & RMP_IMMUTABLE) return RMP_FAIL_PERMISSION;
  if (lo & RMP_PAGESIZE_2M) {
    if (onlyIfFree) return RMP_ALREADY_ASSIGNED;
  } else if (lo & (RMP_ASSIGNED | RMP_COUNT_MASK)) {
    return RMP_FAIL_OVERLAP;
  }
  const next = state & RMP_ASSIGNED ? state : 0;
  if (lo == next) return RMP_OK;
  // Only a CPU that counts a 4K page in, or assigns the first one, can come between: to us an overlap, gone at the next try.
  if (atomicCas64(head, lo, next) != lo) return RMP_FAIL_OVERLAP;
  // P4 for the followers. Hosts that never mark a page in use (SNP_IN_USE_SEEN) are spared the walk.
  if (next == 0 || atomicLoad32(SNP_IN_USE_SEEN) == 0 || !followerInUse(head)) return RMP_OK;
  // No 4K page can come under a 2M head, and other 2M instructions wait for the LOCK: nobody can have changed it.
  changeHead(head, next, lo);
  return RMP_FAIL_INUSE;
}

function followerInUse(head: usize): bool {
  for (let n: usize = 1; n < <usize>PTRS_PER_2M; n++) {
    if (atomicLoadStatic64(head + n * RMP_ENTRY_SIZE + RMP_HI) & RMP_HI_IN_USE) return true;
  }
  return false;
}

/** A change of a 2M head that nobody can contest. @context holds the head's LOCK. */
function changeHead(head: usize, from: u64, to: u64): void {
  const found = atomicCas64(head, from, to);
  if (found != from) oops(ORACLE_KERNEL_BUG, OOPS_RMP_HEAD_CHANGED, <f64>head, <f64>(found >> 32), <f64>(found & 0xffffffff));
}

/**
 * PSMASH: turns the 2M entry of a 2M-aligned PFN into 512 4K entries with consecutive gpas; asid, validated and permissions stay.
 * Returns the hardware code; an entry that is no 2M entry is bad input.
 */
export function psmashInsn(pfn: u32): i32 {
  if (!rmpCovers(pfn) || !rmpIsHead(pfn)) return RMP_FAIL_INPUT;
  const head = rmpEntry(pfn);
  const hi = rmpLockEntry(head);
  if (hi == RMP_HI_BUSY) return RMP_FAIL_INUSE;
  spend(COST_PSMASH);
  const lo = atomicLoadStatic64(head);
  let code = RMP_OK;
  if ((lo & (RMP_ASSIGNED | RMP_PAGESIZE_2M)) != (RMP_ASSIGNED | RMP_PAGESIZE_2M)) code = RMP_FAIL_INPUT;
  else if (lo & RMP_IMMUTABLE) code = RMP_FAIL_PERMISSION;
  else smashLocked(head, lo, hi & RMP_HI_PERMS);
  rmpUnlockEntry(head, hi);
  return code;
}

/** @context holds the head's LOCK; the head is a mutable 2M entry. */
function smashLocked(head: usize, lo: u64, perms: u64): void {
  const first = (lo & ~RMP_PAGESIZE_2M) | RMP_MARK;
  const last = head + PTRS_PER_2M * RMP_ENTRY_SIZE;
  let next = first + 0x1000;
  for (let entry = head + RMP_ENTRY_SIZE; entry < last; entry += RMP_ENTRY_SIZE) {
    if (atomicLoadStatic64(entry + RMP_HI) != perms) atomicStore64(entry + RMP_HI, perms);
    atomicStore64(entry, next);
    next += 0x1000;
  }
  changeHead(head, lo, (lo & ~RMP_PAGESIZE_2M) | RMP_COUNT_MASK);
  next = (first & ~RMP_MARK) + 0x1000;
  for (let entry = head + RMP_ENTRY_SIZE; entry < last; entry += RMP_ENTRY_SIZE) {
    atomicStore64(entry, next);
    next += 0x1000;
  }
}
