// Statistics of a host, read from the shared memory of its shards while it runs: pages, lock classes, RMP operations.
import * as classes from '../kernel/abi/classes.js';
import * as layout from '../kernel/abi/layout.js';
import * as lockstat from '../kernel/abi/lockstat.js';
import * as snp from '../kernel/abi/snp.js';
import { bucketStart, nonEmpty, type HistogramPairs } from './histogram.js';
import { lockClassName } from './lock-classes.js';
import type { Shard } from './shard.js';

/** Pages of a host by state. Assigned ones are allocated, too; total = free + allocated + leaked. */
export interface PageStatistics {
  total: number;
  free: number;
  allocated: number;
  /** Pages assigned to a guest in the RMP: those that an assignment made, less those that a reset gave back. */
  assigned: number;
  leaked: number;
}

/** Durations; all 0 without samples. */
export interface TimesNs {
  samples: number;
  mean: number;
  p50: number;
  p99: number;
  max: number;
}

/** One lock class. Every wait is measured; of holds one acquisition in 64, so their samples are fewer than the acquisitions. */
export interface LockStatistics {
  acquisitions: number;
  contended: number;
  waitNs: TimesNs;
  holdNs: TimesNs;
  /** Durations by bucket, only those that are not 0: number of the bucket (4 a power of two) and count. Results are merged by adding them. */
  waitHistogram: HistogramPairs;
  holdHistogram: HistogramPairs;
}

/** Page counts of all shards. Cached pages of tasks count as free. */
export function pageStatistics(shards: readonly Shard[]): PageStatistics {
  const sum: PageStatistics = { total: 0, free: 0, allocated: 0, assigned: 0, leaked: 0 };
  for (const shard of shards) {
    const pages = pagesOf(shard);
    for (const name of Object.keys(sum) as (keyof PageStatistics)[]) sum[name] += pages[name];
  }
  return sum;
}

function pagesOf(shard: Shard): PageStatistics {
  const { x } = shard;
  // As a mere observer: a task would be thrown out of the kernel once the run has oopsed.
  x.setCurrent(0);
  const pages = {
    total: x.managedPages() >>> 0,
    free: (x.freePages() >>> 0) + (x.cachedPages() >>> 0),
    allocated: x.allocatedPages() >>> 0,
    assigned: x.sysAssignedPages() >>> 0,
    leaked: x.leakedPages() >>> 0,
  };
  x.setCurrent(x.taskAddress(shard.taskId));
  return pages;
}

/** Lock statistics by class, added up over all tasks of all shards; empty when the build keeps none. */
export function lockStatistics(shards: readonly Shard[]): Record<string, LockStatistics> {
  const result: Record<string, LockStatistics> = {};
  for (let lockClass = 1; lockClass < classes.LC_MAX; lockClass++) {
    const sum = sumClass(shards, lockClass);
    if (sum !== undefined) result[lockClassName(lockClass)] = sum;
  }
  return result;
}

/** Where each task of each shard counts a lock class. */
function* countersOf(shards: readonly Shard[], lockClass: number): Generator<DataView> {
  for (const { words, buffer } of shards) {
    const table = words[layout.SH_LOCKSTAT / 4]! >>> 0;
    if (table === 0) continue;
    const tasks = words[layout.SH_MAX_TASKS / 4]!;
    for (let task = 0; task < tasks; task++) {
      const at = table + (task * classes.LC_MAX + lockClass) * lockstat.LOCKSTAT_ENTRY_SIZE;
      yield new DataView(buffer, at, lockstat.LOCKSTAT_ENTRY_SIZE);
    }
  }
}

/** Sum, maximum and buckets of durations. */
interface Durations {
  sum: number;
  max: number;
  buckets: Float64Array;
}

/** Where an entry keeps waits, and where holds. */
const WAITS = [lockstat.LOCKSTAT_WAIT_SUM_NS, lockstat.LOCKSTAT_WAIT_MAX_NS, lockstat.LOCKSTAT_WAIT_HISTOGRAM] as const;
const HOLDS = [lockstat.LOCKSTAT_HOLD_SUM_NS, lockstat.LOCKSTAT_HOLD_MAX_NS, lockstat.LOCKSTAT_HOLD_HISTOGRAM] as const;

