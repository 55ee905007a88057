// Slow paths of the rwlock: spinning, queueing, waking, the claim of the head. Bits of the word: rwlock.ts. kernel: kernel/locking/qrwlock.c
// queued_read_lock_slowpath(), queued_write_lock_slowpath(). There waiters pass one by one through the FIFO of wait_lock; here the queue is a list,
// so that waiters can sleep and all readers at its head enter together instead of waking one another in a row.
import { WAIT_READ_LOCK, WAIT_WRITE_LOCK } from '../abi/layout';
import { LOCK_CLASS, LOCK_OWNER, OWNER_READER } from '../abi/sync';
import { V_B58 } from '../abi/variants';
import {
  atomicAdd32, atomicCas32, atomicLoad32, atomicOr32, casRelaxed32, cpuRelax, futexWake, load32, loadF64, loadStatic32, nowNs, store32, storeF64, variant,
} from '../point';
import { stackPop, stackPush, waitBegin, waitEnd } from '../task';
import { abstractReadLock, abstractWriteLock, locksAreAbstract } from './abstract';
import { lockstatWait } from './lockstat';
import {
  RWLOCK_QUEUE, RWLOCK_QUEUED, RWLOCK_READER_BIAS, RWLOCK_WAITING, RWLOCK_WAIT_LOCK, RWLOCK_WRITER, rwlockReadLeave, rwlockReadTake,
} from './rwlock';
import {
  WAITER_NEXT, WAITER_READ, WAITER_SINCE_NS, WAITER_SIZE, WAITER_TASK, WAITER_TYPE, WAITER_WRITE, waiterAppend, waiterInit, waiterRearm,
  waiterRemove, waiterSignal, waiterSleep, waiterSleepFor, waiterWakeChain,
} from './waiter';
import { rawLock, rawUnlock, settle, spinTurns } from './word';

/** So long the head of the queue may be passed over by newcomers. */
const CLAIM_AFTER_NS: f64 = 1_000_000;

/** A writer signalled under wait_lock is returned as its address + 1: it stays queued and needs only the notification. */
const NOTIFY_ONLY: usize = 1;

/** Whether a waiter may claim the lock now. Time stands still in the controlled build: there at once. */
// @ts-ignore: decorator
@inline
function claimDue(node: usize): bool {
  return CONTROLLED || nowNs() - loadF64(node + WAITER_SINCE_NS) > CLAIM_AFTER_NS;
}

/** @context the caller has added its bias to a closed lock; returns with the lock held for read. Parks after a bounded spin. */
export function rwlockReadSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  rwlockReadLeave(l);
  if (locksAreAbstract()) abstractReadLock(l);
  else if (!readSpin(l)) readQueue(l);
  if (LOCKSTAT) lockstatWait(loadStatic32(l + LOCK_CLASS), since);
}

function readSpin(l: usize): bool {
  for (let n = spinTurns(); n > 0; n--) {
    if (rwlockReadTake(l)) return true;
    cpuRelax();
  }
  return false;
}

/** Queues a reader, who sleeps until a release (or the reader itself, right away) has let it in. */
function readQueue(l: usize): void {
  const node = newWaiter(WAITER_READ);
  rawLock(l + RWLOCK_WAIT_LOCK);
  const first = join(l, node);
  // A release that came before QUEUED was set did not look after the queue: the head itself has to look.
  const chain: usize = first ? admitReaders(l, node) : 0;
  rawUnlock(l + RWLOCK_WAIT_LOCK);
  waiterWakeChain(chain);
  waitBegin(l, WAIT_READ_LOCK);
  waiterSleep(node);
  waitEnd();
  stackPop(WAITER_SIZE);
}

/** @context returns with the lock held for write. Parks after a bounded spin. */
export function rwlockWriteSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  if (locksAreAbstract()) abstractWriteLock(l);
  else if (!writeSpin(l)) writeQueue(l);
  if (LOCKSTAT) lockstatWait(loadStatic32(l + LOCK_CLASS), since);
}

/**
 * The compare-and-exchange that takes the lock acquires: no access of the critical section comes before it. That the look before it did is not enough, for readers may have come and gone
 * between the two (B58).
 */
// @ts-ignore: decorator
@inline
function writeTake(l: usize, cnts: u32, wanted: u32): u32 {
  return variant(V_B58) ? casRelaxed32(l, cnts, wanted) : atomicCas32(l, cnts, wanted);
}

function writeSpin(l: usize): bool {
  for (let n = spinTurns(); n > 0; n--) {
    const cnts = atomicLoad32(l);
    if ((cnts & ~RWLOCK_QUEUED) == 0 && writeTake(l, cnts, cnts | RWLOCK_WRITER) == cnts) return true;
    cpuRelax();
  }
  return false;
}

/** Queues a writer. Each time it is woken at the head it tries to take the lock, and claims it once it has been passed over for too long. */
function writeQueue(l: usize): void {
  const node = newWaiter(WAITER_WRITE);
  rawLock(l + RWLOCK_WAIT_LOCK);
  join(l, node);
  waitBegin(l, WAIT_WRITE_LOCK);
  while (!takeAsHead(l, node)) {
    waiterRearm(node);
    rawUnlock(l + RWLOCK_WAIT_LOCK);
    writePause(l, node);
    rawLock(l + RWLOCK_WAIT_LOCK);
  }
  rawUnlock(l + RWLOCK_WAIT_LOCK);
  waitEnd();
  stackPop(WAITER_SIZE);
}

