// rwlock: the spinning reader-writer lock (kvm->mmu_lock). This file holds the fast paths; queueing and waking are in rwlock-slow.ts.
// kernel: kernel/locking/qrwlock.c. Waiters form one queue, first come, first served; its head keeps newcomers out by the WAITING bit.
// The kernel's head is always on a CPU and sets the bit at once. Here threads outnumber cores, and a lock kept free for a thread that sleeps
// serves nobody: so the head claims the lock only after it has been passed over for CLAIM_AFTER_NS, which bounds every wait all the same.
// In the controlled build it claims at once: strictly first come, first served.
//
// cnts (+0)  bits 0-7     0xff WRITER: a writer holds it
//            bit 8        WAITING: the head of the queue claims the lock, nobody else may enter; changed under wait_lock only
//            bit 9        QUEUED: the queue is not empty, so a release must look after it; changed under wait_lock only
//            bits 10-31   readers, READER_BIAS each: holders, and for a moment readers that found WRITER or WAITING and back out
//   0                      free: the only value a writer's fast path accepts
//   WRITER                 a writer, nobody queued: its release wakes nobody
//   WRITER|QUEUED          a writer and a queue: its release wakes the head
//   readers                readers, nobody queued: readers may enter
//   readers|QUEUED         readers, and a writer at the head that has not claimed yet: readers may still enter
//   QUEUED                 free with a queue: the woken head, or anybody quicker, may take it
//   ...|WAITING            (always with QUEUED) only the head may take it; holders leave as above
//   readers|WRITER...      readers that are backing out
// The kernel has no QUEUED (whoever waits, spins) and its readers start at bit 9. As there, a writer's release is a store of its byte; it looks for QUEUED
// behind it, perhaps before the store arrives, so whoever sets QUEUED settles before it looks at the lock.
// owner (+4)  writer: task id + 1, 0 after release. Readers: the last one in | OWNER_READER, not cleared.
// wait_lock (+16, 16 bytes, see word.ts), queue {first, last} (+32), see waiter.ts.
import { LC_WAIT } from '../abi/classes';
import { HELD_READ, HELD_SPINNING, HELD_TRY, LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER, OWNER_READER } from '../abi/sync';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicLoad8, atomicStore32, atomicSub32, loadStatic32, store32, storeRelease8 } from '../point';
import { currentId } from '../task';
import { locksAreAbstract } from './abstract';
import { lockdepAcquire, lockdepRelease } from './lockdep';
import { lockstatAcquire, lockstatRelease } from './lockstat';
import { rwlockReadSlow, rwlockWake, rwlockWriteSlow } from './rwlock-slow';
import { spinLockInit } from './spinlock';

export const RWLOCK_WAIT_LOCK: usize = 16;
export const RWLOCK_QUEUE: usize = 32;

export const RWLOCK_WRITER: u32 = 0xff;
export const RWLOCK_WAITING: u32 = 0x100;
export const RWLOCK_QUEUED: u32 = 0x200;
export const RWLOCK_READER_BIAS: u32 = 0x400;
/** A reader that finds one of these must not enter. */
export const RWLOCK_CLOSED: u32 = RWLOCK_WRITER | RWLOCK_WAITING;

/** @context before the lock is shared. kernel: rwlock_init(). */
export function rwlockInit(l: usize, cls: u32): void {
  store32(l + LOCK_OWNER, 0);
  store32(l + LOCK_CLASS, cls);
  store32(l + LOCK_EXTRA, 0);
  spinLockInit(l + RWLOCK_WAIT_LOCK, LC_WAIT);
  store32(l + RWLOCK_QUEUE, 0);
  store32(l + RWLOCK_QUEUE + 4, 0);
  atomicStore32(l, 0);
}

/** @context takes the lock for read; no sleep until readUnlock. kernel: read_lock(). */
// @ts-ignore: decorator
@inline
export function readLock(l: usize): void {
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_READ | HELD_SPINNING);
  if ((atomicAdd32(l, RWLOCK_READER_BIAS) & RWLOCK_CLOSED) != 0) rwlockReadSlow(l);
  store32(l + LOCK_OWNER, (currentId() + 1) | OWNER_READER);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
}

/** @context takes the lock for read when no writer holds it or claims it; never waits. kernel: read_trylock(). */
export function readTrylock(l: usize): bool {
  if (!rwlockReadTake(l)) return false;
  store32(l + LOCK_OWNER, (currentId() + 1) | OWNER_READER);
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_READ | HELD_SPINNING | HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
  return true;
}

/** @context releases the lock held for read. kernel: read_unlock(). */
// @ts-ignore: decorator
@inline
export function readUnlock(l: usize): void {
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, loadStatic32(l + LOCK_CLASS));
  rwlockReadLeave(l);
}

/** @context takes the lock for write; no sleep until writeUnlock. kernel: write_lock(). */
// @ts-ignore: decorator
@inline
export function writeLock(l: usize): void {
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_SPINNING);
  if (atomicCas32(l, 0, RWLOCK_WRITER) != 0) rwlockWriteSlow(l);
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
}

/** @context takes the lock for write when it is free and nobody waits; never waits. kernel: write_trylock(). */
export function writeTrylock(l: usize): bool {
  if (atomicCas32(l, 0, RWLOCK_WRITER) != 0) return false;
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_SPINNING | HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
  return true;
}

/** @context releases the lock held for write. kernel: write_unlock(). */
// @ts-ignore: decorator
@inline
export function writeUnlock(l: usize): void {
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, loadStatic32(l + LOCK_CLASS));
  store32(l + LOCK_OWNER, 0);
  storeRelease8(l, 0);
  if (!locksAreAbstract() && (atomicLoad8(l + 1) & (RWLOCK_QUEUED >> 8)) != 0) rwlockWake(l);
}

/** Somebody waits for this lock: a long holder should let go for a moment. @context held. kernel: rwlock_needbreak(). */
// @ts-ignore: decorator
@inline
export function rwlockNeedbreak(l: usize): bool {
  return (atomicLoad32(l) & RWLOCK_QUEUED) != 0;
}

/** Takes one reader's share back; the last one out looks after the queue. */
// @ts-ignore: decorator
@inline
export function rwlockReadLeave(l: usize): void {
  const cnts = atomicSub32(l, RWLOCK_READER_BIAS) - RWLOCK_READER_BIAS;
  if ((cnts & ~RWLOCK_WAITING) == RWLOCK_QUEUED) rwlockWake(l);
}

/** Enters as a reader unless the lock is closed to readers. */
export function rwlockReadTake(l: usize): bool {
  let cnts = atomicLoad32(l);
  while ((cnts & RWLOCK_CLOSED) == 0) {
    const seen = atomicCas32(l, cnts, cnts + RWLOCK_READER_BIAS);
    if (seen == cnts) return true;
    cnts = seen;
  }
  return false;
}
