// The time series of a run: what each operation did in each second. The counters in shared memory only grow, so a second is the difference of two
// readings; of the histograms, too, so that its percentiles are its own. With each second comes the state at its end. Nothing is kept of seconds that were
// told: a run takes as much memory after an hour as after a minute.
import { percentile, type Buckets } from '../host/histogram.js';
import type { Shard } from '../host/shard.js';
import { lockStatistics, pageStatistics, type PageStatistics } from '../host/statistics.js';
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

/** How things stand at the end of a second. */
export interface StateRow extends PageStatistics {
  seconds: number;
  /** Of the process: what it has of the machine's memory, and the heap of its main thread. */
  rssBytes: number;
  heapBytes: number;
  /** Time that threads have waited for locks so far, all together; 0 in builds without lock statistics. */
  lockWaitNs: number;
}

/** Gets each second when it is over: what was done in it, and the state at its end. */
export type OnSecond = (rows: readonly SeriesRow[], state: StateRow) => void;

/** Reads a run once a second. */
export class Series {
  readonly #shards: readonly Shard[];
  readonly #programs: readonly ActorProgram[];
  readonly #onSecond: OnSecond;
  #before: ReadonlyMap<number, Sum> = new Map();
  #seconds = 0;

  constructor(shards: readonly Shard[], programs: readonly ActorProgram[], onSecond: OnSecond) {
    this.#shards = shards;
    this.#programs = programs;
    this.#onSecond = onSecond;
  }

  /** Closes the interval that ends `seconds` after the beginning of the recorded time. */
  sample(seconds: number): void {
    const lasted = seconds - this.#seconds;
    if (lasted <= 0) return;
    const now = sumOperations(this.#shards, this.#programs);
    const rows = [...now]
      .toSorted(([a], [b]) => a - b)
      .map(([op, sum]): SeriesRow => {
        const before = this.#before.get(op);
        const count = sum.count - (before?.count ?? 0);
        const buckets = difference(sum.buckets, before?.buckets);
        return {
          seconds,
          operation: operationName(op),
          count,
          ratePerSecond: count / lasted,
          errors: errorsOf(sum) - (before === undefined ? 0 : errorsOf(before)),
          p50Ns: percentile(buckets, 0.5),
          p99Ns: percentile(buckets, 0.99),
        };
      });
    this.#before = now;
    this.#seconds = seconds;
    this.#onSecond(rows, this.#state(seconds));
  }

  #state(seconds: number): StateRow {
    const { rss, heapUsed } = process.memoryUsage();
    const locks = Object.values(lockStatistics(this.#shards));
    const lockWaitNs = locks.reduce((sum, { waitNs }) => sum + waitNs.mean * waitNs.samples, 0);
    return { seconds, rssBytes: rss, heapBytes: heapUsed, lockWaitNs, ...pageStatistics(this.#shards) };
  }
}

function difference(now: Buckets, before: Buckets | undefined): Buckets {
  return before === undefined ? now : now.map((count, n) => count - before[n]!);
}

function errorsOf({ errors }: Sum): number {
  return [...errors.values()].reduce((sum, count) => sum + count, 0);
}
