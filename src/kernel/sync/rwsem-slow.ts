// Slow paths of the rw_semaphore: stealing, queueing, waking, hand-off. Bits of the count: rwsem.ts. kernel: kernel/locking/rwsem.c.
// Glossary: bias = one reader's share of the count; steal = take the lock past the queue; hand-off = the first waiter's claim, after
// which nobody else may take the lock, so that neither readers nor writers starve.
// Different from the kernel: no MCS queue of spinners and no test of "owner runs on a CPU" (threads outnumber cores here); a spin is
// bounded instead. Only the first waiter may ask for the hand-off (the kernel learned that in "Prevent non-first waiter from spinning").
import { WAIT_RWSEM_READ, WAIT_RWSEM_WRITE } from '../abi/layout';
import { LOCK_CLASS, LOCK_OWNER, OWNER_NONSPINNABLE, OWNER_READER } from '../abi/sync';
import { V_B56 } from '../abi/variants';
import {
  atomicAdd32, atomicAnd32, atomicCas32, atomicLoad32, atomicSub32, cpuRelax, fence, futexWake, load32, loadF64, loadRelaxed32, loadStatic32, nowNs, store32, storeF64, variant,
} from '../point';
import { stackPop, stackPush, waitBegin, waitEnd } from '../task';
import { abstractDownRead, abstractDownWrite, locksAreAbstract } from './abstract';
import { lockstatWait } from './lockstat';
import {
  RWSEM_HANDOFF, RWSEM_LOCK_MASK, RWSEM_QUEUE, RWSEM_READER_BIAS, RWSEM_READER_MASK, RWSEM_READ_FAIL, RWSEM_READ_FAILED, RWSEM_WAITERS,
  RWSEM_WAIT_LOCK, RWSEM_WRITER_LOCKED, rwsemSetReaderOwned,
} from './rwsem';
import {
  WAITER_HANDOFF, WAITER_NEXT, WAITER_READ, WAITER_SINCE_NS, WAITER_SIZE, WAITER_TASK, WAITER_TYPE, WAITER_WRITE, waiterAppend, waiterInit,
  waiterPrevious, waiterRearm, waiterRemove, waiterSignal, waiterSleep, waiterSleepFor, waiterWakeChain,
} from './waiter';
import { rawLock, rawUnlock, spinTurns } from './word';

/** A first waiter that has waited this long asks for the hand-off. kernel: RWSEM_WAIT_TIMEOUT. */
const HANDOFF_AFTER_NS: f64 = 4_000_000;
/** Readers woken at once. kernel: MAX_READERS_WAKEUP. */
const WAKE_READERS_MAX: u32 = 256;

const WAKE_ANY: u32 = 0; // the head, whatever it is
const WAKE_READERS: u32 = 1; // the head if it is a reader
const WAKE_READ_OWNED: u32 = 2; // likewise; the caller itself holds the lock for read, so no writer can be inside

/** A writer signalled under wait_lock is returned as its address + 1: it stays queued and needs only the notification. */
const NOTIFY_ONLY: usize = 1;

/**
 * @context the caller has added its bias and found a READ_FAILED bit; returns with the lock held for read. Sleeps.
 * kernel: rwsem_down_read_slowpath().
 */
export function rwsemReadSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  if (locksAreAbstract()) abstractDownRead(l);
  else if (!readerSteal(l)) readerQueue(l);
  if (LOCKSTAT) lockstatWait(loadStatic32(l + LOCK_CLASS), since);
}

/** Keeps the bias when no writer is inside and the queue need not come first. Returns whether the lock is held now. */
function readerSteal(l: usize): bool {
  for (let n = spinTurns(); n > 0 && (atomicLoad32(l) & (RWSEM_WRITER_LOCKED | RWSEM_HANDOFF)) == RWSEM_WRITER_LOCKED; n--) cpuRelax();
  const count = atomicLoad32(l);
  if ((count & RWSEM_READ_FAILED) == 0) {
    rwsemSetReaderOwned(l);
    return true;
  }
  // With another reader inside, the queue's turn must come: stealing on would keep writers out for as long as readers overlap.
  const readers = (count & RWSEM_READER_MASK) / RWSEM_READER_BIAS;
  const crowded = (loadStatic32(l + LOCK_OWNER) & OWNER_READER) != 0 && readers > 1 && (count & RWSEM_WRITER_LOCKED) == 0;
  if (crowded || (count & (RWSEM_WRITER_LOCKED | RWSEM_HANDOFF | RWSEM_READ_FAIL)) != 0) return false;
  rwsemSetReaderOwned(l);
  // The first reader in takes along the readers at the head of the queue: none of them may be left behind a group it belongs to.
  if (readers == 1 && (count & RWSEM_WAITERS) != 0) rwsemDowngradeWake(l);
  return true;
}

