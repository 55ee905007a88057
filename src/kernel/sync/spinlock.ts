// Spinlock. Its holder must not sleep (lockdep checks), so waits are short; a waiter still parks after a bounded spin, because the
// holder's thread may have lost its core. Word layout and hand-off: word.ts. kernel: include/linux/spinlock.h, kernel/locking/qspinlock.c.
import { WAIT_SPIN } from '../abi/layout';
import { HELD_SPINNING, HELD_TRY, LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER } from '../abi/sync';
import { atomicStore32, loadStatic32, nowNs, store32 } from '../point';
import { currentId } from '../task';
import { lockdepAcquire, lockdepRelease } from './lockdep';
import { lockstatAcquire, lockstatRelease, lockstatWait } from './lockstat';
import { wordLockSlow, wordTryLock, wordUnlock } from './word';

// struct spinlock (16 bytes): {word, owner, class, reserved} as in word.ts.

/** @context before the lock is shared. */
export function spinLockInit(l: usize, cls: u32): void {
  store32(l + LOCK_OWNER, 0);
  store32(l + LOCK_CLASS, cls);
  store32(l + LOCK_EXTRA, 0);
  atomicStore32(l, 0);
}

/** @context takes the spinlock; no sleep until spinUnlock. kernel: spin_lock(). */
// @ts-ignore: decorator
@inline
export function spinLock(l: usize): void {
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_SPINNING);
  if (!wordTryLock(l)) spinLockSlow(l);
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
}

function spinLockSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  wordLockSlow(l, WAIT_SPIN);
  if (LOCKSTAT) lockstatWait(loadStatic32(l + LOCK_CLASS), since);
}

/** @context takes the spinlock when it is free; never waits. kernel: spin_trylock(). */
// @ts-ignore: decorator
@inline
export function spinTrylock(l: usize): bool {
  if (!wordTryLock(l)) return false;
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_SPINNING | HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
  return true;
}

/** @context releases the spinlock, which this task holds. kernel: spin_unlock(). */
// @ts-ignore: decorator
@inline
export function spinUnlock(l: usize): void {
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, loadStatic32(l + LOCK_CLASS));
  store32(l + LOCK_OWNER, 0);
  wordUnlock(l);
}
