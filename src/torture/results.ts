// Results of a torture run: merges what the actors left in shared memory into the result document of the interface.
import { errnoName } from '../host/errors.js';
import type { Shard } from '../host/shard.js';
import * as program from '../kernel/abi/program.js';
import type { ActorProgram } from './actors.js';
import { addBuckets, emptyBuckets, percentile, type Buckets } from '../host/histogram.js';

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

export interface OperationResult {
  count: number;
  pages: number;
  ratePerSecond: number;
  latencyNs: Latency;
  errors: Record<string, number>;
}

interface Sum {
  count: number;
  pages: number;
  minNs: number;
  maxNs: number;
  buckets: Buckets;
  errors: Map<number, number>;
}

/** Adds up the statistics of all actors; `durationMs` is the recorded time, without the warm-up. */
export function collectOperations(
  shards: readonly Shard[],
  programs: readonly ActorProgram[],
  durationMs: number,
): Record<string, OperationResult> {
  const sums = new Map<number, Sum>();
  for (const { stats, shard } of programs) {
    for (let op = 0; op < program.OP_COUNT; op++)
      addOperation(sums, shards[shard]!.buffer, stats + op * program.OPSTAT_SIZE, op);
  }
  const results: Record<string, OperationResult> = {};
  for (const [op, sum] of [...sums].toSorted(([a], [b]) => a - b)) results[operationName(op)] = finish(sum, durationMs);
  return results;
}

function addOperation(sums: Map<number, Sum>, buffer: SharedArrayBuffer, address: number, op: number): void {
  const view = new DataView(buffer, address, program.OPSTAT_SIZE);
  const count = Number(view.getBigUint64(program.OS_COUNT, true));
  if (count === 0) return;
  let sum = sums.get(op);
  if (sum === undefined) {
    sum = { count: 0, pages: 0, minNs: Infinity, maxNs: 0, buckets: emptyBuckets(), errors: new Map() };
    sums.set(op, sum);
  }
  sum.count += count;
  sum.pages += Number(view.getBigUint64(program.OS_PAGES, true));
  if (view.getBigUint64(program.OS_SAMPLED, true) > 0n) {
    sum.minNs = Math.min(sum.minNs, view.getFloat64(program.OS_MIN_NS, true));
    sum.maxNs = Math.max(sum.maxNs, view.getFloat64(program.OS_MAX_NS, true));
  }
  addBuckets(sum.buckets, buffer, address + program.OS_HISTOGRAM);
  for (let n = 0; n < program.OS_ERROR_SLOTS; n++) {
    const errno = view.getUint32(program.OS_ERRORS + n * 8, true);
    if (errno !== 0)
      sum.errors.set(errno, (sum.errors.get(errno) ?? 0) + view.getUint32(program.OS_ERRORS + n * 8 + 4, true));
  }
}

function finish(sum: Sum, durationMs: number): OperationResult {
  const at = (share: number): number => Math.min(percentile(sum.buckets, share), sum.maxNs);
  return {
    count: sum.count,
    pages: sum.pages,
    ratePerSecond: Math.round((sum.count / durationMs) * 1000),
    latencyNs: { min: sum.minNs, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: sum.maxNs },
    errors: Object.fromEntries([...sum.errors].map(([errno, count]) => [errnoName(errno), count])),
  };
}
