// The result document of an exploration, as scripts read it.
import { environmentFingerprint } from '../host/environment.js';
import type { Counterexample } from '../explore/counterexample.js';
import type { ExploreResult } from '../explore/explore.js';
import { operationCount } from '../explore/fewer.js';
import type { PointSet, Target } from '../explore/target.js';

/** The document of an exploration: what `explore --json` prints, and `repro` for each of its two. `traceFile` is empty when none was written. */
export function exploreDocument(
  target: Target,
  result: ExploreResult,
  small: Counterexample | undefined,
  run: {
    tookMs: number;
    partial: boolean;
    traceFile: string;
    bound: { points: PointSet; stepLimit: number };
    origin?: object;
  },
) {
  return {
    schema: 'rmptorture/explore/1',
    command: 'explore',
    scenario: target.name,
    strategy: result.strategy,
    seed: result.seed,
    verdict: result.verdict,
    complete: result.complete,
    partial: run.partial,
    bound: run.bound,
    ...(run.origin === undefined ? {} : { from: run.origin }),
    executions: result.executions,
    steps: result.steps,
    longestExecution: result.longest,
    stepLimitHits: result.stepLimitHits,
    otherFailures: result.others ?? {},
    ...(result.nondeterminism === undefined ? {} : { nondeterminism: result.nondeterminism }),
    states: result.states ?? 0,
    ...(result.frontier === undefined ? {} : { frontier: result.frontier }),
    ...(result.share === undefined ? {} : { share: result.share }),
    ...(result.loops === undefined ? {} : { loops: result.loops }),
    limits: result.limits ?? [],
    distinctTraces: result.distinctTraces,
    wallMs: run.tookMs,
    executionsPerSecond: result.executions / Math.max(run.tookMs / 1000, 1e-9),
    ...(result.states === undefined ? {} : { statesPerSecond: result.states / Math.max(run.tookMs / 1000, 1e-9) }),
    environment: environmentFingerprint(),
    ...(small === undefined ? {} : { violation: violationOf(small, run.traceFile) }),
  };
}

function violationOf({ target, scenario, failure, constraints, found }: Counterexample, traceFile: string) {
  return {
    oracle: failure.kind,
    message: failure.message,
    thread: failure.thread,
    executionIndex: failure.executionIndex,
    trace: traceFile,
    threads: target.threadNames.length,
    preemptions: failure.preemptions,
    switches: failure.switches,
    steps: failure.steps.length,
    found,
    ...(scenario === undefined ? {} : { operations: operationCount(scenario), scenario }),
    locks: (failure.locks ?? []).map(({ thread, held, waits }) => ({
      thread: target.threadNames[thread],
      held: held.map(({ lock, isRead, step, place }) => ({ lock, read: isRead, step, place })),
      ...(waits === undefined ? {} : { waits: waits.text, at: waits.place }),
    })),
    /** Pairs of steps, from 0, whose order the failure needs. */
    orders: constraints.map(({ earlier, later }) => [earlier, later]),
  };
}
