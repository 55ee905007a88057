// Statistics of a host, read from the shared memory of its shards while it runs: pages, lock classes, RMP operations.
import * as classes from '../kernel/abi/classes.js';
import * as layout from '../kernel/abi/layout.js';
import * as lockstat from '../kernel/abi/lockstat.js';
import * as snp from '../kernel/abi/snp.js';
import { lockClassName } from './lock-classes.js';
import type { Shard } from './shard.js';

export interface PageStatistics {
  total: number;
  free: number;
  allocated: number;
  /** Pages assigned to a guest in the RMP: those that an assignment made, less those that a reset gave back. */
  assigned: number;
  leaked: number;
}

export interface TimesNs {
  p50: number;
  p99: number;
  max: number;
}

export interface LockStatistics {
  acquisitions: number;
  contended: number;
  waitNs: TimesNs;
  holdNs: TimesNs;
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

function sumClass(shards: readonly Shard[], lockClass: number): LockStatistics | undefined {
  let acquisitions = 0;
  let contended = 0;
  let waitMax = 0;
  let holdMax = 0;
  const wait = new Float64Array(lockstat.LOCKSTAT_BUCKETS);
  const hold = new Float64Array(lockstat.LOCKSTAT_BUCKETS);
  for (const view of countersOf(shards, lockClass)) {
    const taken = Number(view.getBigUint64(lockstat.LOCKSTAT_ACQUISITIONS, true));
    if (taken === 0) continue;
    acquisitions += taken;
    contended += Number(view.getBigUint64(lockstat.LOCKSTAT_CONTENDED, true));
    waitMax = Math.max(waitMax, view.getFloat64(lockstat.LOCKSTAT_WAIT_MAX_NS, true));
    holdMax = Math.max(holdMax, view.getFloat64(lockstat.LOCKSTAT_HOLD_MAX_NS, true));
    for (let n = 0; n < lockstat.LOCKSTAT_BUCKETS; n++) {
      wait[n]! += view.getUint32(lockstat.LOCKSTAT_WAIT_HISTOGRAM + n * 4, true);
      hold[n]! += view.getUint32(lockstat.LOCKSTAT_HOLD_HISTOGRAM + n * 4, true);
    }
  }
  if (acquisitions === 0) return undefined;
  return { acquisitions, contended, waitNs: times(wait, waitMax), holdNs: times(hold, holdMax) };
}

function times(buckets: Float64Array, max: number): TimesNs {
  return { p50: Math.min(quantile(buckets, 0.5), max), p99: Math.min(quantile(buckets, 0.99), max), max };
}

/** Upper end of the bucket that holds the quantile; 0 without samples. */
function quantile(buckets: Float64Array, share: number): number {
  let left = Math.ceil(buckets.reduce((sum, count) => sum + count, 0) * share);
  if (left === 0) return 0;
  for (let n = 0; n < buckets.length; n++) {
    left -= buckets[n]!;
    if (left <= 0) return bucketStart(n + 1);
  }
  return bucketStart(buckets.length);
}

function bucketStart(n: number): number {
  return n < 4 ? n : (4 + (n % 4)) * 2 ** (Math.floor(n / 4) - 1);
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
