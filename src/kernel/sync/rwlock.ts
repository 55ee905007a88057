// rwlock: the spinning reader-writer lock (kvm->mmu_lock). Newcomers spin for a bounded time and then queue; from there the order is strictly
// first come, first served: nobody enters while somebody is queued. The releaser grants the lock to the head of the queue, a writer or
// all readers up to the next writer, before it wakes them. kernel: kernel/locking/qrwlock.c (there waiters pass through the FIFO of wait_lock
// one by one and spin; here threads outnumber cores, so a waiter must be able to sleep, and a chain of wake-ups would be slow).
//
// cnts (+0)  bits 0-7    0xff: a writer holds it
//            bit 8       WAITING: the queue is not empty; set and cleared under wait_lock only
//            bits 9-31   readers, READER_BIAS each: holders, and for a moment readers that found a writer bit and back out
//   0                     free: the only value a writer's fast path accepts
//   WRITER                a writer, nobody queued
//   WRITER|WAITING        a writer and a queue: its release grants the lock to the head
//   readers               readers, nobody queued: readers may enter
//   readers|WAITING       readers, and a writer at the head of the queue: newcomers queue; the last reader out grants
//   WAITING               for a moment, while a release or a newcomer is on its way to grant
//   readers|WRITER...     readers that are backing out
// owner (+4)  writer: task id + 1, 0 after release. Readers: the last one in | OWNER_READER, not cleared.
// wait_lock (+16, 16 bytes, see word.ts), queue {first, last} (+32), see waiter.ts.
import { LC_WAIT } from '../abi/classes';
import { WAIT_READ_LOCK, WAIT_WRITE_LOCK } from '../abi/layout';
import { HELD_READ, HELD_SPINNING, HELD_TRY, LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER, OWNER_READER } from '../abi/sync';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicOr32, atomicStore32, atomicSub32, cpuRelax, load32, nowNs, store32 } from '../point';
import { currentId, stackPop, stackPush, waitBegin, waitEnd } from '../task';
import { lockdepAcquire, lockdepRelease } from './lockdep';
import { lockstatAcquire, lockstatRelease, lockstatWait } from './lockstat';
import { spinLockInit } from './spinlock';
import {
  WAITER_NEXT, WAITER_READ, WAITER_SIZE, WAITER_TASK, WAITER_TYPE, WAITER_WRITE, waiterAppend, waiterInit, waiterRemove, waiterSleep,
  waiterWakeChain,
} from './waiter';
import { rawLock, rawUnlock, spinTurns } from './word';

export const RWLOCK_SIZE: usize = 64;
const WAIT_LOCK: usize = 16;
const QUEUE: usize = 32;

const WRITER: u32 = 0xff;
const WAITING: u32 = 0x100;
const WRITER_BITS: u32 = 0x1ff;
const READER_BIAS: u32 = 0x200;

/** @context before the lock is shared. kernel: rwlock_init(). */
export function rwlockInit(l: usize, cls: u32): void {
  store32(l + LOCK_OWNER, 0);
  store32(l + LOCK_CLASS, cls);
  store32(l + LOCK_EXTRA, 0);
  spinLockInit(l + WAIT_LOCK, LC_WAIT);
  store32(l + QUEUE, 0);
  store32(l + QUEUE + 4, 0);
  atomicStore32(l, 0);
}

/** @context takes the lock for read; no sleep until readUnlock. kernel: read_lock(). */
// @ts-ignore: decorator
@inline
export function readLock(l: usize): void {
  if (LOCKDEP) lockdepAcquire(l, load32(l + LOCK_CLASS), HELD_READ | HELD_SPINNING);
  if ((atomicAdd32(l, READER_BIAS) & WRITER_BITS) != 0) readLockSlow(l);
  store32(l + LOCK_OWNER, (currentId() + 1) | OWNER_READER);
  if (LOCKSTAT) lockstatAcquire(l, load32(l + LOCK_CLASS));
}

/** @context takes the lock for read when no writer holds it or waits; never waits. kernel: read_trylock(). */
export function readTrylock(l: usize): bool {
  if (!readTake(l)) return false;
  store32(l + LOCK_OWNER, (currentId() + 1) | OWNER_READER);
  if (LOCKDEP) lockdepAcquire(l, load32(l + LOCK_CLASS), HELD_READ | HELD_SPINNING | HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, load32(l + LOCK_CLASS));
  return true;
}

/** @context releases the lock held for read. kernel: read_unlock(). */
// @ts-ignore: decorator
@inline
export function readUnlock(l: usize): void {
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, load32(l + LOCK_CLASS));
  readLeave(l);
}

/** @context takes the lock for write; no sleep until writeUnlock. kernel: write_lock(). */
// @ts-ignore: decorator
@inline
export function writeLock(l: usize): void {
  if (LOCKDEP) lockdepAcquire(l, load32(l + LOCK_CLASS), HELD_SPINNING);
  if (atomicCas32(l, 0, WRITER) != 0) writeLockSlow(l);
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKSTAT) lockstatAcquire(l, load32(l + LOCK_CLASS));
}

