// Mutex: the sleeping exclusive lock. Word layout, parking and hand-off: word.ts. kernel: kernel/locking/mutex.c (there the owner and
// the flags WAITERS, HANDOFF, PICKUP share one word; here the owner has its own, so that the fast path is one compare-and-exchange).
import { WAIT_MUTEX } from '../abi/layout';
import { HELD_TRY, LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER } from '../abi/sync';
import { V_PLANT_BUSTED_LOCK } from '../abi/variants';
import { atomicStore32, loadStatic32, nowNs, store32, variant } from '../point';
import { currentId } from '../task';
import { lockdepAcquire, lockdepRelease } from './lockdep';
import { lockstatAcquire, lockstatRelease, lockstatWait } from './lockstat';
import { wordLockSlow, wordTryLock, wordUnlock } from './word';

// struct mutex (64 bytes): {word, owner, class, reserved} as in word.ts; the rest pads the line.

/** @context before the lock is shared. */
export function mutexInit(l: usize, cls: u32): void {
  store32(l + LOCK_OWNER, 0);
  store32(l + LOCK_CLASS, cls);
  store32(l + LOCK_EXTRA, 0);
  atomicStore32(l, 0);
}

/** @context takes the mutex; sleeps, so no spinning lock may be held. kernel: mutex_lock(). */
// @ts-ignore: decorator
@inline
export function mutexLock(l: usize): void {
  // V_PLANT_BUSTED_LOCK: the lock that excludes nobody, as locktorture's lock_busted.
  if (variant(V_PLANT_BUSTED_LOCK)) return;
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), 0);
  if (!wordTryLock(l)) mutexLockSlow(l);
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
}

function mutexLockSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  wordLockSlow(l, WAIT_MUTEX);
  if (LOCKSTAT) lockstatWait(loadStatic32(l + LOCK_CLASS), since);
}

/** @context takes the mutex when it is free; never waits. kernel: mutex_trylock(). */
// @ts-ignore: decorator
@inline
export function mutexTrylock(l: usize): bool {
  if (variant(V_PLANT_BUSTED_LOCK)) return true;
  if (!wordTryLock(l)) return false;
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
  return true;
}

/** @context releases the mutex, which this task holds. kernel: mutex_unlock(). */
// @ts-ignore: decorator
@inline
export function mutexUnlock(l: usize): void {
  if (variant(V_PLANT_BUSTED_LOCK)) return;
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, loadStatic32(l + LOCK_CLASS));
  store32(l + LOCK_OWNER, 0);
  wordUnlock(l);
}
