// The exclusive lock word under spinlock, mutex and every wait_lock: one compare-and-exchange takes it, one releases it; who cannot
// have it spins for a bounded time and then parks on a futex, because here threads outnumber cores and a spinner may keep the holder
// from running. A waiter that was passed over too often reserves the lock: the holder then hands it over instead of releasing it.
// Stands for kernel/locking/qspinlock.c and mutex.c (its hand-off); after parking_lot's raw_mutex.
//
// word (+0)   bit 0  LOCKED   somebody holds the lock
//             bit 1  PARKED   waiters may sleep on the word: the release must wake one
//             bit 2  HANDOFF  the waiter named by +12 has reserved the lock: the release must hand it over
//   0                      free: the only state in which anybody may take it
//   LOCKED                 held, nobody parked: release is 1 -> 0 and wakes nobody
//   LOCKED|PARKED          held; release frees it and wakes one waiter, which competes with newcomers
//   LOCKED|PARKED|HANDOFF  held; release keeps LOCKED and PARKED and clears HANDOFF and +12: the lock changes hands without being free
// PARKED without LOCKED, or HANDOFF without both, do not occur.
// owner (+4)  task id + 1, 0 when free. reserved (+12) task id + 1 of the waiter that asked for the hand-off, 0: none.
import { TASK_WAIT_LOCK, WAIT_SPIN } from '../abi/layout';
import { LOCK_OWNER, LOCK_EXTRA } from '../abi/sync';
import { atomicAnd32, atomicCas32, atomicLoad32, atomicStore32, checkStop, cpuRelax, current, futexWait, futexWake, loadStatic32, store32 } from '../point';
import { currentId, heartbeat, waitBegin, waitEnd } from '../task';
import { abstractTake, locksAreAbstract } from './abstract';

const LOCKED: u32 = 1;
const PARKED: u32 = 2;
const HANDOFF: u32 = 4;

/** No wait is longer: an oopsed run or a dead holder lets every blocked thread go within this time. */
export const PARK_LIMIT_NS: i64 = 100_000_000;

/** Turns of a spin before parking, about 2 us. The controlled build parks at once: its scheduler picks the order, time does not. */
// @ts-ignore: decorator
@inline
export function spinTurns(): i32 { return CONTROLLED ? 0 : 100; }

/**
 * Lets release stores arrive, about 1 us: of a task that made one and then looked whether somebody waits, and looked too early. Between saying that one waits
 * and the last look before the sleep. Under the explorer a store arrives at once.
 */
export function settle(): void {
  if (CONTROLLED) return;
  for (let n = 200; n > 0; n--) cpuRelax();
}

/** Wake-ups that a waiter may lose to newcomers before it reserves the lock. */
// @ts-ignore: decorator
@inline
function patience(): i32 { return CONTROLLED ? 1 : 4; }

/**
 * One bounded sleep of a waiting loop. The caller tests its condition again afterwards: wake-ups may be spurious.
 * @context sleeps.
 */
export function park(p: usize, expected: u32, limitNs: i64 = PARK_LIMIT_NS): i32 {
  heartbeat();
  checkStop();
  // Under a scheduler the bound is none: a sleeper whom nobody wakes shall be found, not rescued.
  const result = futexWait(p, expected, CONTROLLED && limitNs == PARK_LIMIT_NS ? -1 : limitNs);
  checkStop();
  return result;
}

// @ts-ignore: decorator
@inline
export function wordTryLock(l: usize): bool {
  return atomicCas32(l, 0, LOCKED) == 0;
}

/** @context takes the lock; may park. */
// @ts-ignore: decorator
@inline
export function wordLock(l: usize, kind: u32): void {
  if (atomicCas32(l, 0, LOCKED) != 0) wordLockSlow(l, kind);
}

/** @context releases the lock; never sleeps. */
// @ts-ignore: decorator
@inline
export function wordUnlock(l: usize): void {
  if (atomicCas32(l, LOCKED, 0) != LOCKED) wordUnlockSlow(l);
}

/** A wait_lock: without class, so lockdep and lockstat do not see it. @context a leaf; held for a few instructions. */
// @ts-ignore: decorator
@inline
export function rawLock(l: usize): void {
  wordLock(l, WAIT_SPIN);
  store32(l + LOCK_OWNER, currentId() + 1);
}

// @ts-ignore: decorator
@inline
export function rawUnlock(l: usize): void {
  store32(l + LOCK_OWNER, 0);
  wordUnlock(l);
}

export function wordLockSlow(l: usize, kind: u32): void {
  if (locksAreAbstract()) abstractTake(l, LOCKED, kind);
  else spinThenPark(l, kind);
}

function spinThenPark(l: usize, kind: u32): void {
  for (let n = spinTurns(); n > 0; n--) {
    if (atomicLoad32(l) == 0 && atomicCas32(l, 0, LOCKED) == 0) return;
    cpuRelax();
  }
  // A wait_lock is taken in the middle of another lock's wait: the watchdog shall go on seeing the outer one.
  const outermost = loadStatic32(current + TASK_WAIT_LOCK) == 0;
  if (outermost) waitBegin(l, kind);
  wordPark(l);
  if (outermost) waitEnd();
}

/**
 * Sleeps until the lock is ours. No wake-up is lost: PARKED is set by a compare-and-exchange on a held word, and the sleep begins only
 * if the word still has the value that was set; the release changes the word before it wakes. Who has slept takes the lock with
 * PARKED set, for it cannot know whether others sleep: at worst the last release wakes nobody.
 */
function wordPark(l: usize): void {
  let lost = 0;
  while (true) {
    let word = atomicLoad32(l);
    if ((word & LOCKED) == 0) {
      if (atomicCas32(l, 0, LOCKED | PARKED) == 0) return;
      continue;
    }
    if (lost >= patience() && atomicCas32(l + LOCK_EXTRA, 0, currentId() + 1) == 0) {
      wordAwaitHandoff(l);
      return;
    }
    if ((word & PARKED) == 0) {
      if (atomicCas32(l, word, word | PARKED) != word) continue;
      word |= PARKED;
    }
    if (park(l, word) != 1) lost++;
  }
}

/** The caller's id is in the reserved word. The lock is ours when a release has removed it (or when we find the lock free first). */
function wordAwaitHandoff(l: usize): void {
  const self = currentId() + 1;
  while (true) {
    const word = atomicLoad32(l);
    if ((word & LOCKED) == 0) {
      if (atomicCas32(l, 0, LOCKED | PARKED) != 0) continue;
      atomicStore32(l + LOCK_EXTRA, 0);
      return;
    }
    // PARKED, too: the wake-up that brought us here may have been the only one for several sleepers.
    if (atomicCas32(l, word, word | PARKED | HANDOFF) == word) break;
  }
  while (atomicLoad32(l + LOCK_EXTRA) == self) park(l + LOCK_EXTRA, self);
}

export function wordUnlockSlow(l: usize): void {
  while (true) {
    const word = atomicLoad32(l);
    if ((word & HANDOFF) != 0) {
      // First the bit, then the name: the next waiter can reserve the lock only after this hand-over is complete.
      atomicAnd32(l, ~HANDOFF);
      atomicStore32(l + LOCK_EXTRA, 0);
      futexWake(l + LOCK_EXTRA, 0xffffffff);
      return;
    }
    if (atomicCas32(l, word, 0) != word) continue;
    if ((word & PARKED) != 0) futexWake(l, 1);
    return;
  }
}
