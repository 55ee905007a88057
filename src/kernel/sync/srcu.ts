// SRCU: read sections that may sleep, and a wait for all of them that have begun. Two banks of counters, one pair of counters per CPU and
// bank, a flip of the bank between two scans. kernel: kernel/rcu/srcutree.c (Tree SRCU, as of 6.8).
//
// struct srcu (64 bytes):  idx (+0) u32: the low bit is the bank new readers use; raised by one at each flip
//   owner (+4) task id + 1 of the task that drives a grace period, 0: none    class (+8)
//   counters (+12) address of the per-CPU counters: for each task id a line of 64 bytes,
//       {locks of bank 0, locks of bank 1, unlocks of bank 0, unlocks of bank 1}: 4 x u64, written by that task alone
//   seq (+16) u32: bit 0 set while a grace period runs, the rest counts them. The word is the lock of the grace period (even -> odd takes it),
//       its batch number and the futex of those who ride along, all in one
//   riders (+20) u32: 1 when tasks sleep on seq
//   draining (+24) u32: 0, or bank + 1 while a grace period sleeps until that bank is empty; the futex it sleeps on
//
// Why the grace period waits for enough: a reader increments its lock counter and then reads the data; the scan adds up all unlocks, then
// all locks. An unlock that is counted has its lock counted too, so equal sums mean that there was a moment without readers in this bank.
// A reader that took its index before the flip and counts itself after the scan of that bank is found by the scan of the next grace period's
// first bank: hence two scans per grace period, one of each bank, before and after the flip.
//
// Why no wake-up is lost: the grace period sets `draining`, scans, and sleeps only while `draining` still has the value it set. A reader
// counts its unlock, then looks at `draining`. Either the scan sees the unlock, or the reader sees `draining` and clears it, which ends or
// prevents the sleep. So readers pay one load for this, and a notification only while somebody waits for their bank. On real hardware the
// look may overtake the unlock, which is still on its way out of the CPU then, for less than a microsecond: so the grace period waits
// that long (settle) before the scan that decides, and no sleep is longer than PARK_LIMIT_NS anyway.
import { ENOMEM } from '../abi/errno';
import { SH_MAX_TASKS, WAIT_SRCU } from '../abi/layout';
import { OOPS_SRCU_ACTIVE_CLEANUP, ORACLE_LOCKING } from '../abi/oops';
import { HELD_READ, HELD_RECURSIVE, LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER } from '../abi/sync';
import { EV_GRACE_PERIOD } from '../abi/trace';
import { V_PLANT_SRCU_NO_WAIT } from '../abi/variants';
import { vfree, vmalloc } from '../heap';
import { oops } from '../oops';
import {
  atomicAdd32, atomicCas32, atomicLoad32, atomicLoad64, atomicLoadStatic32, atomicStore32, atomicStore64, atomicXchg32, cpuRelax, fence, futexWake, load32, loadStatic32, loadStatic64, nowNs, peek32, peek64, poke64, store32, storeRelease64, variant,
} from '../point';
import { currentId, waitBegin, waitEnd } from '../task';
import { traceBegin, traceEnd } from '../trace';
import { lockdepAcquire, lockdepRelease, lockdepSyncSrcu } from './lockdep';
import { lockstatAcquire, lockstatRelease, lockstatWait } from './lockstat';
import { park, settle, spinTurns } from './word';

const SEQ: usize = 16;
const RIDERS: usize = 20;
const DRAINING: usize = 24;

const CPU_LINE: u32 = 64;
const UNLOCKS: usize = 16;

/** @context before the structure is shared; allocates. Returns 0 or -ENOMEM. kernel: init_srcu_struct(). */
export function srcuInit(s: usize, cls: u32): i32 {
  const counters = vmalloc(<u64>load32(SH_MAX_TASKS) * CPU_LINE);
  if (counters == 0) return -ENOMEM;
  store32(s + LOCK_OWNER, 0);
  store32(s + LOCK_CLASS, cls);
  store32(s + LOCK_EXTRA, <u32>counters);
  store32(s + SEQ, 0);
  store32(s + RIDERS, 0);
  store32(s + DRAINING, 0);
  atomicStore32(s, 0);
  return 0;
}

/** @context nobody uses the structure any more. kernel: cleanup_srcu_struct(). */
export function srcuCleanup(s: usize): void {
  if (!bankEmpty(s, 0) || !bankEmpty(s, 1)) oops(ORACLE_LOCKING, OOPS_SRCU_ACTIVE_CLEANUP, <f64>s);
  vfree(loadStatic32(s + LOCK_EXTRA), <u64>load32(SH_MAX_TASKS) * CPU_LINE);
  store32(s + LOCK_EXTRA, 0);
}

/** Address of this CPU's lock counter of a bank. Only this task writes it: an increment needs no read-modify-write. */
// @ts-ignore: decorator
@inline
function lockCounter(s: usize, idx: i32): usize {
  return <usize>loadStatic32(s + LOCK_EXTRA) + <usize>(currentId() * CPU_LINE) + ((<usize>idx) << 3);
}

/**
 * Begins a read section; returns the bank, which srcuReadUnlock wants back. Sections may nest, and sleep.
 * @context any. kernel: srcu_read_lock().
 */
// @ts-ignore: decorator
@inline
export function srcuReadLock(s: usize): i32 {
  if (LOCKDEP) lockdepAcquire(s, loadStatic32(s + LOCK_CLASS), HELD_READ | HELD_RECURSIVE);
  const idx = <i32>(atomicLoadStatic32(s) & 1);
  const counter = lockCounter(s, idx);
  // The sequentially consistent store is the increment and the barrier behind it (B) in one.
  atomicStore64(counter, loadStatic64(counter) + 1);
  if (LOCKSTAT) lockstatAcquire(s, loadStatic32(s + LOCK_CLASS));
  return idx;
}

