// Loops that measure uncontended locks from inside Wasm, where a call from JavaScript would cost more than the lock. Each runs `n` pairs.
import { mutexLock, mutexUnlock } from './mutex';
import { rcuReadLock, rcuReadUnlock } from './rcu';
import { readLock, readUnlock, writeLock, writeUnlock } from './rwlock';
import { downRead, downWrite, upRead, upWrite } from './rwsem';
import { spinLock, spinUnlock } from './spinlock';
import { srcuReadLock, srcuReadUnlock } from './srcu';

/** @context takes and releases `l`, an rwsem. */
export function benchRwsemWritePairs(l: usize, n: i32): void {
  for (; n > 0; n--) {
    downWrite(l);
    upWrite(l);
  }
}

/** @context takes and releases `l`, an rwsem. */
export function benchRwsemReadPairs(l: usize, n: i32): void {
  for (; n > 0; n--) {
    downRead(l);
    upRead(l);
  }
}

/** @context read sections of `s`, an srcu. */
export function benchSrcuReadPairs(s: usize, n: i32): void {
  for (; n > 0; n--) srcuReadUnlock(s, srcuReadLock(s));
}

/** @context takes and releases `l`, an rwlock. */
export function benchRwlockWritePairs(l: usize, n: i32): void {
  for (; n > 0; n--) {
    writeLock(l);
    writeUnlock(l);
  }
}

/** @context takes and releases `l`, an rwlock. */
export function benchRwlockReadPairs(l: usize, n: i32): void {
  for (; n > 0; n--) {
    readLock(l);
    readUnlock(l);
  }
}

/** @context takes and releases `l`, a mutex. */
export function benchMutexPairs(l: usize, n: i32): void {
  for (; n > 0; n--) {
    mutexLock(l);
    mutexUnlock(l);
  }
}

/** @context takes and releases `l`, a spinlock. */
export function benchSpinlockPairs(l: usize, n: i32): void {
  for (; n > 0; n--) {
    spinLock(l);
    spinUnlock(l);
  }
}

/** @context RCU read sections. */
export function benchRcuReadPairs(n: i32): void {
  for (; n > 0; n--) {
    rcuReadLock();
    rcuReadUnlock();
  }
}
