// RCU as this kernel uses it: short read sections that do not sleep, a wait for all that have begun, deferred frees. Each task publishes the
// number of the grace period in which its outermost section began; after userspace RCU's reader words.
// kernel: kernel/rcu/tree.c synchronize_rcu(), kvfree_rcu(), rcu_barrier(), rcu_user_exit(), rcu_note_context_switch().
//
// To publish a number takes a full barrier, to take it back none. The kernel's readers publish nothing: there a CPU holds grace periods up until it is seen
// in user space, idle, or at a context switch. So may a task here: between rcuUserExit and rcuUserEnter ("in the kernel") the end of a section leaves the
// number published, and the next section has nothing to do while it is the newest. A grace period that waits is told at the end of a section; one that
// looks now and then finds the number renewed, or gone because the task went to sleep. A section that is missing is not noticed in between, so perturbed
// does this only while it injects nothing, and controlled never.
//
// SUBSYS_SYNC: +0 gp u32: number of the newest grace period, raised by whoever starts one; 0 is never used
//              +4 waiting u32: 1 while a grace period sleeps; the futex it sleeps on
//              +8 leaked u32: objects that kfreeRcu had to give up because no block could be allocated
// TASK_RCU_CTR: the gp number seen at the start of the outermost section, else 0 (or, in the kernel, that of a section before). A grace period g waits for each task once:
// until its word is 0 or not older than g. A reader that has read gp but not yet published it when the scan comes by begins its section after
// the scan, hence after everything that the caller did before the grace period: it need not be waited for.
// TASK_RCU_CALLBACKS: +0 u32 open block of deferred frees; taken and put back by exchange, so that rcuBarrier may take it from another task.
// TASK_RCU_PENDING: u32 full or closed blocks, a stack linked by BLOCK_NEXT. Each task frees its own: freed by others, two tasks' objects would go to and fro
// between their CPUs.
import { LC_RCU } from '../abi/classes';
import {
  LOCK_RCU_GP, SH_MAX_TASKS, SH_PERTURB_MEAN, SUBSYS_SYNC, TASK_RCU_CALLBACKS, TASK_RCU_CLOSED, TASK_RCU_CTR, TASK_RCU_KERNEL, TASK_RCU_NESTING, TASK_RCU_PENDING, WAIT_RCU,
} from '../abi/layout';
import { HELD_READ, HELD_RECURSIVE, SITE_SYNCHRONIZE_RCU } from '../abi/sync';
import { EV_GRACE_PERIOD } from '../abi/trace';
import { kfree, kmallocSure } from '../heap';
import {
  atomicAdd32, atomicCas32, atomicLoad32, atomicLoadStatic32, atomicStore32, atomicXchg32, current, futexWake, load32, loadStatic32, nowNs, peek32, store32, storeRelease32,
} from '../point';
import { taskAddress, waitBegin, waitEnd } from '../task';
import { traceBegin, traceEnd } from '../trace';
import { lockdepAcquire, lockdepRelease, lockdepSync, mightSleep } from './lockdep';
import { lockstatWait } from './lockstat';
import { mutexLock, mutexTrylock, mutexUnlock } from './mutex';
import { park, settle } from './word';

const GP: usize = SUBSYS_SYNC;
const WAITING: usize = SUBSYS_SYNC + 4;
const LEAKED: usize = SUBSYS_SYNC + 8;

// A block of deferred frees: entries of {address u32, size u32}. Objects cannot carry the link themselves: readers may still read them.
const BLOCK_NEXT: usize = 0;
const BLOCK_COUNT: usize = 4;
const BLOCK_GP: usize = 8; // the grace period that must end, set when the block is closed
const BLOCK_ENTRIES: usize = 16;
const BLOCK_SIZE: usize = 1024;
const BLOCK_MAX: u32 = 126;

/** @context boot, one thread. */
export function rcuInit(): void {
  store32(WAITING, 0);
  store32(LEAKED, 0);
  atomicStore32(GP, 1);
}

/** Begins a read section; sections nest. @context any; no sleep until rcuReadUnlock. kernel: rcu_read_lock(). */
// @ts-ignore: decorator
@inline
export function rcuReadLock(): void {
  const nesting = loadStatic32(current + TASK_RCU_NESTING);
  if (nesting == 0) {
    if (LOCKDEP) lockdepAcquire(GP, LC_RCU, HELD_READ | HELD_RECURSIVE);
    const gp = atomicLoadStatic32(GP);
    if (CONTROLLED || loadStatic32(current + TASK_RCU_CTR) != gp) atomicStore32(current + TASK_RCU_CTR, gp);
  }
  store32(current + TASK_RCU_NESTING, nesting + 1);
}