/** @context takes the lock for write when it is free and nobody waits; never waits. kernel: write_trylock(). */
export function writeTrylock(l: usize): bool {
  if (atomicCas32(l, 0, WRITER) != 0) return false;
  store32(l + LOCK_OWNER, currentId() + 1);
  if (LOCKDEP) lockdepAcquire(l, load32(l + LOCK_CLASS), HELD_SPINNING | HELD_TRY);
  if (LOCKSTAT) lockstatAcquire(l, load32(l + LOCK_CLASS));
  return true;
}

/** @context releases the lock held for write. kernel: write_unlock(). */
// @ts-ignore: decorator
@inline
export function writeUnlock(l: usize): void {
  if (LOCKDEP) lockdepRelease(l);
  if (LOCKSTAT) lockstatRelease(l, load32(l + LOCK_CLASS));
  store32(l + LOCK_OWNER, 0);
  if ((atomicSub32(l, WRITER) & WAITING) != 0) grantHead(l);
}

/** Somebody waits for this lock: a long holder should let go for a moment. @context held. kernel: rwlock_needbreak(). */
// @ts-ignore: decorator
@inline
export function rwlockNeedbreak(l: usize): bool {
  return (atomicLoad32(l) & WAITING) != 0;
}

/** Takes one reader's share back; the last one out lets the head of the queue in. */
// @ts-ignore: decorator
@inline
function readLeave(l: usize): void {
  if (atomicSub32(l, READER_BIAS) == (READER_BIAS | WAITING)) grantHead(l);
}

function readTake(l: usize): bool {
  let cnts = atomicLoad32(l);
  while ((cnts & WRITER_BITS) == 0) {
    const seen = atomicCas32(l, cnts, cnts + READER_BIAS);
    if (seen == cnts) return true;
    cnts = seen;
  }
  return false;
}

function readLockSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  readLeave(l);
  if (!readSpin(l)) queueUp(l, WAITER_READ, WAIT_READ_LOCK);
  if (LOCKSTAT) lockstatWait(load32(l + LOCK_CLASS), since);
}

function readSpin(l: usize): bool {
  for (let n = spinTurns(); n > 0; n--) {
    if (readTake(l)) return true;
    cpuRelax();
  }
  return false;
}

function writeLockSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  if (!writeSpin(l)) queueUp(l, WAITER_WRITE, WAIT_WRITE_LOCK);
  if (LOCKSTAT) lockstatWait(load32(l + LOCK_CLASS), since);
}

function writeSpin(l: usize): bool {
  for (let n = spinTurns(); n > 0; n--) {
    // One atomic operation takes the lock with acquire order: no read of the critical section can come before it (B58).
    if (atomicLoad32(l) == 0 && atomicCas32(l, 0, WRITER) == 0) return true;
    cpuRelax();
  }
  return false;
}

/**
 * Joins the queue and sleeps until the lock is granted. No grant is lost: WAITING is set before the newcomer itself tries to grant, so a
 * release either sees the bit, or came before and is seen by that try.
 */
function queueUp(l: usize, type: u32, waitKind: u32): void {
  const node = stackPush(WAITER_SIZE);
  waiterInit(node, type);
  rawLock(l + WAIT_LOCK);
  waiterAppend(l + QUEUE, node);
  atomicOr32(l, WAITING);
  const chain = takeGranted(l);
  rawUnlock(l + WAIT_LOCK);
  waiterWakeChain(chain);
  waitBegin(l, waitKind);
  waiterSleep(node);
  waitEnd();
  stackPop(WAITER_SIZE);
}

/** @context the lock has come free with a queue. */
function grantHead(l: usize): void {
  rawLock(l + WAIT_LOCK);
  const chain = takeGranted(l);
  rawUnlock(l + WAIT_LOCK);
  waiterWakeChain(chain);
}

/**
 * Gives the lock to the head of the queue if it can be given now; returns the chain of granted nodes. While WAITING is set nobody takes
 * the lock by a fast path, so the word changes under us only by readers that leave or back out: the last of those comes here again.
 * @context wait_lock held.
 */
function takeGranted(l: usize): usize {
  const queue = l + QUEUE;
  const first: usize = load32(queue);
  if (first == 0) return 0;
  if (load32(first + WAITER_TYPE) == WAITER_WRITE) {
    const alone = load32(queue + 4) == <u32>first;
    if (atomicCas32(l, WAITING, alone ? WRITER : WRITER | WAITING) != WAITING) return 0;
    waiterRemove(queue, 0, first);
    store32(l + LOCK_OWNER, load32(first + WAITER_TASK) + 1);
    return first;
  }
  if ((atomicLoad32(l) & WRITER) != 0) return 0;
  let tail = first;
  let readers: u32 = 1;
  let next: usize = load32(first + WAITER_NEXT);
  while (next != 0 && load32(next + WAITER_TYPE) == WAITER_READ) {
    tail = next;
    readers++;
    next = load32(next + WAITER_NEXT);
  }
  store32(tail + WAITER_NEXT, 0);
  store32(queue, <u32>next);
  if (next == 0) store32(queue + 4, 0);
  store32(l + LOCK_OWNER, (load32(first + WAITER_TASK) + 1) | OWNER_READER);
  atomicAdd32(l, readers * READER_BIAS - (next == 0 ? WAITING : 0));
  return first;
}
