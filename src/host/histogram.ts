// Reads the log-linear histograms that the kernel records, and merges them by addition.
import { HIST_BUCKETS, HIST_SUB_BITS } from '../kernel/abi/program.js';

/** Counts per bucket; index as in src/kernel/program/histogram.ts. */
export type Buckets = Float64Array;

/** A histogram in a document: numbers of the buckets that are not empty, each with its count. */
export type HistogramPairs = [bucket: number, count: number][];

/** The buckets that are not empty. */
export function nonEmpty(buckets: Buckets): HistogramPairs {
  return [...buckets].flatMap((count, n): HistogramPairs => (count === 0 ? [] : [[n, count]]));
}

export function emptyBuckets(): Buckets {
  return new Float64Array(HIST_BUCKETS);
}

/** The buckets of a document's pairs, less those of an earlier reading of the same histogram. */
export function bucketsOf(pairs: HistogramPairs, before: HistogramPairs = [], length = HIST_BUCKETS): Buckets {
  const buckets = new Float64Array(length);
  for (const [n, count] of pairs) buckets[n]! += count;
  for (const [n, count] of before) buckets[n]! -= count;
  return buckets;
}

/** Adds the u64 buckets at `address` of a shard to `into`. */
export function addBuckets(into: Buckets, buffer: SharedArrayBuffer, address: number): void {
  // Low and high halves: most of the high ones are 0, and a BigInt for each bucket would cost more than all else.
  const halves = new Uint32Array(buffer, address, 2 * HIST_BUCKETS);
  for (let n = 0; n < HIST_BUCKETS; n++) into[n]! += halves[2 * n]! + halves[2 * n + 1]! * 2 ** 32;
}

/** Lowest value that falls into bucket `n` of a histogram with 2^subBits buckets a power of two. */
export function bucketStart(n: number, subBits = HIST_SUB_BITS): number {
  const sub = 1 << subBits;
  if (n < sub) return n;
  return (sub + (n & (sub - 1))) * 2 ** ((n >> subBits) - 1);
}

/** The value below which `share` of the counts lie, as the upper end of its bucket; NaN without counts. */
export function percentile(buckets: Buckets, share: number, subBits = HIST_SUB_BITS): number {
  let total = 0;
  for (const count of buckets) total += count;
  if (total === 0) return Number.NaN;
  let left = Math.max(1, Math.ceil(total * share));
  for (let n = 0; n < buckets.length; n++) {
    left -= buckets[n]!;
    if (left <= 0) return bucketStart(n + 1, subBits) - 1;
  }
  return bucketStart(buckets.length, subBits);
}
