// Histogram: log-linear buckets, one slice a task, so that recording is a shift and an increment on memory nobody else writes. Merged by addition.
// After Gil Tene's HdrHistogram: 2^b linear buckets per power of two, relative error at most 2^-b.
//
// bucket of v: v itself below 2^b; above, with e = floor(log2 v), the 2^b buckets of that power of two, chosen by the b bits under the top one.
// Counters are aligned u64 with one writer: a reader sees an old or a new value, never a torn one.
import { SH_MAX_TASKS } from '../abi/layout';
import {
  HDR_BUCKETS, HDR_FIRST, HDR_MAX_BITS, HDR_SLICES, HDR_STRIDE, HDR_SUB_BITS, SLICE_COUNT, SLICE_HEADER, SLICE_MAX, SLICE_MIN, SLICE_SQUARES,
  SLICE_SUM,
} from '../abi/shm';
import { atomicLoad64, load32, load64, loadF64, store32, store64, storeF64 } from '../point';
import { currentId } from '../task';
import { vfree, vmalloc } from '../heap';

// @ts-ignore: decorator
@inline
function sliceAddress(h: usize, slice: u32): usize {
  return <usize>load32(h + HDR_FIRST) + <usize>slice * load32(h + HDR_STRIDE);
}

// @ts-ignore: decorator
@inline
function bucketOf(value: u64, subBits: u32): u32 {
  if (value < (<u64>1 << <u64>subBits)) return <u32>value;
  const exponent = 63 - <u32>clz<u64>(value);
  const inPower = <u32>(value >> <u64>(exponent - subBits)) & ((<u32>1 << subBits) - 1);
  return ((exponent - subBits + 1) << subBits) + inPower;
}

/** Makes a histogram for values below 2^53. Slices cost memory only once their task records. Returns false when there is none left. */
export function hdrInit(h: usize, subBits: u32): bool {
  const buckets = (<u32>HDR_MAX_BITS - subBits + 1) << subBits;
  const stride = SLICE_HEADER + buckets * 8;
  const slices = load32(SH_MAX_TASKS);
  const first = vmalloc(<u64>stride * <u64>slices);
  store32(h + HDR_SUB_BITS, subBits);
  store32(h + HDR_BUCKETS, buckets);
  store32(h + HDR_SLICES, slices);
  store32(h + HDR_STRIDE, stride);
  store32(h + HDR_FIRST, <u32>first);
  return first != 0;
}

/** Frees the slices. @context nobody records any more. */
export function hdrFree(h: usize): void {
  vfree(load32(h + HDR_FIRST), <u64>load32(h + HDR_STRIDE) * <u64>load32(h + HDR_SLICES));
  store32(h + HDR_FIRST, 0);
}

/** Counts a value in the caller's slice; false for what is no number from 0 up to 2^53. @context any; no lock. */
export function hdrRecord(h: usize, value: f64): bool {
  if (!(value >= 0 && value < 9007199254740992.0)) return false;
  const slice = sliceAddress(h, currentId());
  const count = load64(slice + SLICE_COUNT);
  if (count == 0 || value < loadF64(slice + SLICE_MIN)) storeF64(slice + SLICE_MIN, value);
  if (value > loadF64(slice + SLICE_MAX)) storeF64(slice + SLICE_MAX, value);
  storeF64(slice + SLICE_SUM, loadF64(slice + SLICE_SUM) + value);
  storeF64(slice + SLICE_SQUARES, loadF64(slice + SLICE_SQUARES) + value * value);
  const bucket = slice + SLICE_HEADER + (<usize>bucketOf(<u64>value, load32(h + HDR_SUB_BITS)) << 3);
  store64(bucket, load64(bucket) + 1);
  store64(slice + SLICE_COUNT, count + 1);
  return true;
}

/** Values in a slice so far. */
export function hdrCount(h: usize, slice: u32): f64 {
  return <f64>atomicLoad64(sliceAddress(h, slice) + SLICE_COUNT);
}

/** Count of one bucket of a slice. */
export function hdrBucket(h: usize, slice: u32, bucket: u32): f64 {
  return <f64>atomicLoad64(sliceAddress(h, slice) + SLICE_HEADER + (<usize>bucket << 3));
}

/** One of a slice's f64 fields: SLICE_MIN, SLICE_MAX, SLICE_SUM, SLICE_SQUARES. */
export function hdrField(h: usize, slice: u32, field: u32): f64 {
  return reinterpret<f64>(atomicLoad64(sliceAddress(h, slice) + field));
}
