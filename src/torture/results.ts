// Results of a torture run: merges what the actors left in shared memory into the result document of the interface.
import { errnoName } from '../host/errors.js';
import type { Shard } from '../host/shard.js';
import * as program from '../kernel/abi/program.js';
import type { ActorProgram } from './actors.js';
import {
  addBuckets,
  emptyBuckets,
  nonEmpty,
  percentile,
  type Buckets,
  type HistogramPairs,
} from '../host/histogram.js';

const OPERATIONS: Record<number, string> = {
  [program.OP_TOUCH]: 'touch',
  [program.OP_PUNCH_HOLE]: 'punch_hole',
  [program.OP_ALLOCATE]: 'allocate',
  [program.OP_TO_PRIVATE]: 'to_private',
  [program.OP_TO_SHARED]: 'to_shared',
  [program.OP_SLOT_DELETE]: 'slot_delete',
  [program.OP_SLOT_CREATE]: 'slot_create',
  [program.OP_SLOT_MOVE]: 'slot_move',
  [program.OP_MEMORY_FAILURE]: 'memory_failure',
  [program.OP_DISCARD]: 'discard',
  [program.OP_SLOT_FLAGS]: 'slot_flags',
  [program.OP_PVALIDATE]: 'pvalidate',
  [program.OP_RMP_LOCK]: 'rmp_lock',
  [program.OP_VM_CREATE]: 'vm_create',
  [program.OP_LAUNCH_UPDATE]: 'launch_update',
  [program.OP_LAUNCH_FINISH]: 'launch_finish',
  [program.OP_VM_DESTROY]: 'vm_destroy',
  [program.OP_HOST_WRITE]: 'host_write',
  [program.OP_HOST_WRITE_PRIVATE]: 'host_write_private',
  [program.OP_FILE_FAULT]: 'file_fault',
  [program.OP_DMA_MAP]: 'dma_map',
  [program.OP_DMA_WRITE]: 'dma_write',
  [program.OP_DMA_UNMAP]: 'dma_unmap',
  [program.OP_RECLAIM]: 'reclaim',
  [program.OP_REAP]: 'reap',
  [program.OP_INTERRUPT]: 'interrupt',
  [program.OP_PAGE_STATE]: 'page_state',
  [program.OP_CACHED_WRITE]: 'cached_write',
  [program.OP_DEVICE_REGISTER]: 'device_register',
  [program.OP_DEVICE_UNREGISTER]: 'device_unregister',
  [program.OP_MMIO_WRITE]: 'mmio_write',
  [program.OP_REGION_REGISTER]: 'region_register',
  [program.OP_REGION_UNREGISTER]: 'region_unregister',
  [program.OP_OWN_SLOT]: 'own_slot',
  [program.OP_SHADOW_ROOT]: 'shadow_root',
};

/** All operations of reports. */
export function operationNames(): string[] {
  return Object.values(OPERATIONS);
}

/** The name of an operation number in reports. */
export function operationName(op: number): string {
  return OPERATIONS[op] ?? `op${op}`;
}

