// A lock of a scenario's own with a word behind it: what the lock promises is that whoever reads the word sees what was written under it.
import { LC_USER } from '../abi/classes';
import { kzalloc } from '../heap';
import { load32, store32 } from '../point';
import { readLock, readUnlock, rwlockInit, writeLock, writeUnlock } from '../sync/rwlock';
import { downRead, downWrite, rwsemInit, upRead, upWrite } from '../sync/rwsem';

const LOCK_IS_RWSEM: usize = 64;
const LOCK_DATA: usize = 68;
const LOCKED_SIZE: u32 = 128;

/** An rwsem, or an rwlock, with its word; 0 when out of memory. */
export function createLock(isRwsem: i32): usize {
  const l = kzalloc(LOCKED_SIZE);
  if (l == 0) return 0;
  store32(l + LOCK_IS_RWSEM, isRwsem != 0 ? 1 : 0);
  if (isRwsem != 0) rwsemInit(l, LC_USER);
  else rwlockInit(l, LC_USER);
  return l;
}

/** Stores `value` under the lock. @context sleeps on an rwsem. */
export function lockedWrite(l: usize, value: u32): i32 {
  const isRwsem = load32(l + LOCK_IS_RWSEM) != 0;
  if (isRwsem) downWrite(l);
  else writeLock(l);
  store32(l + LOCK_DATA, value);
  if (isRwsem) upWrite(l);
  else writeUnlock(l);
  return 0;
}

/** The word, read under the lock. @context as lockedWrite. */
export function lockedRead(l: usize): i32 {
  const isRwsem = load32(l + LOCK_IS_RWSEM) != 0;
  if (isRwsem) downRead(l);
  else readLock(l);
  const value = load32(l + LOCK_DATA);
  if (isRwsem) upRead(l);
  else readUnlock(l);
  return <i32>value;
}
