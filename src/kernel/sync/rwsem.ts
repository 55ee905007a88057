// rw_semaphore: the sleeping reader-writer lock, with a queue, writer hand-off and downgrade. This file holds the fast paths; queueing
// and waking are in rwsem-slow.ts. kernel: kernel/locking/rwsem.c, whose 64-bit count is scaled to 32 bits here.
//
// count (+0)  bit 0       WRITER_LOCKED  a writer holds it
//             bit 1       WAITERS        the queue is not empty; changed under wait_lock only
//             bit 2       HANDOFF        the first waiter has waited too long: nobody else may take the lock
//             bits 3-7                   zero
//             bits 8-30   readers        READER_BIAS each: holders, and for a moment readers that are about to queue
//             bit 31      READ_FAIL      the reader count is about to overflow
//   0                       free: the only value a writer's fast path accepts
//   WRITER_LOCKED           a writer, nobody queued: its release wakes nobody
//   WRITER_LOCKED|WAITERS   a writer; its release wakes the head of the queue
//   readers                 readers, nobody queued: more readers may enter by their fast path
//   readers|WAITERS         readers and a queue: newcomers take the slow path, and queue if two readers are inside already
//   WAITERS                 free with a queue: the woken writer, or anybody quicker, may take it
//   ...|HANDOFF             (always with WAITERS) only the first waiter may take it; releases go on as above
//   readers|WRITER_LOCKED   readers that looked in while a writer holds it: they take their bias back when they queue
// owner (+4)  writer: task id + 1. Readers: the last one in | OWNER_READER, not cleared on release; OWNER_NONSPINNABLE as the kernel's.
// wait_lock (+16, 16 bytes, see word.ts), queue {first, last} (+32), see waiter.ts.
import { HELD_READ, HELD_TRY, LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER, OWNER_NONSPINNABLE, OWNER_READER } from '../abi/sync';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, atomicSub32, loadStatic32, store32 } from '../point';
import { currentId } from '../task';
import { lockdepAcquire, lockdepDowngrade, lockdepRelease } from './lockdep';
import { lockstatAcquire, lockstatRelease } from './lockstat';
import { rwsemDowngradeWake, rwsemReadSlow, rwsemWake, rwsemWriteSlow } from './rwsem-slow';
import { spinLockInit } from './spinlock';
import { LC_WAIT } from '../abi/classes';

export const RWSEM_WAIT_LOCK: usize = 16;
export const RWSEM_QUEUE: usize = 32;

export const RWSEM_WRITER_LOCKED: u32 = 1;
export const RWSEM_WAITERS: u32 = 2;
export const RWSEM_HANDOFF: u32 = 4;
export const RWSEM_READER_BIAS: u32 = 256;
export const RWSEM_READER_MASK: u32 = 0x7fffff00;
export const RWSEM_READ_FAIL: u32 = 0x80000000;
export const RWSEM_LOCK_MASK: u32 = RWSEM_READER_MASK | RWSEM_WRITER_LOCKED;
/** A reader whose addition finds one of these goes the slow way. */
export const RWSEM_READ_FAILED: u32 = RWSEM_WRITER_LOCKED | RWSEM_WAITERS | RWSEM_HANDOFF | RWSEM_READ_FAIL;

/** @context before the lock is shared. kernel: init_rwsem(). */
export function rwsemInit(l: usize, cls: u32): void {
  store32(l + LOCK_OWNER, 0);
  store32(l + LOCK_CLASS, cls);
  store32(l + LOCK_EXTRA, 0);
  spinLockInit(l + RWSEM_WAIT_LOCK, LC_WAIT);
  store32(l + RWSEM_QUEUE, 0);
  store32(l + RWSEM_QUEUE + 4, 0);
  atomicStore32(l, 0);
}

/** Notes the current task as the last reader in; keeps the flag that writers need. kernel: rwsem_set_reader_owned(). */
// @ts-ignore: decorator
@inline
export function rwsemSetReaderOwned(l: usize): void {
  store32(l + LOCK_OWNER, (currentId() + 1) | OWNER_READER | (loadStatic32(l + LOCK_OWNER) & OWNER_NONSPINNABLE));
}

/** @context takes the semaphore for read; sleeps. kernel: down_read(). */
// @ts-ignore: decorator
@inline
export function downRead(l: usize): void {
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_READ);
  if ((atomicAdd32(l, RWSEM_READER_BIAS) & RWSEM_READ_FAILED) == 0) rwsemSetReaderOwned(l);
  else rwsemReadSlow(l);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
}

/** Enters as a reader unless a writer holds the semaphore or somebody waits. */
export function rwsemReadTake(l: usize): bool {
  let count = atomicLoad32(l);
  while ((count & RWSEM_READ_FAILED) == 0) {
    const seen = atomicCas32(l, count, count + RWSEM_READER_BIAS);
    if (seen == count) return true;
    count = seen;
  }
  return false;
}

/** @context takes the semaphore for read when no writer holds it and nobody waits; never waits. kernel: down_read_trylock(). */
export function downReadTrylock(l: usize): bool {
  if (!rwsemReadTake(l)) return false;
  rwsemSetReaderOwned(l);
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_READ | HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
  return true;
}

/** @context releases the semaphore held for read. kernel: up_read(). */
// @ts-ignore: decorator
@inline
export function upRead(l: usize): void {
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, loadStatic32(l + LOCK_CLASS));
  const count = atomicSub32(l, RWSEM_READER_BIAS) - RWSEM_READER_BIAS;
  if ((count & (RWSEM_LOCK_MASK | RWSEM_WAITERS)) == RWSEM_WAITERS) rwsemWake(l);
}

/** @context takes the semaphore for write; sleeps. kernel: down_write(). */
// @ts-ignore: decorator
@inline
export function downWrite(l: usize): void {
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), 0);
  if (atomicCas32(l, 0, RWSEM_WRITER_LOCKED) != 0) rwsemWriteSlow(l);
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
}

/** @context takes the semaphore for write when it is free and nobody waits; never waits. kernel: down_write_trylock(). */
export function downWriteTrylock(l: usize): bool {
  if (atomicCas32(l, 0, RWSEM_WRITER_LOCKED) != 0) return false;
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKDEP) lockdepAcquire(l, loadStatic32(l + LOCK_CLASS), HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, loadStatic32(l + LOCK_CLASS));
  return true;
}

/** @context releases the semaphore held for write. kernel: up_write(). */
// @ts-ignore: decorator
@inline
export function upWrite(l: usize): void {
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, loadStatic32(l + LOCK_CLASS));
  store32(l + LOCK_OWNER, 0);
  if ((atomicSub32(l, RWSEM_WRITER_LOCKED) & RWSEM_WAITERS) != 0) rwsemWake(l);
}

/**
 * The writer becomes a reader in one step of the count, so no other writer can come in between.
 * @context held for write; afterwards held for read. kernel: downgrade_write().
 */
export function downgradeWrite(l: usize): void {
  if (LOCKDEP) lockdepDowngrade(l);
  const count = atomicAdd32(l, RWSEM_READER_BIAS - RWSEM_WRITER_LOCKED);
  rwsemSetReaderOwned(l);
  if ((count & RWSEM_WAITERS) != 0) rwsemDowngradeWake(l);
}
