// Lock statistics: how often each class of lock is taken by each task, how often and how long it is waited for, how long it is held.
// Entries belong to one task, so counting needs no atomics; layout: abi/lockstat.ts. kernel: CONFIG_LOCK_STAT in kernel/locking/lockdep.c.
import { LC_MAX } from '../abi/classes';
import { SH_LOCKSTAT, SH_MAX_TASKS, TASK_LOCKSTAT, TASK_SAMPLE_LOCK, TASK_SAMPLE_SINCE_NS } from '../abi/layout';
import {
  LOCKSTAT_ACQUISITIONS, LOCKSTAT_BUCKETS, LOCKSTAT_CONTENDED, LOCKSTAT_ENTRY_SIZE, LOCKSTAT_HOLD_HISTOGRAM, LOCKSTAT_HOLD_MAX_NS,
  LOCKSTAT_HOLD_SAMPLES, LOCKSTAT_HOLD_SUM_NS, LOCKSTAT_SAMPLE_MASK, LOCKSTAT_WAIT_HISTOGRAM, LOCKSTAT_WAIT_MAX_NS, LOCKSTAT_WAIT_SUM_NS,
} from '../abi/lockstat';
import { EV_HOLD } from '../abi/trace';
import { vmalloc } from '../heap';
import { current, load32, loadF64, loadStatic32, loadStatic64, nowNs, store32, store64, storeF64 } from '../point';
import { currentId } from '../task';
import { traceSpan } from '../trace';

/** Allocates the table. A shard too small for it runs without statistics (SH_LOCKSTAT stays 0). @context boot, one thread. */
export function lockstatInit(): void {
  if (!LOCKSTAT) return;
  store32(SH_LOCKSTAT, 0);
  const bytes = <u64>load32(SH_MAX_TASKS) * LC_MAX * LOCKSTAT_ENTRY_SIZE;
  store32(SH_LOCKSTAT, <u32>vmalloc(bytes));
}

// @ts-ignore: decorator
@inline
function entryOf(cls: u32): usize {
  return <usize>loadStatic32(current + TASK_LOCKSTAT) + <usize>cls * LOCKSTAT_ENTRY_SIZE;
}

/** Counts an acquisition; every 64th starts a sample of the hold time. @context the lock has just been taken. */
// @ts-ignore: decorator
@inline
export function lockstatAcquire(l: usize, cls: u32): void {
  const table: usize = loadStatic32(current + TASK_LOCKSTAT);
  if (table != 0) {
    const entry = table + <usize>cls * LOCKSTAT_ENTRY_SIZE;
    const count = loadStatic64(entry + LOCKSTAT_ACQUISITIONS) + 1;
    store64(entry + LOCKSTAT_ACQUISITIONS, count);
    if ((count & LOCKSTAT_SAMPLE_MASK) == 0) lockstatSample(l);
  } else {
    lockstatFirst(cls);
  }
}

/** The task's first acquisition, or one in a shard without a table. */
export function lockstatFirst(cls: u32): void {
  if (lockstatAttach()) store64(entryOf(cls) + LOCKSTAT_ACQUISITIONS, 1);
}

/** Looks up the task's part of the table; false when there is no table. */
function lockstatAttach(): bool {
  const table = load32(SH_LOCKSTAT);
  if (table == 0) return false;
  store32(current + TASK_LOCKSTAT, table + currentId() * LC_MAX * LOCKSTAT_ENTRY_SIZE);
  return true;
}

/** One sample per task is under way at a time: a lock held for long is not pushed out by those taken inside it. */
export function lockstatSample(l: usize): void {
  if (loadStatic32(current + TASK_SAMPLE_LOCK) != 0) return;
  store32(current + TASK_SAMPLE_LOCK, <u32>l);
  storeF64(current + TASK_SAMPLE_SINCE_NS, nowNs());
}

/** Ends the sample of the hold time, if this lock is the sampled one. @context the lock is about to be released. */
// @ts-ignore: decorator
@inline
export function lockstatRelease(l: usize, cls: u32): void {
  if (loadStatic32(current + TASK_SAMPLE_LOCK) == <u32>l) lockstatSampled(cls);
}

/** Notes the hold time of the sampled lock and ends the sample. @context as lockstatRelease. */
export function lockstatSampled(cls: u32): void {
  const lock = loadStatic32(current + TASK_SAMPLE_LOCK);
  store32(current + TASK_SAMPLE_LOCK, 0);
  const entry = entryOf(cls);
  store32(entry + LOCKSTAT_HOLD_SAMPLES, loadStatic32(entry + LOCKSTAT_HOLD_SAMPLES) + 1);
  const sinceNs = loadF64(current + TASK_SAMPLE_SINCE_NS);
  const endNs = nowNs();
  traceSpan(EV_HOLD, sinceNs, endNs, cls, lock, 0, 0);
  const heldNs = max<f64>(0, endNs - sinceNs);
  note(entry + LOCKSTAT_HOLD_SUM_NS, entry + LOCKSTAT_HOLD_MAX_NS, entry + LOCKSTAT_HOLD_HISTOGRAM, heldNs);
}

/** Records a wait that began at `sinceNs` and has just ended. @context slow paths only. */
export function lockstatWait(cls: u32, sinceNs: f64): void {
  if (loadStatic32(current + TASK_LOCKSTAT) == 0 && !lockstatAttach()) return;
  const entry = entryOf(cls);
  store64(entry + LOCKSTAT_CONTENDED, loadStatic64(entry + LOCKSTAT_CONTENDED) + 1);
  const waitedNs = max<f64>(0, nowNs() - sinceNs);
  note(entry + LOCKSTAT_WAIT_SUM_NS, entry + LOCKSTAT_WAIT_MAX_NS, entry + LOCKSTAT_WAIT_HISTOGRAM, waitedNs);
}

function note(sum: usize, maximum: usize, histogram: usize, ns: f64): void {
  storeF64(sum, loadF64(sum) + ns);
  if (ns > loadF64(maximum)) storeF64(maximum, ns);
  const slot = histogram + <usize>lockstatBucket(ns) * 4;
  store32(slot, loadStatic32(slot) + 1);
}

/** Bucket of a duration; the layout is explained in abi/lockstat.ts. */
export function lockstatBucket(ns: f64): u32 {
  const value = <u64>ns;
  if (value < 4) return <u32>value;
  const log2 = 63 - <u32>clz<u64>(value);
  const bucket = (log2 - 1) * 4 + (<u32>(value >> (log2 - 2)) & 3);
  return min<u32>(bucket, LOCKSTAT_BUCKETS - 1);
}
