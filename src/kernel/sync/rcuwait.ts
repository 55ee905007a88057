// rcuwait: one task sleeps until another has made a condition true. Use: prepareToRcuwait(w); while (!condition) rcuwaitSleep(w); finishRcuwait(w).
// kernel: include/linux/rcuwait.h, kernel/exit.c rcuwait_wake_up(); used by kvm->mn_memslots_update_rcuwait.
//
// word (+0)   IDLE 0    nobody waits: a wake-up is one load
//             ARMED 1   the owner looks at its condition or sleeps: a wake-up must notify
//             WOKEN 2   a wake-up came; the owner arms again before it looks at the condition
// owner (+4)  task id + 1 of the waiter. One waiter only: the caller sees to that (slots_lock, in KVM).
// The waker makes the condition true, then looks at the word; the waiter arms the word, then looks at the condition. All four are sequentially
// consistent, so at least one of them sees the other's step; and the sleep begins only while the word is ARMED.
import { WAIT_RCUWAIT } from '../abi/layout';
import { LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER, SITE_RCUWAIT } from '../abi/sync';
import { atomicCas32, atomicLoad32, atomicStore32, fence, futexWake, store32 } from '../point';
import { currentId, waitBegin, waitEnd } from '../task';
import { mightSleep } from './lockdep';
import { park } from './word';

const IDLE: u32 = 0;
const ARMED: u32 = 1;
const WOKEN: u32 = 2;

/** @context before the structure is shared. kernel: rcuwait_init(). */
export function rcuwaitInit(w: usize): void {
  store32(w + LOCK_OWNER, 0);
  store32(w + LOCK_CLASS, 0);
  store32(w + LOCK_EXTRA, 0);
  atomicStore32(w, IDLE);
}

/** Announces the current task as the waiter. @context before the first look at the condition. kernel: prepare_to_rcuwait(). */
export function prepareToRcuwait(w: usize): void {
  store32(w + LOCK_OWNER, currentId() + 1);
  atomicStore32(w, ARMED);
}

/** Sleeps until woken (or for a bounded time); the caller looks at its condition again. @context sleeps, after prepareToRcuwait. */
export function rcuwaitSleep(w: usize): void {
  if (LOCKDEP) mightSleep(SITE_RCUWAIT);
  waitBegin(w, WAIT_RCUWAIT);
  park(w, ARMED);
  waitEnd();
  atomicStore32(w, ARMED);
}

/** @context the condition is true. kernel: finish_rcuwait(). */
export function finishRcuwait(w: usize): void {
  atomicStore32(w, IDLE);
  store32(w + LOCK_OWNER, 0);
}

/** Wakes the waiter, if there is one. @context any, after the condition has been made true. kernel: rcuwait_wake_up(). */
export function rcuwaitWakeUp(w: usize): void {
  fence();
  if (atomicLoad32(w) != ARMED) return;
  if (atomicCas32(w, ARMED, WOKEN) == ARMED) futexWake(w, 1);
}
