// A histogram that any number of threads record into, each into a slice of its own (src/kernel/shm/histogram.ts). A summary adds the slices up, merges
// with others, and prints the percentile text that HdrHistogram's plotters read.
import {
  HDR_BUCKETS,
  HDR_SIZE,
  HDR_SLICES,
  HDR_SUB_BITS,
  SLICE_MAX,
  SLICE_MIN,
  SLICE_SQUARES,
  SLICE_SUM,
} from '../kernel/abi/shm.js';
import { z } from 'zod';
import { KernelError, UsageError } from '../host/errors.js';
import { checkOptions, shown, wanted, whole } from '../host/options.js';
import { arenaOf, Shared, type Arena } from './arena.js';

/** How fine a histogram is. */
export interface HistogramOptions {
  /** 2^precision buckets per power of two: the relative error is at most 2^-precision. */
  precision?: number;
}

/** How percentiles are printed. */
export interface HdrTextOptions {
  /** Values are divided by it: 1e6 for nanoseconds as milliseconds. */
  scale?: number;
  /** Lines for each halving of the distance to 100 %. */
  ticks?: number;
}

const histogramOptions = z.strictObject({
  precision: whole(1, 12).optional(),
} satisfies Record<keyof HistogramOptions, z.ZodType>);

const textOptions = z.strictObject({
  scale: wanted((value) => typeof value === 'number' && value > 0 && value < Infinity, 'a number above 0').optional(),
  ticks: whole(1, 1000).optional(),
} satisfies Record<keyof HdrTextOptions, z.ZodType>);

/** A share of all values. */
function checkedShare(share: number): number {
  if (typeof share !== 'number' || !(share >= 0 && share <= 1))
    throw new UsageError('percentile', `percentile: ${shown(share)} is not a share from 0 to 1, such as 0.99`);
  return share;
}

/** Counts per value, from all threads. */
export class Histogram extends Shared {
  private constructor(arena: Arena, address: number) {
    super(arena, address, HDR_SIZE);
  }

  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena, options: HistogramOptions = {}): Histogram {
    checkOptions('Histogram.create', histogramOptions, options);
    const { precision = 5 } = options;
    const histogram = new Histogram(arena, arenaOf('Histogram.create', arena).alloc(HDR_SIZE));
    if (arena.x.hdrInit(histogram.address, precision) === 0) {
      arena.free(histogram.address, HDR_SIZE);
      throw new KernelError('Histogram', 12, { precision });
    }
    return histogram;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): Histogram {
    return new Histogram(arena, address);
  }

  /** Counts a value from 0 up to 2^53 (nanoseconds, usually). Any thread may record at any time. */
  record(value: number): void {
    if (typeof value !== 'number' || this.arena.x.hdrRecord(this.address, value) === 0)
      throw new UsageError('value', `value: ${shown(value)} is not a number from 0 up to 2^53`);
  }

  /** What all threads have recorded. Those that go on recording may or may not be seen. */
  summary(): HistogramSummary {
    const { x, buffer } = this.arena;
    const view = new DataView(buffer, this.address, HDR_SIZE);
    const sum = new HistogramSummary(
      view.getUint32(HDR_SUB_BITS, true),
      new Float64Array(view.getUint32(HDR_BUCKETS, true)),
    );
    const slices = view.getUint32(HDR_SLICES, true);
    for (let slice = 0; slice < slices; slice++) {
      if (x.hdrCount(this.address, slice) === 0) continue;
      for (let n = 0; n < sum.buckets.length; n++) sum.buckets[n]! += x.hdrBucket(this.address, slice, n);
      sum.min = Math.min(sum.min, x.hdrField(this.address, slice, SLICE_MIN));
      sum.max = Math.max(sum.max, x.hdrField(this.address, slice, SLICE_MAX));
      sum.total += x.hdrField(this.address, slice, SLICE_SUM);
      sum.squares += x.hdrField(this.address, slice, SLICE_SQUARES);
    }
    return sum;
  }

  /** Values recorded. */
  get count(): number {
    return this.summary().count;
  }

  /** The value that a share (0 to 1) of the recorded values does not exceed; NaN without values. */
  percentile(share: number): number {
    return this.summary().percentile(share);
  }

  /** HdrHistogram's percentile distribution as text; see HistogramSummary. */
  toHdrText(options: HdrTextOptions = {}): string {
    return this.summary().toHdrText(options);
  }

  /** Several histograms as one, by addition. */
  static merge(histograms: readonly Histogram[]): HistogramSummary {
    if (!Array.isArray(histograms) || !histograms.every((each) => each instanceof Histogram))
      throw new UsageError('merge', `merge: ${shown(histograms)} is not a list of histograms`);
    const [first, ...rest] = histograms.map((histogram) => histogram.summary());
    if (first === undefined) throw new UsageError('merge', 'merge: there is no histogram to merge');
    return rest.reduce((sum, other) => sum.merge(other), first);
  }

  /** Gives the memory back. Nobody may record any more. */
  free(): void {
    this.checkLive('free');
    this.arena.x.hdrFree(this.address);
    this.arena.free(this.address, HDR_SIZE);
  }
}

