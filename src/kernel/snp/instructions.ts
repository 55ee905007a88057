// RMPUPDATE of 4K pages: the instruction as the hardware executes it, with its codes and no retry. The 2M forms are in region.ts, the guest's
// instructions in guest.ts. Words P1..P5 refer to the protocol in rmp.ts. kernel: AMD APM volume 3; codes as arch/x86/include/asm/sev.h.
import { PTRS_PER_2M } from '../abi/layout';
import { COST_RMPUPDATE } from '../abi/costs';
import {
  PG_LEVEL_2M, PG_LEVEL_4K, RMP_ALREADY_ASSIGNED, RMP_ENTRY_SIZE, RMP_FAIL_INPUT, RMP_FAIL_INUSE, RMP_FAIL_OVERLAP, RMP_FAIL_PERMISSION, RMP_HI,
  RMP_OK, RMP_OPERAND_ASID, RMP_OPERAND_ASSIGNED, RMP_OPERAND_GPA, RMP_OPERAND_IMMUTABLE, RMP_OPERAND_PAGESIZE, SNP_ASID_LIMIT,
} from '../abi/snp';
import { spend } from '../costs';
import { atomicCas64, atomicLoadStatic64, atomicStore64, atomicSub64, load32, load64, load8 } from '../point';
import { rmpupdate2m } from './region';
import {
  RMP_ASSIGNED, RMP_COUNT_MASK, RMP_COUNT_ONE, rmpCovers, rmpEntry, RMP_HI_BUSY, RMP_HI_LOCK, RMP_IMMUTABLE, rmpIsHead, RMP_MARK,
  RMP_PAGESIZE_2M, rmpState, RMP_VALIDATED, RMP_VMSA, RMP_FIRMWARE_BIT,
} from './rmp';

export { psmashInsn } from './region';

/** Tries of a CAS on a head that other CPUs' counting keeps changing, before the instruction reports that the entry is in use. */
const HEAD_TRIES = 64;

/**
 * RMPUPDATE. `state` is the wanted lo word (rmpState; 0 or just the pagesize bit = back to the hypervisor). Returns the hardware code.
 * `onlyIfFree` is ours: do nothing and return RMP_ALREADY_ASSIGNED when the page is assigned. It stands for the folio lock that the kernel
 * holds between looking an entry up and assigning the page.
 * @context any; lockless, never sleeps.
 */
export function rmpupdateInsn(pfn: u32, state: u64, onlyIfFree: bool): i32 {
  if (!rmpCovers(pfn)) return RMP_FAIL_INPUT;
  if (!(state & RMP_ASSIGNED)) {
    if (state & ~RMP_PAGESIZE_2M) return RMP_FAIL_INPUT;
  } else if (state & (RMP_COUNT_MASK | RMP_VALIDATED | RMP_VMSA | RMP_FIRMWARE_BIT)) {
    return RMP_FAIL_INPUT;
  }
  if (state & RMP_PAGESIZE_2M) return rmpupdate2m(pfn, state, onlyIfFree);
  spend(COST_RMPUPDATE);
  const entry = rmpEntry(pfn);
  const hi = atomicLoadStatic64(entry + RMP_HI);
  if (hi != 0) return updateWithHi(pfn, entry, hi, state, onlyIfFree);
  if (rmpIsHead(pfn)) return updateHead(entry, 0, state, onlyIfFree);
  return updateFollower(pfn, entry, 0, state, onlyIfFree);
}

/** RMPUPDATE with its operand in memory, the architectural form (abi/snp.ts RMP_OPERAND_*). */
export function rmpupdateOperand(pfn: u32, operand: usize): i32 {
  const asid = load32(operand + RMP_OPERAND_ASID);
  const gpa = load64(operand + RMP_OPERAND_GPA);
  const level = load8(operand + RMP_OPERAND_PAGESIZE) & 1 ? PG_LEVEL_2M : PG_LEVEL_4K;
  const immutable = load8(operand + RMP_OPERAND_IMMUTABLE) != 0;
  if (asid > <u32>SNP_ASID_LIMIT) return RMP_FAIL_INPUT;
  if (load8(operand + RMP_OPERAND_ASSIGNED) != 0) return rmpupdateInsn(pfn, rmpState(gpa, level, asid, immutable), false);
  if (immutable || asid != 0 || gpa != 0) return RMP_FAIL_INPUT;
  return rmpupdateInsn(pfn, level == PG_LEVEL_2M ? RMP_PAGESIZE_2M : 0, false);
}

