// The time series of a run: what each operation did in each second. The counters in shared memory only grow, so a second is the difference of two
// readings; of the histograms, too, so that its percentiles are its own.
import { percentile, type Buckets } from '../host/histogram.js';
import type { Shard } from '../host/shard.js';
import type { ActorProgram } from './actors.js';
import { operationName, sumOperations, type Sum } from './results.js';

/** One operation in one second. */
export interface SeriesRow {
  /** End of the interval, seconds of recorded time. */
  seconds: number;
  operation: string;
  count: number;
  ratePerSecond: number;
  errors: number;
  /** NaN where no latency was recorded. */
  p50Ns: number;
  p99Ns: number;
}

/** Reads a run once a second. */
export class Series {
  readonly rows: SeriesRow[] = [];
  readonly #shards: readonly Shard[];
  readonly #programs: readonly ActorProgram[];
  #before: ReadonlyMap<number, Sum> = new Map();
  #seconds = 0;

  constructor(shards: readonly Shard[], programs: readonly ActorProgram[]) {
    this.#shards = shards;
    this.#programs = programs;
  }

  /** Closes the interval that ends `seconds` after the beginning of the recorded time. */
  sample(seconds: number): void {
    const lasted = seconds - this.#seconds;
    if (lasted <= 0) return;
    const now = sumOperations(this.#shards, this.#programs);
    for (const [op, sum] of [...now].toSorted(([a], [b]) => a - b)) {
      const before = this.#before.get(op);
      const count = sum.count - (before?.count ?? 0);
      const buckets = difference(sum.buckets, before?.buckets);
      this.rows.push({
        seconds,
        operation: operationName(op),
        count,
        ratePerSecond: count / lasted,
        errors: errorsOf(sum) - (before === undefined ? 0 : errorsOf(before)),
        p50Ns: percentile(buckets, 0.5),
        p99Ns: percentile(buckets, 0.99),
      });
    }
    this.#before = now;
    this.#seconds = seconds;
  }
}

function difference(now: Buckets, before: Buckets | undefined): Buckets {
  return before === undefined ? now : now.map((count, n) => count - before[n]!);
}

function errorsOf({ errors }: Sum): number {
  return [...errors.values()].reduce((sum, count) => sum + count, 0);
}
