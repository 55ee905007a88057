// Queues of waiting tasks: a FIFO list in a lock, its nodes on the waiters' private stacks, guarded by the lock's wait_lock.
// Whoever grants a lock does so before it wakes: a woken waiter owns the lock already and needs no second look at the lock word.
// kernel: struct rwsem_waiter in kernel/locking/rwsem.c, wake_q in kernel/sched/core.c.
//
// signal (+0)  WAITING 0  the waiter is awake and spins on this word
//              GRANTED 1  the waker is done with the node (a queued rwsem writer: "try again")
//              PARKED  2  the waiter sleeps on this word: the waker must notify
import { TASK_ID } from '../abi/layout';
import { atomicCas32, atomicLoad32, atomicStore32, atomicXchg32, cpuRelax, current, futexWake, load32, loadStatic32, store32 } from '../point';
import { park, PARK_LIMIT_NS, spinTurns } from './word';

export const WAITER_SIGNAL: usize = 0; // u32, atomic
export const WAITER_TYPE: usize = 4; // u32 WAITER_*, written before the node is queued
export const WAITER_NEXT: usize = 8; // u32 next node, 0: last; under wait_lock while queued
export const WAITER_TASK: usize = 12; // u32 task id
export const WAITER_HANDOFF: usize = 16; // u32, rwsem: 1 when this waiter asked for the hand-off; under wait_lock
export const WAITER_SINCE_NS: usize = 24; // f64, rwsem: when it began to wait
export const WAITER_SIZE: usize = 32;

export const WAITER_READ: u32 = 0;
export const WAITER_WRITE: u32 = 1;

const WAITING: u32 = 0;
const GRANTED: u32 = 1;
const PARKED: u32 = 2;

/** Fills in a node of the current task. @context none. */
export function waiterInit(node: usize, type: u32): void {
  store32(node + WAITER_TYPE, type);
  store32(node + WAITER_NEXT, 0);
  store32(node + WAITER_TASK, loadStatic32(current + TASK_ID));
  store32(node + WAITER_HANDOFF, 0);
  atomicStore32(node + WAITER_SIGNAL, WAITING);
}

/** Appends at the tail of the list {first u32, last u32}. @context wait_lock held. */
export function waiterAppend(list: usize, node: usize): void {
  const last: usize = loadStatic32(list + 4);
  if (last == 0) store32(list, <u32>node);
  else store32(last + WAITER_NEXT, <u32>node);
  store32(list + 4, <u32>node);
}

/** Takes `node` off the list; `previous` is its predecessor, 0 when it is the first. @context wait_lock held. */
export function waiterRemove(list: usize, previous: usize, node: usize): void {
  const next = load32(node + WAITER_NEXT);
  if (previous == 0) store32(list, next);
  else store32(previous + WAITER_NEXT, next);
  if (next == 0) store32(list + 4, <u32>previous);
  store32(node + WAITER_NEXT, 0);
}

/** Predecessor of a queued node, 0 when it is the first. @context wait_lock held. */
export function waiterPrevious(list: usize, node: usize): usize {
  let previous: usize = 0;
  for (let at: usize = load32(list); at != node; at = load32(at + WAITER_NEXT)) previous = at;
  return previous;
}

/** Marks the node signalled; returns whether its task sleeps and must be notified. */
// @ts-ignore: decorator
@inline
export function waiterSignal(node: usize): bool {
  return atomicXchg32(node + WAITER_SIGNAL, GRANTED) == PARKED;
}

/**
 * Signals every node of a chain of granted waiters. A node lies on its task's stack and may be gone as soon as it is signalled:
 * its link is read first, and the notification can at worst wake some other wait loop in vain.
 * @context wait_lock not held: the woken tasks would run into it.
 */
export function waiterWakeChain(chain: usize): void {
  while (chain != 0) {
    const next = load32(chain + WAITER_NEXT);
    if (waiterSignal(chain)) futexWake(chain, 1);
    chain = next;
  }
}

/** Makes the node ready for another round. @context wait_lock held, the node queued: the waker signals under the same lock. */
// @ts-ignore: decorator
@inline
export function waiterRearm(node: usize): void {
  atomicStore32(node + WAITER_SIGNAL, WAITING);
}

/** Sleeps until the node is signalled. @context sleeps; wait_lock not held. */
export function waiterSleep(node: usize): void {
  for (let n = spinTurns(); n > 0; n--) {
    if (atomicLoad32(node + WAITER_SIGNAL) == GRANTED) return;
    cpuRelax();
  }
  // The waker exchanges the signal: either it sees PARKED and notifies, or our compare-and-exchange sees GRANTED.
  if (atomicCas32(node + WAITER_SIGNAL, WAITING, PARKED) == GRANTED) return;
  while (atomicLoad32(node + WAITER_SIGNAL) != GRANTED) park(node, PARKED);
}

/** Sleeps until the node is signalled or the time is over. @context sleeps; wait_lock not held. */
export function waiterSleepFor(node: usize, limitNs: i64): void {
  if (atomicCas32(node + WAITER_SIGNAL, WAITING, PARKED) == GRANTED) return;
  park(node, PARKED, min<i64>(limitNs, PARK_LIMIT_NS));
}
