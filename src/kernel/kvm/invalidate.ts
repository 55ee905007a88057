// The invalidation protocol between whoever takes pages away and the page faults that would map them: a count of open sections, the union of
// their ranges, and a sequence number. kernel: virt/kvm/kvm_main.c kvm_mmu_invalidate_begin(), include/linux/kvm_host.h (6.8).
//
// A fault reads the sequence number, looks the page up, takes mmu_lock and checks: a section open over its gfn, or a section that ended since
// (seq differs): the page may be gone, retry. begin raises the count before anything is zapped, end raises seq before it lowers the count:
// at no moment does a stale look-up find both unchanged.
import {
  KC_BEGINS, KC_ENDS, KVM_COUNTERS, KVM_ID, KVM_INVALIDATE_END, KVM_INVALIDATE_IN_PROGRESS, KVM_INVALIDATE_SEQ,
  KVM_INVALIDATE_START, KVM_LOST_END,
} from '../abi/kvm';
import { OOPS_BALANCE_NEGATIVE, OOPS_END_WITHOUT_RANGE, OOPS_RANGE_SHRANK, OOPS_RANGE_WITHOUT_BEGIN, ORACLE_BALANCE } from '../abi/oops';
import { EV_INVALIDATE_BEGIN, EV_INVALIDATE_END, EV_INVALIDATE_RANGE } from '../abi/trace';
import { V_B12, V_PLANT_LOST_END } from '../abi/variants';
import { oops } from '../oops';
import {
  atomicLoad32, atomicLoad64, atomicLoadStatic64, load32, load64, loadStatic32, loadStatic64, oraclesOn, store32, storeOnce32, storeOnce64, storeRelease32, variant,
} from '../point';
import { traceInstant } from '../trace';
import { kvmVmBugged } from './requests';

/** No range added since the last section closed. kernel: INVALID_GPA. */
export const INVALID_GFN: u64 = 0xffffffffffffffff;

/** Adds one to a counter all of whose writers hold mmu_lock for write: the others take kvmCount. */
// @ts-ignore: decorator
@inline
export function kvmCountLocked(kvm: usize, counter: usize): void {
  const p: usize = kvm + KVM_COUNTERS + (counter << 2);
  store32(p, load32(p) + 1);
}

/** Opens a section. What it stores is published by the unlock: lockless looks are hints. @context mmu_lock held for write. kernel: kvm_mmu_invalidate_begin(). */
export function kvmMmuInvalidateBegin(kvm: usize): void {
  traceInstant(EV_INVALIDATE_BEGIN, load32(kvm + KVM_ID), 0, 0);
  const open = load32(kvm + KVM_INVALIDATE_IN_PROGRESS) + 1;
  storeOnce32(kvm + KVM_INVALIDATE_IN_PROGRESS, open);
  if (open == 1) {
    storeOnce64(kvm + KVM_INVALIDATE_START, INVALID_GFN);
    storeOnce64(kvm + KVM_INVALIDATE_END, INVALID_GFN);
  }
  kvmCountLocked(kvm, KC_BEGINS);
}

/**
 * Adds [start, end) to the union of open ranges. It only grows until all sections are closed.
 * @context mmu_lock held for write, a section open. kernel: kvm_mmu_invalidate_range_add().
 */
export function kvmMmuInvalidateRangeAdd(kvm: usize, start: u64, end: u64): void {
  traceInstant(EV_INVALIDATE_RANGE, load32(kvm + KVM_ID), start, end);
  const open = load32(kvm + KVM_INVALIDATE_IN_PROGRESS);
  if (open == 0 && oraclesOn()) oops(ORACLE_BALANCE, OOPS_RANGE_WITHOUT_BEGIN, load32(kvm + KVM_ID), <f64>start, <f64>end);
  const oldStart = load64(kvm + KVM_INVALIDATE_START);
  // V_B12: the RFC era asked for "first section" instead of "first range": the second range of one section overwrites the first.
  if (oldStart == INVALID_GFN || (variant(V_B12) && open == 1)) {
    if (ORACLES && oldStart != INVALID_GFN) checkUnion(kvm, oldStart, start, end);
    storeOnce64(kvm + KVM_INVALIDATE_START, start);
    storeOnce64(kvm + KVM_INVALIDATE_END, end);
    return;
  }
  // Many sections at once are rare: the union may hold gfns that nobody invalidates, which costs their faults a retry.
  if (start < oldStart) storeOnce64(kvm + KVM_INVALIDATE_START, start);
  if (end > load64(kvm + KVM_INVALIDATE_END)) storeOnce64(kvm + KVM_INVALIDATE_END, end);
}