/** @context inside a read section. kernel: rcu_read_unlock(). */
// @ts-ignore: decorator
@inline
export function rcuReadUnlock(): void {
  const nesting = loadStatic32(current + TASK_RCU_NESTING) - 1;
  store32(current + TASK_RCU_NESTING, nesting);
  if (nesting != 0) return;
  if (LOCKDEP) lockdepRelease(GP);
  if (!CONTROLLED && loadStatic32(current + TASK_RCU_KERNEL) != 0 && atomicLoadStatic32(WAITING) == 0) return;
  quiesce();
}

/** Takes the published number back. Whoever waits settles before his last look, for the store may arrive behind the load. */
// @ts-ignore: decorator
@inline
function quiesce(): void {
  storeRelease32(current + TASK_RCU_CTR, 0);
  if (atomicLoadStatic32(WAITING) != 0) wakeWaiting();
}

/**
 * Begins a stay in the kernel: read sections may leave their number published until rcuUserEnter, or until the task sleeps. Stays nest.
 * @context any. In a loop without read sections call rcuAllQs. kernel: rcu_user_exit().
 */
export function rcuUserExit(): void {
  if (CONTROLLED || (PERTURBED && peek32(SH_PERTURB_MEAN) != 0)) return;
  store32(current + TASK_RCU_KERNEL, loadStatic32(current + TASK_RCU_KERNEL) + 1);
}

/** Ends a stay in the kernel. @context outside read sections. kernel: rcu_user_enter(). */
export function rcuUserEnter(): void {
  const stays = loadStatic32(current + TASK_RCU_KERNEL);
  if (CONTROLLED || stays == 0) return;
  store32(current + TASK_RCU_KERNEL, stays - 1);
  if (stays == 1) rcuNoteContextSwitch();
}

/** The task is about to sleep: outside read sections no grace period waits for it. @context any, also without a task. kernel: rcu_note_context_switch(). */
export function rcuNoteContextSwitch(): void {
  if (CONTROLLED || current == 0) return;
  if (loadStatic32(current + TASK_RCU_NESTING) == 0 && loadStatic32(current + TASK_RCU_CTR) != 0) quiesce();
}

/** Lets a grace period that waits go on. @context outside read sections; for loops that stay in the kernel. kernel: rcu_all_qs(), of cond_resched(). */
// @ts-ignore: decorator
@inline
export function rcuAllQs(): void {
  if (!CONTROLLED && loadStatic32(current + TASK_RCU_KERNEL) != 0 && atomicLoadStatic32(WAITING) != 0) rcuNoteContextSwitch();
}

function wakeWaiting(): void {
  if (atomicXchg32(WAITING, 0) != 0) futexWake(WAITING, 0xffffffff);
}

/**
 * Waits for the read sections that are open at the call to end. Callers need no lock among themselves.
 * @context sleeps; not inside a read section. kernel: synchronize_rcu().
 */
export function synchronizeRcu(): void {
  if (LOCKDEP) {
    lockdepSync(GP, LC_RCU);
    mightSleep(SITE_SYNCHRONIZE_RCU);
  }
  const since = LOCKSTAT ? nowNs() : 0;
  const traced = traceBegin();
  rcuNoteContextSwitch();
  awaitGracePeriod(startGracePeriod());
  traceEnd(EV_GRACE_PERIOD, traced, 0, 0, 0, 0);
  if (LOCKSTAT) lockstatWait(LC_RCU, since);
}

function startGracePeriod(): u32 {
  const gp = atomicAdd32(GP, 1) + 1;
  return gp != 0 ? gp : atomicAdd32(GP, 1) + 1;
}

/** Whether a task is in a read section that began before grace period `gp`. */
// @ts-ignore: decorator
@inline
function holdsUp(task: usize, gp: u32): bool {
  const ctr = atomicLoad32(task + TASK_RCU_CTR);
  return ctr != 0 && <i32>(ctr - gp) < 0;
}

/** No wake-up is lost: as with SRCU's `draining`, the flag is set before the look at the reader, who clears it after his section. */
function awaitGracePeriod(gp: u32): void {
  const tasks = load32(SH_MAX_TASKS);
  let waited = false;
  for (let id: u32 = 0; id < tasks; id++) {
    const task = taskAddress(id);
    while (holdsUp(task, gp)) {
      if (!waited) waitBegin(GP, WAIT_RCU);
      waited = true;
      atomicStore32(WAITING, 1);
      settle();
      if (holdsUp(task, gp)) park(WAITING, 1);
    }
  }
  if (waited) waitEnd();
}

function gracePeriodOver(gp: u32): bool {
  for (let id = load32(SH_MAX_TASKS); id != 0; id--) {
    if (holdsUp(taskAddress(id - 1), gp)) return false;
  }
  return true;
}

