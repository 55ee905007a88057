// A latency distribution of a torture result as the percentile text that HdrHistogram's plotters read.
import { bucketStart } from '../host/histogram.js';
import { HIST_BUCKETS, HIST_SUB_BITS } from '../kernel/abi/program.js';
import { HistogramSummary } from '../shm/histogram.js';
import type { OperationResult } from '../torture/results.js';

const NS_PER_US = 1000;

/** Percentiles in microseconds. Mean and deviation are of the middles of the buckets, since only those are kept. */
export function hdrText({ histogram, latencyNs }: OperationResult): string {
  const summary = new HistogramSummary(HIST_SUB_BITS, new Float64Array(HIST_BUCKETS));
  for (const [bucket, count] of histogram) {
    const middle = (bucketStart(bucket) + bucketStart(bucket + 1) - 1) / 2;
    summary.buckets[bucket] = count;
    summary.total += count * middle;
    summary.squares += count * middle * middle;
  }
  summary.min = latencyNs.min;
  summary.max = latencyNs.max;
  return summary.toHdrText({ scale: NS_PER_US });
}