/** Ends the read section that returned `idx`. @context any; on the task that began it. kernel: srcu_read_unlock(). */
// @ts-ignore: decorator
@inline
export function srcuReadUnlock(s: usize, idx: i32): void {
  if (LOCKDEP) lockdepRelease(s);
  if (LOCKSTAT) lockstatRelease(s, loadStatic32(s + LOCK_CLASS));
  const counter = lockCounter(s, idx) + UNLOCKS;
  // The increment, and barrier (C) before it.
  storeRelease64(counter, loadStatic64(counter) + 1);
  if (CONTROLLED) forgetSections(s);
  if (atomicLoadStatic32(s + DRAINING) == <u32>idx + 1) wakeDraining(s, idx);
}

/**
 * How many sections a task has been through can be told only from one scan to the next of a grace period. While there is none, a bank that the task is not
 * in starts at 0 again: so a search over states meets a reader that goes round a loop in the state it was in.
 */
function forgetSections(s: usize): void {
  if ((peek32(s + SEQ) & 1) != 0) return;
  for (let idx = 0; idx < 2; idx++) {
    const counter = lockCounter(s, idx);
    if (peek64(counter) != peek64(counter + UNLOCKS)) continue;
    poke64(counter, 0);
    poke64(counter + UNLOCKS, 0);
  }
}

function wakeDraining(s: usize, idx: i32): void {
  if (atomicCas32(s + DRAINING, <u32>idx + 1, 0) == <u32>idx + 1) futexWake(s + DRAINING, 1);
}

/**
 * Waits for the read sections of `s` that are open at the call to end.
 * @context sleeps; not inside a read section of `s`, nor holding a lock that such a section takes. kernel: synchronize_srcu().
 */
export function synchronizeSrcu(s: usize): void { synchronize(s, 1); }

/** The same in a hurry: spins before it sleeps. @context as synchronizeSrcu. kernel: synchronize_srcu_expedited(). */
export function synchronizeSrcuExpedited(s: usize): void { synchronize(s, max<i32>(1, spinTurns())); }

/**
 * Callers share grace periods. One that starts after the call serves all who called before its start: from an idle `seq` that is the next one
 * to end, from a running one (which may have scanned already) the one after it.
 */
function synchronize(s: usize, scans: i32): void {
  if (LOCKDEP) lockdepSyncSrcu(s);
  if (variant(V_PLANT_SRCU_NO_WAIT)) return;
  const since = LOCKSTAT ? nowNs() : 0;
  const traced = traceBegin();
  fence();
  const target = (atomicLoad32(s + SEQ) + 3) & ~1;
  waitBegin(s, WAIT_SRCU);
  while (true) {
    const seq = atomicLoad32(s + SEQ);
    if (<i32>(seq - target) >= 0) break;
    if ((seq & 1) == 0) {
      if (atomicCas32(s + SEQ, seq, seq + 1) == seq) runGracePeriod(s, scans);
      continue;
    }
    // The driver raises seq before it looks at `riders`: the sleep below ends or does not begin.
    atomicStore32(s + RIDERS, 1);
    park(s + SEQ, seq);
  }
  waitEnd();
  fence();
  traceEnd(EV_GRACE_PERIOD, traced, 0, s, 0, 0);
  if (LOCKSTAT) lockstatWait(loadStatic32(s + LOCK_CLASS), since);
}

/** @context this task has made seq odd: it alone drives. Sleeps. kernel: srcu_advance_state(). */
function runGracePeriod(s: usize, scans: i32): void {
  store32(s + LOCK_OWNER, currentId() + 1);
  const idx = atomicLoad32(s) & 1;
  drainBank(s, 1 - idx, scans);
  // The flip; barriers (E) before and (D) after it are the atomic operation itself.
  atomicAdd32(s, 1);
  drainBank(s, idx, scans);
  store32(s + LOCK_OWNER, 0);
  atomicAdd32(s + SEQ, 1);
  if (atomicXchg32(s + RIDERS, 0) != 0) futexWake(s + SEQ, 0xffffffff);
}

/** Waits until the bank has been without readers once. @context sleeps. kernel: try_check_zero(). */
function drainBank(s: usize, bank: u32, scans: i32): void {
  for (let n = scans; n > 0; n--) {
    if (bankEmpty(s, bank)) return;
    cpuRelax();
  }
  while (true) {
    atomicStore32(s + DRAINING, bank + 1);
    settle();
    if (bankEmpty(s, bank)) break;
    park(s + DRAINING, bank + 1);
  }
  atomicStore32(s + DRAINING, 0);
}

/** Adds up the unlocks, then the locks; a barrier (A) lies between. kernel: srcu_readers_active_idx_check(). */
function bankEmpty(s: usize, bank: u32): bool {
  const unlocks = sumCounters(s, (<usize>bank << 3) + UNLOCKS);
  fence();
  return sumCounters(s, <usize>bank << 3) == unlocks;
}

function sumCounters(s: usize, offset: usize): u64 {
  let at = <usize>loadStatic32(s + LOCK_EXTRA) + offset;
  let sum: u64 = 0;
  for (let cpu = load32(SH_MAX_TASKS); cpu != 0; cpu--) {
    sum += atomicLoad64(at);
    at += CPU_LINE;
  }
  return sum;
}
