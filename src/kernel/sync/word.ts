// The exclusive lock word under spinlock, mutex and every wait_lock: one compare-and-exchange takes it, one release store of its lowest byte frees it; who
// cannot have it spins for a bounded time and then parks on a futex, because here threads outnumber cores and a spinner may keep the holder
// from running. A waiter that was passed over too often reserves the lock: then nobody else may take it.
// Stands for kernel/locking/qspinlock.c (its locked byte) and mutex.c (its hand-off); after parking_lot's raw_mutex.
//
// word (+0)   bits 0-7  LOCKED 1: somebody holds the lock
//             bit 8     PARKED   waiters may sleep on the word: the release must wake one; set while LOCKED only
//             bit 9     HANDOFF  the waiter named by +12 has reserved the lock: only it may take it; set while LOCKED only
//   0                      free: the only state in which the fast path takes it
//   LOCKED                 held, nobody parked: its release wakes nobody
//   LOCKED|PARKED          held; its release leaves PARKED, clears that, too, and wakes one waiter, which competes with newcomers
//   PARKED                 free, a release is under way: who comes to the slow path may take it and keeps PARKED
//   LOCKED|PARKED|HANDOFF  held; its release leaves PARKED|HANDOFF
//   PARKED|HANDOFF         reserved: the release makes it LOCKED|PARKED for the waiter that +12 names, and clears +12; or that waiter does so itself
// HANDOFF without PARKED does not occur.
// The release looks for waiters behind its store, by a load that may be done before the store arrives. So whoever sets PARKED or HANDOFF settles and looks
// again before it sleeps: a release that came too early to see the bit has arrived by then. And because it looks behind its store, the lock must live on
// until the release returns, as with the kernel's mutex_unlock(): it may not guard the life of the object it lies in.
// owner (+4)  task id + 1, 0 when free. reserved (+12) task id + 1 of the waiter that asked for the hand-off, 0: none.
import { TASK_BARRIER, TASK_WAIT_LOCK, WAIT_SPIN } from '../abi/layout';
import { LOCK_OWNER, LOCK_EXTRA } from '../abi/sync';
import { atomicCas32, atomicLoad32, atomicLoad8, atomicStore32, checkStop, cpuRelax, current, futexWait, futexWake, loadStatic32, store32, storeRelease8 } from '../point';
import { currentId, heartbeat, waitBegin, waitEnd } from '../task';
import { abstractTake, locksAreAbstract } from './abstract';

const LOCKED: u32 = 1;
const PARKED: u32 = 0x100;
const HANDOFF: u32 = 0x200;
/** Byte of the word that says whether the release has more to do. */
const WAITERS: usize = 1;

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

/** Gives the CPU away for a time: nobody wakes it. For loops that wait for another CPU in the middle of something short, once they have spun. @context sleeps. */
export function nap(ns: i64): void {
  heartbeat();
  futexWait(current + TASK_BARRIER, loadStatic32(current + TASK_BARRIER), ns);
  checkStop();
}

/** Takes the lock if nobody has it and nobody waits. @context never waits. */
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
  storeRelease8(l, 0);
  if (!locksAreAbstract() && atomicLoad8(l + WAITERS) != 0) wordUnlockSlow(l);
}

/** A wait_lock: without class, so lockdep and lockstat do not see it. @context a leaf; held for a few instructions. */
// @ts-ignore: decorator
@inline
export function rawLock(l: usize): void {
  wordLock(l, WAIT_SPIN);
  store32(l + LOCK_OWNER, currentId() + 1);
}

/** @context releases what rawLock took; never sleeps. */
// @ts-ignore: decorator
@inline
export function rawUnlock(l: usize): void {
  store32(l + LOCK_OWNER, 0);
  wordUnlock(l);
}

/** wordLock of a lock that was not free. @context takes the lock; may park. */
export function wordLockSlow(l: usize, kind: u32): void {
  if (locksAreAbstract()) abstractTake(l, LOCKED, kind);
  else spinThenPark(l, kind);
}

function spinThenPark(l: usize, kind: u32): void {
  for (let n = spinTurns(); n > 0; n--) {
    const word = atomicLoad32(l);
    if ((word & (LOCKED | HANDOFF)) == 0 && atomicCas32(l, word, word | LOCKED) == word) return;
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
    const word = atomicLoad32(l);
    if ((word & (LOCKED | HANDOFF)) == 0) {
      if (atomicCas32(l, word, LOCKED | PARKED) == word) return;
      continue;
    }
    if (lost >= patience() && atomicCas32(l + LOCK_EXTRA, 0, currentId() + 1) == 0) {
      wordAwaitHandoff(l);
      return;
    }
    if ((word & PARKED) == 0) {
      if (atomicCas32(l, word, word | PARKED) == word) settle();
      continue;
    }
    if (park(l, word) != 1) lost++;
  }
}

/** The caller's id is in the reserved word, and stays there until the lock is ours: by our own doing or by the release. */
function wordAwaitHandoff(l: usize): void {
  const self = currentId() + 1;
  let asked = false;
  while (atomicLoad32(l + LOCK_EXTRA) == self) {
    const word = atomicLoad32(l);
    if ((word & LOCKED) == 0) {
      // First the word, then the name: the next waiter can reserve the lock only when this one has it.
      if (atomicCas32(l, word, LOCKED | PARKED) != word) continue;
      atomicStore32(l + LOCK_EXTRA, 0);
      return;
    }
    // Once asked, LOCKED without HANDOFF means: handed over, the name is about to go.
    if (asked) park(l + LOCK_EXTRA, self);
    // PARKED, too: the wake-up that brought us here may have been the only one for several sleepers.
    else if (atomicCas32(l, word, word | PARKED | HANDOFF) == word) {
      asked = true;
      settle();
    }
  }
}

/** The lowest byte is 0 already, by the caller's store, unless somebody has taken the lock since: then its release does the rest. */
export function wordUnlockSlow(l: usize): void {
  while (true) {
    const word = atomicLoad32(l);
    if ((word & LOCKED) != 0 || word == 0) return;
    if ((word & HANDOFF) == 0) {
      if (atomicCas32(l, word, 0) != word) continue;
      futexWake(l, 1);
      return;
    }
    if (atomicCas32(l, word, LOCKED | PARKED) != word) continue;
    atomicStore32(l + LOCK_EXTRA, 0);
    futexWake(l + LOCK_EXTRA, 0xffffffff);
    return;
  }
}
