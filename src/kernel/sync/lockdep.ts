// lockdep: a stack of held locks per task and one graph of "class B was taken while class A was held" for the shard. A cycle in the
// graph is a possible deadlock, reported when the edge that closes it first appears, whether or not the deadlock happens.
// A sequence of held locks that is known costs one comparison (lockdep-chain.ts). kernel: kernel/locking/lockdep.c, Documentation/locking/lockdep-design.rst.
//
// Edges have two letters: how the first lock is held (S shared, E exclusive) and how the second is taken (N: it can wait for readers
// or be waited for in a queue; R: a recursive reader, which waits only for a writer that holds the lock). Two readers do not block
// each other, so a path through "taken as R, held as S" is no dependency; a cycle counts only if no joint of it is of that kind.
// synchronize_srcu and synchronize_rcu wait for readers as a writer would: an empty write section, an N edge into the SRCU's class.
import { LC_MAX, LC_NONE, LC_RCU } from '../abi/classes';
import { HELD_MAX, SH_LOCKDEP, TASK_HELD, TASK_HELD_BOTTOM, TASK_HELD_COUNT, TASK_RCU_NESTING } from '../abi/layout';
import {
  OOPS_GP_IN_READER, OOPS_HELD_AT_EXIT, OOPS_HELD_OVERFLOW, OOPS_LOCK_ORDER, OOPS_RECURSIVE_LOCK, OOPS_SLEEP_IN_ATOMIC,
  OOPS_UNLOCK_NOT_OWNER, ORACLE_LOCKING,
} from '../abi/oops';
import {
  CHAIN_NONE, CHAIN_SHIFT, GRAPH_EN, GRAPH_ER, GRAPH_ROW_SIZE, GRAPH_SN, GRAPH_SR, HELD_CLASS_MASK, HELD_MODE_MASK, HELD_MODE_SHIFT, HELD_READ, HELD_RECURSIVE, HELD_SPINNING,
  HELD_TRY, LOCK_CLASS, LOCK_OWNER, OWNER_MASK, SITE_SYNCHRONIZE_SRCU,
} from '../abi/sync';
import { ENOMEM } from '../abi/errno';
import { vmalloc } from '../heap';
import { oops } from '../oops';
import { atomicOr64, current, load32, load64, loadStatic32, store32, store64 } from '../point';
import { CHAINS_SIZE, chainEnter, chainForget, chainKnown } from './lockdep-chain';

/** Allocates the empty table of chains and, behind it, the empty graph. Returns 0 or -ENOMEM. @context boot, one thread. */
export function lockdepInit(): i32 {
  if (!LOCKDEP) return 0;
  store32(SH_LOCKDEP, 0);
  const table = vmalloc(CHAINS_SIZE + LC_MAX * GRAPH_ROW_SIZE);
  store32(SH_LOCKDEP, <u32>table);
  return table == 0 ? -ENOMEM : 0;
}

// @ts-ignore: decorator
@inline
function heldEntry(n: u32): usize {
  return current + TASK_HELD + <usize>n * 8;
}

/**
 * Checks that lock `l` may be taken now and pushes it on the held stack. `mode`: HELD_*, a constant.
 * @context before the lock is waited for (after it was taken, for a trylock). kernel: lock_acquire().
 */
// @ts-ignore: decorator
@inline
export function lockdepAcquire(l: usize, cls: u32, mode: u32): void {
  if (LOCKDEP) {
    const task = current;
    const count = loadStatic32(task + TASK_HELD_COUNT);
    const top = task + (<usize>count << 3);
    let chain = chainKnown(loadStatic32(top + TASK_HELD_BOTTOM + 4), cls, mode);
    if (chain == 0) chain = lockdepCheck(l, cls, mode, count);
    store64(top + TASK_HELD, <u64>l | (<u64>(cls | (mode << HELD_MODE_SHIFT) | (chain << CHAIN_SHIFT)) << 32));
    store32(task + TASK_HELD_COUNT, count + 1);
  }
}

/** The part of lockdepAcquire for a sequence of held locks that is not known yet. Returns its number. */
export function lockdepCheck(l: usize, cls: u32, mode: u32, count: u32): u32 {
  if (count >= <u32>HELD_MAX) oops(ORACLE_LOCKING, OOPS_HELD_OVERFLOW, <f64>l, <f64>cls);
  if (count != 0 && (mode & HELD_TRY) == 0) {
    if ((mode & (HELD_SPINNING | HELD_RECURSIVE)) == 0) mightSleep(cls);
    checkHeld(l, cls, mode, count);
  }
  return chainEnter(loadStatic32(heldEntry(count) - 4), cls, mode);
}