export interface Latency {
  min: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

/** One operation, of all threads together. Times are nanoseconds. */
export interface OperationResult {
  count: number;
  pages: number;
  ratePerSecond: number;
  /** From the instant at which the operation was due: in an open loop with the time in the queue, that is, corrected for coordinated omission. */
  latencyNs: Latency;
  /** Uncorrected, of open loops only: from the real start of the operation. */
  serviceNs?: Omit<Latency, 'min'>;
  errors: Record<string, number>;
  /** Latencies by bucket, only those that are not 0: number of the bucket (16 a power of two) and count. Results are merged by adding them. */
  histogram: HistogramPairs;
}

/** The counters of one operation, of all actors. */
export interface Sum {
  count: number;
  pages: number;
  minNs: number;
  maxNs: number;
  buckets: Buckets;
  serviced: number;
  serviceMaxNs: number;
  serviceBuckets: Buckets;
  errors: Map<number, number>;
}

/** Adds up the statistics of all actors, by operation number. */
export function sumOperations(shards: readonly Shard[], programs: readonly ActorProgram[]): Map<number, Sum> {
  const sums = new Map<number, Sum>();
  for (const { stats, shard } of programs) {
    for (let op = 0; op < program.OP_COUNT; op++)
      addOperation(sums, shards[shard]!.buffer, stats + op * program.OPSTAT_SIZE, op);
  }
  return sums;
}

/** What all actors did; `durationMs` is the recorded time, without the warm-up. */
export function collectOperations(
  shards: readonly Shard[],
  programs: readonly ActorProgram[],
  durationMs: number,
): Record<string, OperationResult> {
  const sums = sumOperations(shards, programs);
  const results: Record<string, OperationResult> = {};
  for (const [op, sum] of [...sums].toSorted(([a], [b]) => a - b)) results[operationName(op)] = finish(sum, durationMs);
  return results;
}

function emptySum(): Sum {
  return {
    count: 0,
    pages: 0,
    minNs: Infinity,
    maxNs: 0,
    buckets: emptyBuckets(),
    serviced: 0,
    serviceMaxNs: 0,
    serviceBuckets: emptyBuckets(),
    errors: new Map(),
  };
}

function addOperation(sums: Map<number, Sum>, buffer: SharedArrayBuffer, address: number, op: number): void {
  const view = new DataView(buffer, address, program.OPSTAT_SIZE);
  const count = Number(view.getBigUint64(program.OS_COUNT, true));
  if (count === 0) return;
  let sum = sums.get(op);
  if (sum === undefined) {
    sum = emptySum();
    sums.set(op, sum);
  }
  sum.count += count;
  sum.pages += Number(view.getBigUint64(program.OS_PAGES, true));
  if (view.getBigUint64(program.OS_SAMPLED, true) > 0n) {
    sum.minNs = Math.min(sum.minNs, view.getFloat64(program.OS_MIN_NS, true));
    sum.maxNs = Math.max(sum.maxNs, view.getFloat64(program.OS_MAX_NS, true));
  }
  addBuckets(sum.buckets, buffer, address + program.OS_HISTOGRAM);
  const serviced = Number(view.getBigUint64(program.OS_SERVICED, true));
  if (serviced > 0) {
    sum.serviced += serviced;
    sum.serviceMaxNs = Math.max(sum.serviceMaxNs, view.getFloat64(program.OS_SERVICE_MAX_NS, true));
    addBuckets(sum.serviceBuckets, buffer, address + program.OS_SERVICE_HISTOGRAM);
  }
  for (let n = 0; n < program.OS_ERROR_SLOTS; n++) {
    const errno = view.getUint32(program.OS_ERRORS + n * 8, true);
    if (errno !== 0)
      sum.errors.set(errno, (sum.errors.get(errno) ?? 0) + view.getUint32(program.OS_ERRORS + n * 8 + 4, true));
  }
}

function percentiles(buckets: Buckets, maxNs: number): Omit<Latency, 'min'> {
  const at = (share: number): number => Math.min(percentile(buckets, share), maxNs);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: maxNs };
}

function finish(sum: Sum, durationMs: number): OperationResult {
  return {
    count: sum.count,
    pages: sum.pages,
    ratePerSecond: Math.round((sum.count / durationMs) * 1000),
    latencyNs: { min: sum.minNs, ...percentiles(sum.buckets, sum.maxNs) },
    ...(sum.serviced === 0 ? {} : { serviceNs: percentiles(sum.serviceBuckets, sum.serviceMaxNs) }),
    histogram: nonEmpty(sum.buckets),
    errors: Object.fromEntries([...sum.errors].map(([errno, count]) => [errnoName(errno), count])),
  };
}

/** What one thread did. */
export interface ActorResult {
  name: string;
  kind: ActorProgram['kind'];
  /** Recorded: after the warm-up. */
  operations: number;
  steps: number;
  /** Of an open loop. */
  pacing?: {
    /** Steps that were due, per second, and those that were made. */
    intendedPerSecond: number;
    achievedPerSecond: number;
    /** Share of the steps that the thread had no time for. */
    missedShare: number;
    /** The latest start of a step after it was due. */
    lateMaxNs: number;
  };
}

/** What each thread did in the recorded time. */
export function collectActors(
  shards: readonly Shard[],
  programs: readonly ActorProgram[],
  durationMs: number,
): ActorResult[] {
  return programs.map(({ name, kind, address, shard }) => {
    const view = new DataView(shards[shard]!.buffer, address, program.PROGRAM_SIZE);
    const count = (at: number): number => Number(view.getBigUint64(at, true));
    const [operations, steps] = [count(program.PR_RECORDED), count(program.PR_STEPS)];
    if (view.getUint32(program.PR_OPEN, true) === 0) return { name, kind, operations, steps };
    const due = steps + count(program.PR_MISSED);
    const pacing = {
      intendedPerSecond: (due / durationMs) * 1000,
      achievedPerSecond: (steps / durationMs) * 1000,
      missedShare: due === 0 ? 0 : 1 - steps / due,
      lateMaxNs: view.getFloat64(program.PR_LATE_NS, true),
    };
    return { name, kind, operations, steps, pacing };
  });
}

/** How evenly the threads of one kind got on. */
export interface Progress {
  threads: number;
  /** Recorded operations of the thread with the fewest, and with the most. */
  least: number;
  most: number;
  /** most / least; 0 when nobody did anything, Infinity when only some did. */
  fairness: number;
}

/** Progress of each kind of actor. */
export function progressOf(actors: readonly ActorResult[]): Record<string, Progress> {
  const kinds = [...new Set(actors.map(({ kind }) => kind))];
  return Object.fromEntries(
    kinds.map((kind) => {
      const counts = actors.filter((actor) => actor.kind === kind).map(({ operations }) => operations);
      const [least, most] = [Math.min(...counts), Math.max(...counts)];
      return [kind, { threads: counts.length, least, most, fairness: most === 0 ? 0 : most / least }];
    }),
  );
}