/** The entry's hi is not zero: busy, or it holds VMPL permissions, which only leave together with the old state: under LOCK. */
function updateWithHi(pfn: u32, entry: usize, hi: u64, state: u64, onlyIfFree: bool): i32 {
  if (hi & RMP_HI_BUSY) return RMP_FAIL_INUSE;
  const locked = hi | RMP_HI_LOCK;
  if (atomicCas64(entry + RMP_HI, hi, locked) != hi) return RMP_FAIL_INUSE;
  const code = rmpIsHead(pfn) ? updateHead(entry, locked, state, onlyIfFree) : updateFollower(pfn, entry, locked, state, onlyIfFree);
  atomicStore64(entry + RMP_HI, code == RMP_OK ? 0 : hi);
  return code;
}

/** P1: counts a follower in at its head. One that the firmware made (the RMP table's own last region) takes none in: seen as code 2 in AMDSEV issue 245. */
// @ts-ignore: decorator
@inline
function reserve(head: usize): i32 {
  for (let tries = 0; tries < HEAD_TRIES; tries++) {
    const old = atomicLoadStatic64(head);
    if (old & (RMP_PAGESIZE_2M | RMP_FIRMWARE_BIT)) return old & RMP_PAGESIZE_2M ? RMP_FAIL_OVERLAP : RMP_FAIL_PERMISSION;
    // Full without us: another CPU is between its two steps on this very page.
    if ((old & RMP_COUNT_MASK) == RMP_COUNT_MASK) return RMP_FAIL_INUSE;
    if (atomicCas64(head, old, old + RMP_COUNT_ONE) == old) return RMP_OK;
  }
  return RMP_FAIL_INUSE;
}

/** The entry of a PFN that is not 2M-aligned. `hi` is what its hi word must stay (P4). */
// @ts-ignore: decorator
@inline
function updateFollower(pfn: u32, entry: usize, hi: u64, state: u64, onlyIfFree: bool): i32 {
  const head = entry - <usize>(pfn & (PTRS_PER_2M - 1)) * RMP_ENTRY_SIZE;
  const lo = atomicLoadStatic64(entry);
  if (lo & RMP_MARK) return RMP_FAIL_INUSE;
  if (lo & RMP_IMMUTABLE) return RMP_FAIL_PERMISSION;
  if (lo & RMP_ASSIGNED) {
    // P3: the head is not 2M.
    if (onlyIfFree) return RMP_ALREADY_ASSIGNED;
    if (atomicCas64(entry, lo, state) != lo) return RMP_FAIL_INUSE;
    if (atomicLoadStatic64(entry + RMP_HI) != hi && atomicCas64(entry, state, lo) == state) return RMP_FAIL_INUSE;
    if (!(state & RMP_ASSIGNED)) atomicSub64(head, RMP_COUNT_ONE);
    return RMP_OK;
  }
  if (!(state & RMP_ASSIGNED)) {
    if (atomicLoadStatic64(head) & RMP_PAGESIZE_2M) return RMP_FAIL_OVERLAP;
    // A PSMASH between the two looks has filled the entry in: the page is assigned, and there is something to do.
    return atomicLoadStatic64(entry) & RMP_ASSIGNED ? RMP_FAIL_INUSE : RMP_OK;
  }
  const code = reserve(head);
  if (code != RMP_OK) return code;
  if (atomicCas64(entry, lo, state) == lo) {
    if (atomicLoadStatic64(entry + RMP_HI) == hi || atomicCas64(entry, state, lo) != state) return RMP_OK;
  }
  atomicSub64(head, RMP_COUNT_ONE);
  return RMP_FAIL_INUSE;
}