/** Takes `l` off the held stack. @context the lock is still held. kernel: lock_release(). */
// @ts-ignore: decorator
@inline
export function lockdepRelease(l: usize): void {
  if (LOCKDEP) {
    const task = current;
    const last = loadStatic32(task + TASK_HELD_COUNT) - 1;
    // Nearly always the lock that was taken last (below the first entry there is no lock): the rest is out of line.
    if (loadStatic32(task + (<usize>last << 3) + TASK_HELD) == <u32>l) {
      store32(task + TASK_HELD_COUNT, last);
    } else {
      lockdepRemove(l);
    }
  }
}

/**
 * Takes `l` off the held stack, wherever it lies in it. What was taken inside it is now held in another sequence, of which each pair
 * has been checked already.
 */
export function lockdepRemove(l: usize): void {
  const last = loadStatic32(current + TASK_HELD_COUNT) - 1;
  for (let n = findHeld(l, last); n < last; n++) {
    const held = loadStatic32(heldEntry(n + 1) + 4);
    store32(heldEntry(n), loadStatic32(heldEntry(n + 1)));
    const chain = chainEnter(loadStatic32(heldEntry(n) - 4), held & HELD_CLASS_MASK, (held >>> HELD_MODE_SHIFT) & HELD_MODE_MASK);
    store32(heldEntry(n) + 4, (held & ~(<u32>CHAIN_NONE << CHAIN_SHIFT)) | (chain << CHAIN_SHIFT));
  }
  store32(current + TASK_HELD_COUNT, last);
}

/** Index of `l` in the held stack; who does not hold it must not release it. */
function findHeld(l: usize, last: u32): u32 {
  let n = last;
  while (<i32>n >= 0 && loadStatic32(heldEntry(n)) != <u32>l) n--;
  if (<i32>n < 0) {
    const owner = <f64>(loadStatic32(l + LOCK_OWNER) & OWNER_MASK) - 1;
    oops(ORACLE_LOCKING, OOPS_UNLOCK_NOT_OWNER, <f64>l, <f64>loadStatic32(l + LOCK_CLASS), owner);
  }
  return n;
}

/** The exclusive holder becomes a reader. @context `l` held for write. kernel: lock_downgrade(). */
export function lockdepDowngrade(l: usize): void {
  if (!LOCKDEP) return;
  const count = loadStatic32(current + TASK_HELD_COUNT);
  const found = findHeld(l, count - 1);
  store32(heldEntry(found) + 4, loadStatic32(heldEntry(found) + 4) | (HELD_READ << HELD_MODE_SHIFT));
  // What is held from here on was checked against a writer, not in the sequence it now forms.
  for (let n = found; n < count; n++) store32(heldEntry(n) + 4, chainForget(loadStatic32(heldEntry(n) + 4)));
}

/**
 * A grace period of `s` is about to be waited for: an empty write section.
 * @context may sleep; violation inside a read section of `s`. kernel: srcu_lock_sync(), lock_sync().
 */
export function lockdepSyncSrcu(s: usize): void {
  if (!LOCKDEP) return;
  mightSleep(SITE_SYNCHRONIZE_SRCU);
  lockdepSync(s, loadStatic32(s + LOCK_CLASS));
}

/** The same for any grace period: `l` is the address its read sections have on the held stack. */
export function lockdepSync(l: usize, cls: u32): void {
  if (!LOCKDEP) return;
  const count = loadStatic32(current + TASK_HELD_COUNT);
  for (let n: u32 = 0; n < count; n++) {
    if (loadStatic32(heldEntry(n)) == <u32>l) oops(ORACLE_LOCKING, OOPS_GP_IN_READER, <f64>l);
    if (cls != LC_NONE && (loadStatic32(heldEntry(n) + 4) & HELD_CLASS_MASK) == cls) oops(ORACLE_LOCKING, OOPS_LOCK_ORDER, <f64>cls, <f64>cls, <f64>l);
  }
  if (count != 0) checkHeld(l, cls, 0, count);
}

/** Sleeping is allowed here? `site`: SITE_*, or the class of the sleeping lock. @context called where the kernel may sleep. */
export function mightSleep(site: u32): void {
  if (!LOCKDEP) return;
  const spinning = spinningHeld();
  if (spinning != 0) oops(ORACLE_LOCKING, OOPS_SLEEP_IN_ATOMIC, <f64>(loadStatic32(heldEntry(spinning - 1) + 4) & HELD_CLASS_MASK), <f64>site);
  if (loadStatic32(current + TASK_RCU_NESTING) != 0) oops(ORACLE_LOCKING, OOPS_SLEEP_IN_ATOMIC, LC_RCU, <f64>site);
}