/** Queues a reader that has its bias in the count, and sleeps until a waker has granted the lock. */
function readerQueue(l: usize): void {
  rawLock(l + RWSEM_WAIT_LOCK);
  const empty = load32(l + RWSEM_QUEUE) == 0;
  // A look that orders nothing would let our reads see what was there before the writer's stores (B56).
  const count = variant(V_B56) ? loadRelaxed32(l) : atomicLoad32(l);
  if (empty && (count & (RWSEM_WRITER_LOCKED | RWSEM_HANDOFF)) == 0) {
    // The writer has left meanwhile and our bias counts. The fence is the acquire that the kernel lacked; with sequentially consistent accesses it is implied.
    if (!variant(V_B56)) fence();
    rawUnlock(l + RWSEM_WAIT_LOCK);
    rwsemSetReaderOwned(l);
    return;
  }
  const node = stackPush(WAITER_SIZE);
  waiterInit(node, WAITER_READ);
  storeF64(node + WAITER_SINCE_NS, nowNs());
  waiterAppend(l + RWSEM_QUEUE, node);
  const change = (empty ? RWSEM_WAITERS : 0) - RWSEM_READER_BIAS;
  const chain = wakeIfFree(l, atomicAdd32(l, change) + change);
  rawUnlock(l + RWSEM_WAIT_LOCK);
  wakeMarked(chain);
  waitBegin(l, WAIT_RWSEM_READ);
  waiterSleep(node);
  waitEnd();
  stackPop(WAITER_SIZE);
}

/** @context returns with the lock held for write. Sleeps. kernel: rwsem_down_write_slowpath(). */
export function rwsemWriteSlow(l: usize): void {
  const since = LOCKSTAT ? nowNs() : 0;
  if (locksAreAbstract()) abstractDownWrite(l);
  else if (!writerSpin(l)) writerQueue(l);
  if (LOCKSTAT) lockstatWait(loadStatic32(l + LOCK_CLASS), since);
}

/** Takes the lock past the queue when it comes free within a bounded time. kernel: rwsem_optimistic_spin(). */
function writerSpin(l: usize): bool {
  if ((atomicLoad32(l + LOCK_OWNER) & OWNER_NONSPINNABLE) != 0) return false;
  let count = atomicLoad32(l);
  for (let n = spinTurns(); n > 0; n--) {
    if ((count & (RWSEM_LOCK_MASK | RWSEM_HANDOFF)) == 0) {
      if (atomicCas32(l, count, count | RWSEM_WRITER_LOCKED) == count) return true;
    } else {
      cpuRelax();
    }
    count = atomicLoad32(l);
  }
  // Readers held it for the whole spin: the next writers shall not even try, until the lock has been free once.
  const owner = atomicLoad32(l + LOCK_OWNER);
  if ((count & RWSEM_WRITER_LOCKED) == 0 && (owner & OWNER_READER) != 0) atomicCas32(l + LOCK_OWNER, owner, owner | OWNER_NONSPINNABLE);
  return false;
}

/** Whether a waiter may ask for the hand-off now. The controlled build counts tries, for its time stands still: see impatient(). */
function handoffDue(node: usize): bool {
  return nowNs() - loadF64(node + WAITER_SINCE_NS) > HANDOFF_AFTER_NS;
}

/** In the controlled build a waiter is entitled to the hand-off after one try in vain. */
// @ts-ignore: decorator
@inline
function impatient(node: usize): void {
  if (CONTROLLED) storeF64(node + WAITER_SINCE_NS, -1e18);
}