function newWaiter(type: u32): usize {
  const node = stackPush(WAITER_SIZE);
  waiterInit(node, type);
  storeF64(node + WAITER_SINCE_NS, nowNs());
  return node;
}

/** Appends a waiter; returns whether it is the head. @context wait_lock held. */
function join(l: usize, node: usize): bool {
  const first = load32(l + RWLOCK_QUEUE) == 0;
  waiterAppend(l + RWLOCK_QUEUE, node);
  if (first) {
    atomicOr32(l, RWLOCK_QUEUED);
    settle();
  }
  return first;
}

/** Until the next try: a moment's look at the lock, then sleep; who has not claimed yet wakes in time to do so. */
function writePause(l: usize, node: usize): void {
  for (let n = spinTurns(); n > 0; n--) {
    if ((atomicLoad32(l) & ~(RWLOCK_QUEUED | RWLOCK_WAITING)) == 0 && atomicLoad32(l + RWLOCK_QUEUE) == <u32>node) return;
    cpuRelax();
  }
  const leftNs = loadF64(node + WAITER_SINCE_NS) + CLAIM_AFTER_NS - nowNs();
  waiterSleepFor(node, leftNs > 0 ? <i64>leftNs + 1000 : i64.MAX_VALUE);
}

/**
 * Takes the lock for a queued writer if it is the head and the lock is free, or else claims it when it is time. While the claim stands the
 * word changes only by holders that leave and readers that back out.
 * @context wait_lock held. Returns whether the lock was taken.
 */
function takeAsHead(l: usize, node: usize): bool {
  const queue = l + RWLOCK_QUEUE;
  if (load32(queue) != <u32>node) return false;
  let cnts = atomicLoad32(l);
  while ((cnts & ~(RWLOCK_QUEUED | RWLOCK_WAITING)) == 0) {
    const wanted = load32(queue + 4) == <u32>node ? RWLOCK_WRITER : RWLOCK_WRITER | RWLOCK_QUEUED;
    const seen = writeTake(l, cnts, wanted);
    if (seen == cnts) {
      waiterRemove(queue, 0, node);
      return true;
    }
    cnts = seen;
  }
  if ((cnts & RWLOCK_WAITING) == 0 && claimDue(node)) atomicOr32(l, RWLOCK_WAITING);
  return false;
}

/**
 * The lock came free with waiters queued. Nothing is lost: whoever queues sets QUEUED before it looks at the lock, so a release either sees
 * the bit or is seen by the newcomer. @context lock not held by the caller.
 */
export function rwlockWake(l: usize): void {
  rawLock(l + RWLOCK_WAIT_LOCK);
  const first: usize = load32(l + RWLOCK_QUEUE);
  let chain: usize = 0;
  if (first != 0) {
    if (load32(first + WAITER_TYPE) == WAITER_READ) chain = admitReaders(l, first);
    else if (waiterSignal(first)) chain = first + NOTIFY_ONLY;
  }
  rawUnlock(l + RWLOCK_WAIT_LOCK);
  if ((chain & NOTIFY_ONLY) != 0) futexWake(chain - NOTIFY_ONLY, 1);
  else waiterWakeChain(chain);
}

/**
 * Lets the readers at the head in, up to the first writer; returns their chain, or 0 when a writer is inside. The bias of the first is added
 * before the look, so that no writer can slip in after it.
 * @context wait_lock held, `first` is the head and a reader.
 */
function admitReaders(l: usize, first: usize): usize {
  const queue = l + RWLOCK_QUEUE;
  const cnts = atomicAdd32(l, RWLOCK_READER_BIAS);
  if ((cnts & RWLOCK_WRITER) != 0) {
    const claim = (cnts & RWLOCK_WAITING) == 0 && claimDue(first) ? RWLOCK_WAITING : 0;
    takeBack(l, claim);
    return 0;
  }
  let tail = first;
  let change: u32 = 0;
  let next: usize = load32(first + WAITER_NEXT);
  while (next != 0 && load32(next + WAITER_TYPE) == WAITER_READ) {
    tail = next;
    change += RWLOCK_READER_BIAS;
    next = load32(next + WAITER_NEXT);
  }
  store32(tail + WAITER_NEXT, 0);
  store32(queue, <u32>next);
  if (next == 0) {
    store32(queue + 4, 0);
    change -= RWLOCK_QUEUED;
  }
  // The claim of these readers ends; the writer behind them may have waited long enough for one of its own.
  if ((cnts & RWLOCK_WAITING) != 0) change -= RWLOCK_WAITING;
  if (next != 0 && claimDue(next)) change += RWLOCK_WAITING;
  store32(l + LOCK_OWNER, (load32(first + WAITER_TASK) + 1) | OWNER_READER);
  if (change != 0) atomicAdd32(l, change);
  return first;
}

/** A writer was inside: the head reader's bias goes back. The writer has seen QUEUED, or will: its release comes here again. */
function takeBack(l: usize, claim: u32): void {
  atomicAdd32(l, claim - RWLOCK_READER_BIAS);
}
