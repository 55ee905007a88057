// A latency histogram in shared memory: one writer, any number of readers, merged by addition. Log-linear with 16 buckets per power of two, so
// every value is kept to within one sixteenth.
import { addBuckets, bucketStart, emptyBuckets, percentile, type Buckets } from '../host/histogram.js';
import { HIST_BUCKETS } from '../kernel/abi/program.js';
import { UsageError } from '../host/errors.js';
import { Shared, type Arena } from './arena.js';

export class Histogram extends Shared {
  static create(arena: Arena): Histogram {
    return new Histogram(arena, arena.alloc(HIST_BUCKETS * 4));
  }

  static at(arena: Arena, address: number): Histogram {
    return new Histogram(arena, address);
  }

  /** Counts a value of at least 0 (nanoseconds, usually). Only one thread may record into one histogram. */
  record(value: number): void {
    if (!(value >= 0)) throw new UsageError('value', `value: ${value} is not a number of at least 0`);
    this.arena.x.histogramRecord(this.address, BigInt(Math.floor(value)));
  }

  /** The value below which `share` (0 to 1) of the recorded values lie; NaN without values. */
  percentile(share: number): number {
    return percentile(this.#buckets(), share);
  }

  get count(): number {
    return this.#buckets().reduce((sum, count) => sum + count, 0);
  }

  /** Percentiles of several histograms together: one per thread, merged by addition. */
  static merge(histograms: readonly Histogram[]): { count: number; percentile(share: number): number } {
    const buckets = emptyBuckets();
    for (const histogram of histograms) addBuckets(buckets, histogram.arena.buffer, histogram.address);
    return {
      count: buckets.reduce((sum, count) => sum + count, 0),
      percentile: (share) => percentile(buckets, share),
    };
  }

  /** The percentile distribution in HdrHistogram's text format, which its plotters read. */
  toHdrText(): string {
    const buckets = this.#buckets();
    const total = this.count;
    const lines = ['       Value     Percentile TotalCount 1/(1-Percentile)', ''];
    let seen = 0;
    for (let n = 0; n < HIST_BUCKETS; n++) {
      if (buckets[n] === 0) continue;
      seen += buckets[n]!;
      const share = seen / total;
      const inverse = share === 1 ? '' : (1 / (1 - share)).toFixed(2);
      const value = (bucketStart(n + 1) - 1).toFixed(3);
      lines.push(
        `${value.padStart(12)} ${share.toFixed(12)} ${String(seen).padStart(10)} ${inverse.padStart(14)}`.trimEnd(),
      );
    }
    return `${lines.join('\n')}\n#[Buckets = ${HIST_BUCKETS}, SubBuckets = 16, Total count = ${total}]\n`;
  }

  #buckets(): Buckets {
    const buckets = emptyBuckets();
    addBuckets(buckets, this.arena.buffer, this.address);
    return buckets;
  }
}