/**
 * Frees an object once all readers that may see it are gone. It must be unreachable for new readers already.
 * @context any, also under spinning locks and in read sections; never waits. kernel: kfree_rcu().
 */
export function kfreeRcu(p: usize, size: usize): void {
  if (p == 0) return;
  const slot = current + TASK_RCU_CALLBACKS;
  let block: usize = atomicXchg32(slot, 0);
  if (block == 0) {
    block = kmallocSure(BLOCK_SIZE);
    if (block == 0) {
      // No memory to remember it by, no right to wait, readers may be at it: the object is lost.
      atomicAdd32(LEAKED, 1);
      return;
    }
    store32(block + BLOCK_COUNT, 0);
  }
  const count = load32(block + BLOCK_COUNT);
  const entry = block + BLOCK_ENTRIES + <usize>count * 8;
  store32(entry, <u32>p);
  store32(entry + 4, <u32>size);
  store32(block + BLOCK_COUNT, count + 1);
  if (count + 1 < BLOCK_MAX) {
    atomicStore32(slot, <u32>block);
    return;
  }
  closeBlock(block);
  // The caller is likely to hold a spinning lock, and 126 frees are longer than others spin for it: they wait for rcuReclaim, for one block at most.
  const unclaimed = loadStatic32(current + TASK_RCU_CLOSED) != 0;
  store32(current + TASK_RCU_CLOSED, 1);
  if (unclaimed) reclaim();
}

/**
 * Frees what kfreeRcu was given and no reader can see any more, if this task has closed a block since the last call: for the end of critical sections
 * that call kfreeRcu. @context any; never waits.
 */
// @ts-ignore: decorator
@inline
export function rcuReclaim(): void {
  if (loadStatic32(current + TASK_RCU_CLOSED) != 0) reclaim();
}

function reclaim(): void {
  store32(current + TASK_RCU_CLOSED, 0);
  // What this task left published from a section before shall not hold its own frees up.
  rcuNoteContextSwitch();
  if (!mutexTrylock(LOCK_RCU_GP)) return;
  freeBlocks(current, false);
  mutexUnlock(LOCK_RCU_GP);
}

/** Starts the grace period of a block's frees and puts the block on this task's stack of closed ones. */
function closeBlock(block: usize): void {
  store32(block + BLOCK_GP, startGracePeriod());
  pushPending(current + TASK_RCU_PENDING, block);
}

function pushPending(stack: usize, block: usize): void {
  let head = atomicLoad32(stack);
  while (true) {
    store32(block + BLOCK_NEXT, head);
    const seen = atomicCas32(stack, head, <u32>block);
    if (seen == head) return;
    head = seen;
  }
}

/**
 * Frees the objects of a task's closed blocks whose grace period is over; with `wait` of all of them. Blocks that must stay go back on the stack.
 * @context LOCK_RCU_GP held: one at a time, so that rcuBarrier never misses blocks which another task has in its hands. Sleeps if `wait`.
 */
function freeBlocks(task: usize, wait: bool): void {
  const stack = task + TASK_RCU_PENDING;
  let block: usize = atomicXchg32(stack, 0);
  while (block != 0) {
    const next: usize = load32(block + BLOCK_NEXT);
    const gp = load32(block + BLOCK_GP);
    if (wait) awaitGracePeriod(gp);
    if (wait || gracePeriodOver(gp)) freeBlock(block);
    else pushPending(stack, block);
    block = next;
  }
}

function freeBlock(block: usize): void {
  let entry = block + BLOCK_ENTRIES;
  for (let n = load32(block + BLOCK_COUNT); n != 0; n--) {
    kfree(load32(entry), load32(entry + 4));
    entry += 8;
  }
  kfree(block, BLOCK_SIZE);
}

/**
 * Returns when every object given to kfreeRcu before the call, by any task, is free.
 * @context sleeps; not inside a read section. Takes LOCK_RCU_GP. kernel: rcu_barrier().
 */
export function rcuBarrier(): void {
  if (LOCKDEP) {
    lockdepSync(GP, LC_RCU);
    mightSleep(SITE_SYNCHRONIZE_RCU);
  }
  rcuNoteContextSwitch();
  mutexLock(LOCK_RCU_GP);
  const tasks = load32(SH_MAX_TASKS);
  for (let id: u32 = 0; id < tasks; id++) {
    const block: usize = atomicXchg32(taskAddress(id) + TASK_RCU_CALLBACKS, 0);
    if (block != 0) closeBlock(block);
  }
  for (let id: u32 = 0; id < tasks; id++) freeBlocks(taskAddress(id), true);
  mutexUnlock(LOCK_RCU_GP);
}