/** Queues a writer; each time it is woken it competes for the lock, and from HANDOFF_AFTER_NS on it insists. */
function writerQueue(l: usize): void {
  const node = stackPush(WAITER_SIZE);
  waiterInit(node, WAITER_WRITE);
  storeF64(node + WAITER_SINCE_NS, nowNs());
  rawLock(l + RWSEM_WAIT_LOCK);
  const empty = load32(l + RWSEM_QUEUE) == 0;
  waiterAppend(l + RWSEM_QUEUE, node);
  if (empty) {
    atomicAdd32(l, RWSEM_WAITERS);
  } else {
    const chain = wakeIfFree(l, atomicLoad32(l));
    if (chain != 0) {
      rawUnlock(l + RWSEM_WAIT_LOCK);
      wakeMarked(chain);
      rawLock(l + RWSEM_WAIT_LOCK);
    }
  }
  waitBegin(l, WAIT_RWSEM_WRITE);
  while (!tryWriteLock(l, node)) {
    waiterRearm(node);
    const insists = load32(node + WAITER_HANDOFF) != 0;
    rawUnlock(l + RWSEM_WAIT_LOCK);
    writerPause(l, node, insists);
    rawLock(l + RWSEM_WAIT_LOCK);
  }
  rawUnlock(l + RWSEM_WAIT_LOCK);
  waitEnd();
  stackPop(WAITER_SIZE);
}

/** Between two tries: who has the hand-off looks at the lock for a moment, then sleeps; who has not wakes in time to ask for it. */
function writerPause(l: usize, node: usize, insists: bool): void {
  impatient(node);
  if (insists) {
    for (let n = spinTurns(); n > 0; n--) {
      if ((atomicLoad32(l) & RWSEM_LOCK_MASK) == 0) return;
      cpuRelax();
    }
    waiterSleepFor(node, i64.MAX_VALUE);
    return;
  }
  const leftNs = loadF64(node + WAITER_SINCE_NS) + HANDOFF_AFTER_NS - nowNs();
  waiterSleepFor(node, leftNs > 0 ? <i64>leftNs + 1000 : i64.MAX_VALUE);
}

/**
 * Takes the lock for a queued writer, or asks for the hand-off when it is first and has waited long enough.
 * @context wait_lock held. Returns whether the lock was taken. kernel: rwsem_try_write_lock().
 */
function tryWriteLock(l: usize, node: usize): bool {
  const queue = l + RWSEM_QUEUE;
  const first: usize = load32(queue);
  const due = node == first && handoffDue(node);
  let count = atomicLoad32(l);
  while (true) {
    // A hand-off is honoured for the waiter that asked; being first it will get the lock, and nobody else spins for it.
    if ((count & RWSEM_HANDOFF) != 0 && node != first && load32(first + WAITER_HANDOFF) != 0) return false;
    let wanted = count;
    if ((count & RWSEM_LOCK_MASK) != 0) {
      if ((count & RWSEM_HANDOFF) != 0 || !due) return false;
      wanted |= RWSEM_HANDOFF;
    } else {
      wanted = (wanted | RWSEM_WRITER_LOCKED) & ~RWSEM_HANDOFF;
      if (first == load32(queue + 4)) wanted &= ~RWSEM_WAITERS;
    }
    const seen = atomicCas32(l, count, wanted);
    if (seen == count) {
      if ((wanted & RWSEM_HANDOFF) != 0) {
        store32(node + WAITER_HANDOFF, 1);
        return false;
      }
      waiterRemove(queue, waiterPrevious(queue, node), node);
      return true;
    }
    count = seen;
  }
  return false;
}

/** The lock came free with waiters queued. @context lock not held by the caller. kernel: rwsem_wake(). */
export function rwsemWake(l: usize): void {
  clearNonspinnable(l);
  rawLock(l + RWSEM_WAIT_LOCK);
  const chain: usize = load32(l + RWSEM_QUEUE) == 0 ? 0 : markWake(l, WAKE_ANY);
  rawUnlock(l + RWSEM_WAIT_LOCK);
  wakeMarked(chain);
}

/** Lets the readers at the head of the queue in beside the caller. @context held for read. kernel: rwsem_downgrade_wake(). */
export function rwsemDowngradeWake(l: usize): void {
  rawLock(l + RWSEM_WAIT_LOCK);
  const chain: usize = load32(l + RWSEM_QUEUE) == 0 ? 0 : markWake(l, WAKE_READ_OWNED);
  rawUnlock(l + RWSEM_WAIT_LOCK);
  wakeMarked(chain);
}