function sumClass(shards: readonly Shard[], lockClass: number): LockStatistics | undefined {
  let acquisitions = 0;
  let contended = 0;
  const [wait, hold] = [noDurations(), noDurations()];
  for (const view of countersOf(shards, lockClass)) {
    const taken = Number(view.getBigUint64(lockstat.LOCKSTAT_ACQUISITIONS, true));
    if (taken === 0) continue;
    acquisitions += taken;
    contended += Number(view.getBigUint64(lockstat.LOCKSTAT_CONTENDED, true));
    addDurations(wait, view, WAITS);
    addDurations(hold, view, HOLDS);
  }
  if (acquisitions === 0) return undefined;
  const histograms = { waitHistogram: nonEmpty(wait.buckets), holdHistogram: nonEmpty(hold.buckets) };
  return { acquisitions, contended, waitNs: times(wait), holdNs: times(hold), ...histograms };
}

function noDurations(): Durations {
  return { sum: 0, max: 0, buckets: new Float64Array(lockstat.LOCKSTAT_BUCKETS) };
}

function addDurations(into: Durations, view: DataView, [sumAt, maxAt, bucketsAt]: typeof WAITS | typeof HOLDS): void {
  into.sum += view.getFloat64(sumAt, true);
  into.max = Math.max(into.max, view.getFloat64(maxAt, true));
  for (let n = 0; n < into.buckets.length; n++) into.buckets[n]! += view.getUint32(bucketsAt + n * 4, true);
}

function times({ sum, max, buckets }: Durations): TimesNs {
  const samples = buckets.reduce((total, count) => total + count, 0);
  const at = (share: number): number => Math.min(quantile(buckets, samples, share), max);
  return { samples, mean: samples === 0 ? 0 : sum / samples, p50: at(0.5), p99: at(0.99), max };
}

/** Upper end of the bucket that holds the quantile; 0 without samples. */
function quantile(buckets: Float64Array, samples: number, share: number): number {
  let left = Math.ceil(samples * share);
  if (left === 0) return 0;
  for (let n = 0; n < buckets.length; n++) {
    left -= buckets[n]!;
    if (left <= 0) return bucketStart(n + 1, lockstat.LOCKSTAT_SUB_BITS);
  }
  return bucketStart(buckets.length, lockstat.LOCKSTAT_SUB_BITS);
}

/** RMP instruction counters, added up over all tasks. */
export function rmpStatistics(shards: readonly Shard[]): Record<string, number> {
  const names: [string, number][] = [
    ['rmpupdates', snp.SNPC_RMPUPDATES],
    ['psmashes', snp.SNPC_PSMASHES],
    ['inUse', snp.SNPC_IN_USE],
    ['overlap', snp.SNPC_OVERLAP],
    ['leakedPages', snp.SNPC_LEAKED_PAGES],
    ['hookPages', snp.SNPC_HOOK_PAGES],
    ['spuriousFaults', snp.SNPC_SPURIOUS_FAULTS],
    ['hostFaults', snp.SNPC_HOST_FAULTS],
  ];
  const sumOf = (offset: number): number => shards.reduce((sum, shard) => sum + counterOf(shard, offset), 0);
  return Object.fromEntries(names.map(([name, offset]) => [name, sumOf(offset)]));
}

/** One of the tasks' SNP counters, added up. */
function counterOf({ words, buffer }: Shard, offset: number): number {
  const base = words[layout.SH_TASKS / 4]! >>> 0;
  let sum = 0;
  for (let task = 0; task < words[layout.SH_MAX_TASKS / 4]!; task++) {
    const view = new DataView(buffer, base + task * layout.TASK_SIZE + snp.SNP_COUNTERS + offset, 8);
    sum += Number(view.getBigUint64(0, true));
  }
  return sum;
}
