// Sampling on several threads. The executions are cut into batches of consecutive numbers, each with a strategy of its own, so that batch n makes the same
// executions whoever runs it; the result is made of the batches in order, up to the first that fails. So it does not depend on the number of workers.
import { Piscina } from 'piscina';
import type { Protocol } from '../host/protocols.js';
import { type ExploreResult, isAnswer } from './explore.js';
import type { TargetOptions } from './target.js';

/** What a worker explores; it makes the target itself. */
export interface ExploreJob {
  /** URL of the module whose `loadTarget(what, target, overrides)` makes it. */
  loader: string;
  what: string;
  target: TargetOptions;
  overrides: { variants?: readonly string[]; protocol?: Protocol };
  strategy: string;
  seed: number;
}

/** A batch: executions [first, first + executions). */
export interface BatchTask extends ExploreJob {
  first: number;
  executions: number;
}

export interface BatchReply {
  result: ExploreResult;
  /** Hashes of the different traces. */
  traces: Int32Array;
}

export interface PoolLimits {
  workers: number;
  executions: number;
  /** Number of the first one: a multiple of a batch. */
  first?: number;
  /** Asked before each batch is handed out. */
  over: () => boolean;
  /** Called after each batch. */
  progress: (executions: number, distinctTraces: number) => void;
}

const BATCH = 500;

/** Samples on `workers` threads. A stop takes effect when the batches under way have ended. */
export async function exploreOnPool(
  job: ExploreJob,
  { workers, executions, first = 0, over, progress }: PoolLimits,
): Promise<ExploreResult> {
  const piscina = new Piscina({
    filename: new URL('../../workers/explorer.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
  });
  const replies: BatchReply[] = [];
  const traces = new Set<number>();
  let [next, firstFailing, done] = [0, Infinity, 0];
  const lane = async (): Promise<void> => {
    while (!over() && next * BATCH < executions && next < firstFailing) {
      const batch = next++;
      const task = { ...job, first: first + batch * BATCH, executions: Math.min(BATCH, executions - batch * BATCH) };
      const reply = (await piscina.run(task)) as BatchReply;
      replies[batch] = reply;
      if (endsExploration(reply.result)) firstFailing = Math.min(firstFailing, batch);
      for (const trace of reply.traces) traces.add(trace);
      progress((done += reply.result.executions), traces.size);
    }
  };
  try {
    await Promise.all(Array.from({ length: workers }, lane));
  } finally {
    await piscina.destroy();
  }
  return inOrder(job, replies.slice(0, Math.min(firstFailing + 1, replies.length)));
}

function endsExploration({ violation, nondeterminism }: ExploreResult): boolean {
  return violation !== undefined || nondeterminism !== undefined;
}

/** One result of batches that follow one another; the last may have failed. */
export function inOrder(
  { strategy, seed }: Pick<ExploreJob, 'strategy' | 'seed'>,
  replies: readonly BatchReply[],
): ExploreResult {
  const sum = (of: (result: ExploreResult) => number): number =>
    replies.reduce((total, { result }) => total + of(result), 0);
  const traces = new Set(replies.flatMap((reply) => [...reply.traces]));
  const violation = replies.at(-1)?.result.violation;
  const executions = sum((result) => result.executions);
  const stepLimitHits = sum((result) => result.stepLimitHits);
  const nondeterminism = replies.at(-1)?.result.nondeterminism;
  const steps = sum((result) => result.steps);
  const seen = steps > 0 || replies.some(({ result }) => result.verdict === 'no-violation');
  const passed = isAnswer(seen, stepLimitHits, nondeterminism) ? 'no-violation' : 'inconclusive';
  return {
    strategy,
    seed,
    verdict: violation === undefined ? passed : 'violation',
    complete: false,
    exhausted: false,
    executions,
    steps,
    longest: Math.max(0, ...replies.map(({ result }) => result.longest)),
    stepLimitHits,
    distinctTraces: traces.size,
    ...(violation === undefined ? {} : { violation }),
    ...(nondeterminism === undefined ? {} : { nondeterminism }),
  };
}