/** A histogram at rest. Values are those recorded, with the precision of the buckets; min and max are exact. */
export class HistogramSummary {
  readonly precision: number;
  readonly buckets: Float64Array;
  min = Infinity;
  max = 0;
  /** Sum of all values, and of their squares. */
  total = 0;
  squares = 0;

  constructor(precision: number, buckets: Float64Array) {
    this.precision = precision;
    this.buckets = buckets;
  }

  /** Values recorded. */
  get count(): number {
    return this.buckets.reduce((sum, count) => sum + count, 0);
  }

  /** Mean of the values; NaN without any. */
  get mean(): number {
    return this.count === 0 ? Number.NaN : this.total / this.count;
  }

  /** Their standard deviation; NaN without any. */
  get standardDeviation(): number {
    const { count, mean } = this;
    return count === 0 ? Number.NaN : Math.sqrt(Math.max(0, this.squares / count - mean * mean));
  }

  /** The value that a share (0 to 1) of the values does not exceed: the upper end of its bucket, at most the greatest value. NaN without values. */
  percentile(share: number): number {
    const least = Math.max(1, Math.ceil(this.count * checkedShare(share) - 1e-6));
    let seen = 0;
    for (let n = 0; n < this.buckets.length; n++) {
      seen += this.buckets[n]!;
      if (seen >= least) return Math.min(bucketEnd(n, this.precision), this.max);
    }
    return Number.NaN;
  }

  /** Adds another summary of the same precision. */
  merge(other: HistogramSummary): this {
    if (!(other instanceof HistogramSummary))
      throw new UsageError('merge', `merge: ${shown(other)} is not the summary of a histogram`);
    if (other.precision !== this.precision) {
      throw new UsageError('precision', `precision: ${other.precision} cannot be merged into ${this.precision}`);
    }
    for (let n = 0; n < this.buckets.length; n++) this.buckets[n]! += other.buckets[n]!;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    this.total += other.total;
    this.squares += other.squares;
    return this;
  }

  /** HdrHistogram's percentile distribution, which its plotters read. */
  toHdrText(options: HdrTextOptions = {}): string {
    checkOptions('toHdrText', textOptions, options);
    const { scale = 1, ticks = 5 } = options;
    const { count } = this;
    const lines = ['       Value     Percentile TotalCount 1/(1-Percentile)', ''];
    let next = 0;
    let seen = 0;
    for (let n = 0; n < this.buckets.length; n++) {
      if (this.buckets[n] === 0) continue;
      seen += this.buckets[n]!;
      if (seen === count) break; // the greatest value: the 100 % line below
      const value = Math.min(bucketEnd(n, this.precision), this.max) / scale;
      const reached = (seen / count) * 100;
      // A line for each tick that this bucket has reached.
      while (next <= reached) {
        lines.push(line(value, next, seen));
        next += 100 / (ticks * 2 ** (Math.floor(Math.log2(100 / (100 - next))) + 1));
      }
    }
    if (count > 0) lines.push(line(this.max / scale, 100, count));
    const spread = `[Mean    = ${number(this.mean / scale)}, StdDeviation   = ${number(this.standardDeviation / scale)}]`;
    lines.push(
      `#${spread}`,
      `#[Max     = ${number(this.max / scale)}, Total count    = ${String(count).padStart(12)}]`,
      `#[Buckets = ${String(Math.ceil(this.buckets.length / 2 ** this.precision)).padStart(12)}, SubBuckets     = ${String(2 ** this.precision).padStart(12)}]`,
    );
    return `${lines.join('\n')}\n`;
  }
}

const number = (value: number): string => value.toFixed(3).padStart(12);

function line(value: number, percent: number, seen: number): string {
  const share = percent / 100;
  const head = `${number(value)} ${share.toFixed(12)} ${String(seen).padStart(10)}`;
  return percent === 100 ? head : `${head} ${(1 / (1 - share)).toFixed(2).padStart(14)}`;
}

/** Greatest whole value of bucket `n`. */
function bucketEnd(n: number, precision: number): number {
  const next = n + 1;
  if (next <= 2 ** precision) return n;
  const power = (next >> precision) - 1;
  return (2 ** precision + (next & (2 ** precision - 1))) * 2 ** power - 1;
}
