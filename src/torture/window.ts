// The time window of a run: actors start together, run for a time or until they are stopped, and their progress is looked at from outside.
import { nowNs } from '../host/clock.js';
import type { Host } from '../host/host.js';
import type { ActorReply } from '../host/pool.js';
import type { LockStatistics, PageStatistics } from '../host/statistics.js';
import { schedule, type ActorProgram } from './actors.js';
import { collectOperations, type OperationResult } from './results.js';
import type { Series } from './series.js';
import { threadsFor } from './workers.js';

const START_DELAY_NS = 5e6; // the actors look for the starting time once a millisecond
const PROGRESS_MS = 250;
const SERIES_MS = 1000;
const MOST_TIMER_MS = 2 ** 31 - 1;

/** What the caller sees while the run goes on, a few times a second. */
export interface TortureProgress {
  /** Recorded time so far; 0 while the threads come up, and in the warm-up. */
  elapsedMs: number;
  totalMs: number;
  operations: Record<string, OperationResult>;
  pages: PageStatistics;
  /** By class; empty when the build keeps no statistics. */
  locks: Record<string, LockStatistics>;
  violations: number;
  /** What the first of them says. */
  violation?: string;
}

export interface Window {
  warmupNs: number;
  durationNs: number;
  /** Threads for the programs; one each without it. */
  threads?: number | undefined;
  /** Stops the run when it is aborted. */
  signal?: AbortSignal | undefined;
  /** Gets the time series, a row for each operation and second. */
  series?: Series | undefined;
  onProgress?: ((progress: TortureProgress) => void) | undefined;
}

export interface WindowEnd {
  /** Recorded time. */
  durationMs: number;
  died: boolean;
  /** One for each thread. */
  replies: ActorReply[];
}

/** Lets actors run. Resolves with the recorded time, and whether a worker died. */
export async function runWindow(
  host: Host,
  programs: readonly ActorProgram[],
  { warmupNs, durationNs, threads, signal, series, onProgress }: Window,
): Promise<WindowEnd> {
  if (programs.length === 0) return { durationMs: 1, died: false, replies: [] };
  // Starting a pool takes up to a second: the clock starts when every actor is there.
  let startNs = Infinity;
  const seconds = (): number => Math.min(nowNs() - startNs - warmupNs, durationNs) / 1e9;
  let clock: NodeJS.Timeout | undefined;
  const sampleAt = (second: number): void => {
    // Of a warm-up that is longer than any timer several waits are made.
    const waitMs = Math.min(second * SERIES_MS - seconds() * 1000, MOST_TIMER_MS);
    clock = setTimeout(() => {
      series?.sample(seconds());
      sampleAt(Math.floor(seconds()) + 1);
    }, waitMs);
  };
  const start = (): void => {
    startNs = nowNs() + START_DELAY_NS;
    schedule(host.shards, programs, { startNs, warmupNs, durationNs });
    if (series !== undefined) sampleAt(1);
  };
  const recordedMs = (): number => Math.max(1, Math.min(nowNs() - startNs - warmupNs, durationNs) / 1e6);
  const stop = (): void => host.stop();
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();
  const report = (): void => {
    const { pages, locks } = host.stats();
    const violations = host.violations();
    onProgress?.({
      elapsedMs: nowNs() < startNs + warmupNs ? 0 : recordedMs(),
      totalMs: durationNs / 1e6,
      operations: collectOperations(host.shards, programs, recordedMs()),
      pages,
      locks,
      violations: violations.length,
      ...(violations[0] === undefined ? {} : { violation: violations[0].message }),
    });
  };
  const ticker = onProgress === undefined ? undefined : setInterval(report, PROGRESS_MS);
  const { died, replies } = await host.runActors(threadsFor(host.shards, programs, threads), start);
  clearInterval(ticker);
  clearTimeout(clock);
  series?.sample(seconds());
  signal?.removeEventListener('abort', stop);
  return { durationMs: recordedMs(), died: died.length > 0, replies };
}
