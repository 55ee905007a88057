// Log-linear histogram over u64 buckets in shared memory: one writer, any number of readers, merged by addition. HdrHistogram's idea with
// 16 sub-buckets, so that recording is a shift and an increment. A bucket of 32 bits would be full after an hour of a million values a second.
import { HIST_BUCKETS, HIST_SUB_BITS } from '../abi/program';
import { load64, store64 } from '../point';

/** Bucket of a value: identity below 16, then 16 buckets per power of two. */
// @ts-ignore: decorator
@inline
export function histogramBucket(value: u64): u32 {
  if (value < 16) return <u32>value;
  const exponent = 63 - <u32>clz<u64>(value);
  const bucket = ((exponent - HIST_SUB_BITS + 1) << HIST_SUB_BITS) + (<u32>(value >> <u64>(exponent - HIST_SUB_BITS)) & 15);
  return min<u32>(bucket, HIST_BUCKETS - 1);
}

/** Counts one value. @context one writer per histogram, no lock. */
// @ts-ignore: decorator
@inline
export function histogramRecord(histogram: usize, value: u64): void {
  const p = histogram + (<usize>histogramBucket(value) << 3);
  store64(p, load64(p) + 1);
}