/** The entry of a 2M-aligned PFN as a 4K page: its count bits belong to the others and change at any time. */
function updateHead(entry: usize, hi: u64, state: u64, onlyIfFree: bool): i32 {
  for (let tries = 0; tries < HEAD_TRIES; tries++) {
    const lo = atomicLoadStatic64(entry);
    if (lo & RMP_IMMUTABLE) return RMP_FAIL_PERMISSION;
    if (lo & RMP_PAGESIZE_2M) return onlyIfFree && (lo & RMP_ASSIGNED) != 0 ? RMP_ALREADY_ASSIGNED : RMP_FAIL_OVERLAP;
    if (onlyIfFree && (lo & RMP_ASSIGNED) != 0) return RMP_ALREADY_ASSIGNED;
    const old = atomicCas64(entry, lo, state | (lo & RMP_COUNT_MASK));
    if (old == lo) {
      if (atomicLoadStatic64(entry + RMP_HI) == hi || !takeBackHead(entry, state, lo & ~RMP_COUNT_MASK)) return RMP_OK;
      return RMP_FAIL_INUSE;
    }
    if ((old ^ lo) & ~RMP_COUNT_MASK) return RMP_FAIL_INUSE;
  }
  return RMP_FAIL_INUSE;
}

/** P4 for a head: puts `before` back in place of `state`. False when someone has changed the entry since. */
function takeBackHead(entry: usize, state: u64, before: u64): bool {
  let now = atomicLoadStatic64(entry);
  while ((now & ~RMP_COUNT_MASK) == state) {
    const old = atomicCas64(entry, now, before | (now & RMP_COUNT_MASK));
    if (old == now) return true;
    now = old;
  }
  return false;
}

/**
 * The hook's short form of RMPUPDATE: gives the 4K follower `entry` back to the hypervisor if it is exactly `wanted` (rmpState of owner and gpa;
 * validated and vmsa do not matter), and leaves the subtraction at its head to the caller (rmpUncount), who does it once for a run of pages
 * of one region. Until then the count is too high, which P1 allows: a 2M update meets a transient overlap. False: nothing was changed, take
 * the whole instruction. Because owner and gpa are compared in the same instruction that unassigns, the caller needs no hold on the page.
 * @context any; lockless.
 */
// @ts-ignore: decorator
@inline
export function rmpUnassignFollower(entry: usize, wanted: u64): bool {
  const lo = atomicLoadStatic64(entry);
  if ((lo & ~(RMP_VALIDATED | RMP_VMSA)) != wanted || atomicLoadStatic64(entry + RMP_HI) != 0) return false;
  if (atomicCas64(entry, lo, 0) != lo) return false;
  return atomicLoadStatic64(entry + RMP_HI) == 0 || atomicCas64(entry, 0, lo) != 0;
}

/**
 * The same for the 2M-aligned page of a region, as a 4K page: a 2M entry is not `wanted`. Its count of followers stays. False: nothing was changed.
 * @context any; lockless.
 */
export function rmpUnassignHead(entry: usize, wanted: u64): bool {
  const lo = atomicLoadStatic64(entry);
  if ((lo & ~(RMP_VALIDATED | RMP_VMSA | RMP_COUNT_MASK)) != wanted || atomicLoadStatic64(entry + RMP_HI) != 0) return false;
  if (atomicCas64(entry, lo, lo & RMP_COUNT_MASK) != lo) return false;
  return atomicLoadStatic64(entry + RMP_HI) == 0 || !takeBackHead(entry, 0, lo & ~RMP_COUNT_MASK);
}

/** Subtracts `pages` unassigned followers from the head entry of their region. */
// @ts-ignore: decorator
@inline
export function rmpUncount(headEntry: usize, pages: u32): void {
  atomicSub64(headEntry, <u64>pages << 3);
}