/** A newly queued waiter saw `count`: wakes the head when no writer is inside. @context wait_lock held, queue not empty. */
function wakeIfFree(l: usize, count: u32): usize {
  if ((count & RWSEM_WRITER_LOCKED) != 0) return 0;
  if ((count & RWSEM_READER_MASK) != 0) return markWake(l, WAKE_READERS);
  clearNonspinnable(l);
  return markWake(l, WAKE_ANY);
}

/**
 * Chooses whom to wake: a writer at the head competes for itself; a reader at the head is granted the lock together with every other
 * reader of the queue, so that phases of readers and writers alternate.
 * @context wait_lock held, queue not empty. Returns what wakeMarked takes. kernel: rwsem_mark_wake().
 */
function markWake(l: usize, type: u32): usize {
  const queue = l + RWSEM_QUEUE;
  const first: usize = load32(queue);
  if (load32(first + WAITER_TYPE) == WAITER_WRITE) {
    if (type != WAKE_ANY) return 0;
    return waiterSignal(first) ? first + NOTIFY_ONLY : 0;
  }
  let granted: u32 = 0; // bias already in the count
  if (type != WAKE_READ_OWNED) {
    // The bias goes in first: from here on no writer can steal the lock, unless it already has.
    const count = atomicAdd32(l, RWSEM_READER_BIAS);
    if ((count & RWSEM_READ_FAIL) != 0 || (count & RWSEM_WRITER_LOCKED) != 0) {
      readerGrantFailed(l, first, count);
      return 0;
    }
    granted = RWSEM_READER_BIAS;
  }
  store32(l + LOCK_OWNER, (load32(first + WAITER_TASK) + 1) | OWNER_READER | (loadStatic32(l + LOCK_OWNER) & OWNER_NONSPINNABLE));
  return collectReaders(l, granted);
}

/** A writer was quicker than the head reader: the bias goes back, and the reader asks for the hand-off when it is time. */
function readerGrantFailed(l: usize, first: usize, count: u32): void {
  let change = RWSEM_READER_BIAS;
  if ((count & RWSEM_HANDOFF) == 0 && handoffDue(first)) {
    change -= RWSEM_HANDOFF;
    store32(first + WAITER_HANDOFF, 1);
  }
  atomicSub32(l, change);
  impatient(first);
}

/** Takes the readers off the queue as a chain and counts them in with one addition. @context wait_lock held, head is a reader. */
function collectReaders(l: usize, granted: u32): usize {
  const queue = l + RWSEM_QUEUE;
  let chain: usize = 0;
  let tail: usize = 0;
  let readers: u32 = 0;
  let previous: usize = 0;
  let node: usize = load32(queue);
  while (node != 0 && readers < WAKE_READERS_MAX) {
    const next: usize = load32(node + WAITER_NEXT);
    if (load32(node + WAITER_TYPE) == WAITER_READ) {
      waiterRemove(queue, previous, node);
      if (tail == 0) chain = node;
      else store32(tail + WAITER_NEXT, <u32>node);
      tail = node;
      readers++;
    } else {
      previous = node;
    }
    node = next;
  }
  let change = readers * RWSEM_READER_BIAS - granted;
  if (load32(queue) == 0) change -= RWSEM_WAITERS;
  // If anybody asked for the hand-off it was the head, and the head is in now. The bit changes only under wait_lock.
  if ((atomicLoad32(l) & RWSEM_HANDOFF) != 0) change -= RWSEM_HANDOFF;
  if (change != 0) atomicAdd32(l, change);
  return chain;
}

/** Wakes what markWake returned. @context wait_lock not held. */
function wakeMarked(chain: usize): void {
  if ((chain & NOTIFY_ONLY) != 0) futexWake(chain - NOTIFY_ONLY, 1);
  else waiterWakeChain(chain);
}

// @ts-ignore: decorator
@inline
function clearNonspinnable(l: usize): void {
  if ((atomicLoad32(l + LOCK_OWNER) & OWNER_NONSPINNABLE) != 0) atomicAnd32(l + LOCK_OWNER, ~OWNER_NONSPINNABLE);
}