/** Every open section's range stays tracked until all are closed, or a fault would map what is being taken away. @context as kvmMmuInvalidateRangeAdd. */
function checkUnion(kvm: usize, oldStart: u64, start: u64, end: u64): void {
  const oldEnd = load64(kvm + KVM_INVALIDATE_END);
  if (!oraclesOn() || (start <= oldStart && end >= oldEnd)) return;
  oops(ORACLE_BALANCE, OOPS_RANGE_SHRANK, load32(kvm + KVM_ID), <f64>oldStart, <f64>oldEnd, <f64>start, <f64>end);
}

/** Closes a section. @context mmu_lock held for write. kernel: kvm_mmu_invalidate_end(). */
export function kvmMmuInvalidateEnd(kvm: usize): void {
  if (variant(V_PLANT_LOST_END) && load32(kvm + KVM_LOST_END) == 0) {
    store32(kvm + KVM_LOST_END, 1);
    return;
  }
  // Sequence first: a lockless reader that finds the count at 0 finds the new number too.
  storeOnce64(kvm + KVM_INVALIDATE_SEQ, load64(kvm + KVM_INVALIDATE_SEQ) + 1);
  const open = <i32>load32(kvm + KVM_INVALIDATE_IN_PROGRESS) - 1;
  traceInstant(EV_INVALIDATE_END, load32(kvm + KVM_ID), 0, 0);
  storeRelease32(kvm + KVM_INVALIDATE_IN_PROGRESS, <u32>open);
  kvmCountLocked(kvm, KC_ENDS);
  if (open < 0) {
    kvmVmBugged(kvm);
    if (oraclesOn()) oops(ORACLE_BALANCE, OOPS_BALANCE_NEGATIVE, load32(kvm + KVM_ID), open);
  }
  if (oraclesOn() && load64(kvm + KVM_INVALIDATE_START) == INVALID_GFN) oops(ORACLE_BALANCE, OOPS_END_WITHOUT_RANGE, load32(kvm + KVM_ID));
}

/** Whether a fault that read `seq` must retry, whatever its gfn. @context mmu_lock held. kernel: mmu_invalidate_retry(). */
export function mmuInvalidateRetry(kvm: usize, seq: u64): bool {
  return atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS) != 0 || atomicLoad64(kvm + KVM_INVALIDATE_SEQ) != seq;
}

/**
 * Whether a fault of `gfn` that read `seq` before it looked its page up must retry. An invalidation of other gfns lets it pass while it is
 * open, but throws it away once it has ended: the number does not say which range it stood for.
 * @context mmu_lock held (read suffices). kernel: mmu_invalidate_retry_gfn().
 */
export function mmuInvalidateRetryGfn(kvm: usize, seq: u64, gfn: u64): bool {
  if (loadStatic32(kvm + KVM_INVALIDATE_IN_PROGRESS) != 0) {
    const start = loadStatic64(kvm + KVM_INVALIDATE_START);
    // A section without a range says nothing about what it takes away.
    if (start == INVALID_GFN) return true;
    if (gfn >= start && gfn < loadStatic64(kvm + KVM_INVALIDATE_END)) return true;
  }
  return loadStatic64(kvm + KVM_INVALIDATE_SEQ) != seq;
}

/**
 * The same without mmu_lock: an early answer that saves the look-up. It may be wrong either way; the check under the lock decides.
 * @context any. kernel: mmu_invalidate_retry_gfn_unsafe().
 */
export function mmuInvalidateRetryGfnUnsafe(kvm: usize, seq: u64, gfn: u64): bool {
  if (atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS) != 0) {
    const start = atomicLoad64(kvm + KVM_INVALIDATE_START);
    if (start == INVALID_GFN || (gfn >= start && gfn < atomicLoad64(kvm + KVM_INVALIDATE_END))) return true;
  }
  return atomicLoadStatic64(kvm + KVM_INVALIDATE_SEQ) != seq;
}