/** No lock may be held where a system call ends. */
export function lockdepHeldNothing(): void {
  if (!LOCKDEP || loadStatic32(current + TASK_HELD_COUNT) == 0) return;
  oops(ORACLE_LOCKING, OOPS_HELD_AT_EXIT, <f64>loadStatic32(heldEntry(0)), <f64>(loadStatic32(heldEntry(0) + 4) & HELD_CLASS_MASK));
}

/** Index + 1 of the innermost spinning lock held, 0: none. */
function spinningHeld(): u32 {
  let n = loadStatic32(current + TASK_HELD_COUNT);
  while (n != 0 && ((loadStatic32(heldEntry(n - 1) + 4) >>> HELD_MODE_SHIFT) & HELD_SPINNING) == 0) n--;
  return n;
}

/** Compares the lock to be taken with each lock held: recursion, and the order of the two classes. */
function checkHeld(l: usize, cls: u32, mode: u32, count: u32): void {
  const graph: usize = <usize>load32(SH_LOCKDEP) + CHAINS_SIZE;
  for (let n: u32 = 0; n < count; n++) {
    const held = loadStatic32(heldEntry(n) + 4);
    const heldClass = held & HELD_CLASS_MASK;
    const heldMode = held >> HELD_MODE_SHIFT;
    if (loadStatic32(heldEntry(n)) == <u32>l || (heldClass == cls && cls != LC_NONE)) {
      // Only readers that never queue may nest: any other reader can be stuck behind a writer that waits for its first section.
      if ((heldMode & mode & HELD_RECURSIVE) == 0) oops(ORACLE_LOCKING, OOPS_RECURSIVE_LOCK, <f64>l, <f64>cls);
      continue;
    }
    if (heldClass == LC_NONE || cls == LC_NONE) continue;
    const kind: usize = ((heldMode & HELD_READ) != 0 ? GRAPH_SN : GRAPH_EN) + ((mode & HELD_RECURSIVE) != 0 ? 8 : 0);
    // Bits are only ever set, so a plain read is enough: an old value leads to the slow path once more.
    if (((load64(graph + <usize>heldClass * GRAPH_ROW_SIZE + kind) >> cls) & 1) == 0) newEdge(graph, heldClass, cls, kind, l);
  }
}

/**
 * Adds an edge, then looks for a way back. In this order, so that of two tasks which add the two halves of a cycle at once, at least
 * one sees the other's.
 */
function newEdge(graph: usize, heldClass: u32, cls: u32, kind: usize, l: usize): void {
  atomicOr64(graph + <usize>heldClass * GRAPH_ROW_SIZE + kind, <u64>1 << cls);
  const takenRecursive = kind == GRAPH_SR || kind == GRAPH_ER;
  const heldShared = kind == GRAPH_SN || kind == GRAPH_SR;
  const via = findCycle(graph, cls, takenRecursive, heldClass, heldShared);
  if (via != 0) oops(ORACLE_LOCKING, OOPS_LOCK_ORDER, <f64>heldClass, <f64>cls, <f64>l, <f64>via);
}

/**
 * Searches from class `from` (reached as a recursive reader or not) for `target`; returns the class from which the target was reached, or 0.
 * A class may be reached in two ways, which allow different ways on, so there are two sets of each.
 */
function findCycle(graph: usize, from: u32, recursive: bool, target: u32, targetShared: bool): u32 {
  let todoN: u64 = recursive ? 0 : <u64>1 << from;
  let todoR: u64 = recursive ? <u64>1 << from : 0;
  let seenN: u64 = todoN;
  let seenR: u64 = todoR;
  const goal = <u64>1 << target;
  while ((todoN | todoR) != 0) {
    const reachedN = todoN != 0;
    const cls = <u32>ctz<u64>(reachedN ? todoN : todoR);
    const row = graph + <usize>cls * GRAPH_ROW_SIZE;
    let nextN = load64(row + GRAPH_EN);
    let nextR = load64(row + GRAPH_ER);
    if (reachedN) {
      todoN &= todoN - 1;
      nextN |= load64(row + GRAPH_SN);
      nextR |= load64(row + GRAPH_SR);
    } else {
      todoR &= todoR - 1;
    }
    if ((nextN & goal) != 0 || (!targetShared && (nextR & goal) != 0)) return cls;
    todoN |= nextN & ~seenN;
    todoR |= nextR & ~seenR;
    seenN |= nextN;
    seenR |= nextR;
  }
  return 0;
}
