// A distribution of a torture result, latencies of an operation or waits for a lock, as the percentile text that HdrHistogram's plotters read.
import { bucketStart, type HistogramPairs } from '../host/histogram.js';
import { LOCKSTAT_BUCKETS, LOCKSTAT_SUB_BITS } from '../kernel/abi/lockstat.js';
import { HIST_BUCKETS, HIST_SUB_BITS } from '../kernel/abi/program.js';
import { HistogramSummary } from '../shm/histogram.js';
import type { OperationResult } from '../torture/results.js';

const NS_PER_US = 1000;

/** Latencies of an operation: percentiles in microseconds. */
export function hdrText({ histogram, latencyNs }: Pick<OperationResult, 'histogram' | 'latencyNs'>): string {
  const summary = new HistogramSummary(HIST_SUB_BITS, new Float64Array(HIST_BUCKETS));
  return textOf(summary, histogram, latencyNs);
}

/** Waits or holds of a lock class: percentiles in microseconds. */
export function lockHdrText(histogram: HistogramPairs, times: { max: number }): string {
  const summary = new HistogramSummary(LOCKSTAT_SUB_BITS, new Float64Array(LOCKSTAT_BUCKETS));
  return textOf(summary, histogram, { min: bucketStart(histogram[0]?.[0] ?? 0, LOCKSTAT_SUB_BITS), max: times.max });
}

/** Mean and deviation are of the middles of the buckets, since only those are kept. */
function textOf(
  summary: HistogramSummary,
  histogram: HistogramPairs,
  { min, max }: { min: number; max: number },
): string {
  for (const [bucket, count] of histogram) {
    const middle = (bucketStart(bucket, summary.precision) + bucketStart(bucket + 1, summary.precision) - 1) / 2;
    summary.buckets[bucket] = count;
    summary.total += count * middle;
    summary.squares += count * middle * middle;
  }
  summary.min = min;
  summary.max = max;
  return summary.toHdrText({ scale: NS_PER_US });
}
