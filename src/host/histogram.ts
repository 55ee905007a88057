// Reads the log-linear histograms that the kernel records, and merges them by addition.
import { HIST_BUCKETS, HIST_SUB_BITS } from '../kernel/abi/program.js';

const SUB = 1 << HIST_SUB_BITS;

/** Counts per bucket; index as in src/kernel/program/histogram.ts. */
export type Buckets = Float64Array;

export function emptyBuckets(): Buckets {
  return new Float64Array(HIST_BUCKETS);
}

/** Adds the u32 buckets at `address` of a shard to `into`. */
export function addBuckets(into: Buckets, buffer: SharedArrayBuffer, address: number): void {
  const counts = new Uint32Array(buffer, address, HIST_BUCKETS);
  for (let n = 0; n < HIST_BUCKETS; n++) into[n]! += counts[n]!;
}

/** Lowest value that falls into bucket `n`. */
export function bucketStart(n: number): number {
  if (n < SUB) return n;
  const power = (n >> HIST_SUB_BITS) - 1;
  return (SUB + (n & (SUB - 1))) * 2 ** power;
}

/** The value below which `share` of the counts lie, as the upper end of its bucket; NaN without counts. */
export function percentile(buckets: Buckets, share: number): number {
  let total = 0;
  for (const count of buckets) total += count;
  if (total === 0) return Number.NaN;
  let left = Math.max(1, Math.ceil(total * share));
  for (let n = 0; n < HIST_BUCKETS; n++) {
    left -= buckets[n]!;
    if (left <= 0) return bucketStart(n + 1) - 1;
  }
  return bucketStart(HIST_BUCKETS);
}
