// Shows a bug of the catalogue: its scenario with the mistake until it fails, then the same scenario without it, exhaustively where that ends in time.
import { counterexampleOf, type Counterexample } from '../explore/counterexample.js';
import { Exploration, type ExploreResult } from '../explore/explore.js';
import { scenarioTarget } from '../explore/scenario-target.js';
import { Dpor } from '../explore/strategies/dpor.js';
import { strategyNamed } from '../explore/strategies/named.js';
import type { Strategy } from '../explore/strategy.js';
import type { Target } from '../explore/target.js';
import { type Bug, scenarioOf } from './bug.js';

export interface ReproduceOptions {
  /** The most executions of each half. */
  executions: number;
  /** The most time for each half. */
  milliseconds: number;
  seed: number;
  /** The strategy that looks for the failure. */
  strategy: string;
  /** How long a failure is made small: tries, milliseconds. */
  minimise: { tries: number; milliseconds: number };
  nowMs: () => number;
  /** Asked now and then: true ends it early. */
  stop: () => boolean;
}

/** One of the two explorations. */
export interface Half {
  target: Target;
  result: ExploreResult;
  counterexample: Counterexample | undefined;
  tookMs: number;
}

export interface Reproduction {
  bug: Bug;
  buggy: Half;
  fixed: Half;
  /** The mistake fails with a verdict of its own, and without it nothing fails. */
  confirmed: boolean;
}

const SLICE = 8;
/** Longest execution, in steps. */
export const STEP_LIMIT = 20_000;

export function reproduce(bug: Bug, options: ReproduceOptions): Reproduction {
  const buggy = explored(
    scenarioTarget(scenarioOf(bug, true), { stepLimit: STEP_LIMIT }),
    [strategyNamed(options.strategy)],
    options,
  );
  const fixed = explored(
    scenarioTarget(scenarioOf(bug, false), { stepLimit: STEP_LIMIT }),
    [new Dpor(), strategyNamed(options.strategy)],
    options,
  );
  const found = buggy.result.violation?.kind;
  const confirmed = found !== undefined && bug.verdicts.includes(found) && fixed.result.verdict === 'no-violation';
  return { bug, buggy, fixed, confirmed };
}

/** Explores by one strategy after another, an equal part of the time for each, until one has an answer: a failure, or that there is none. */
function explored(target: Target, strategies: readonly Strategy[], options: ReproduceOptions): Half {
  const startMs = options.nowMs();
  let result: ExploreResult | undefined;
  for (const [n, strategy] of strategies.entries()) {
    const exploration = new Exploration(target, strategy, { executions: options.executions, seed: options.seed });
    // The first of several has a quarter of the time.
    const endMs = startMs + options.milliseconds * (n === strategies.length - 1 ? 1 : 0.25);
    while (!exploration.run(SLICE) && options.nowMs() < endMs && !options.stop());
    result = exploration.result;
    if (result.complete || result.verdict === 'violation' || options.stop()) break;
  }
  const tookMs = options.nowMs() - startMs;
  const { violation } = result!;
  const limits = { ...options.minimise, nowMs: options.nowMs };
  const counterexample = violation === undefined ? undefined : counterexampleOf(target, violation, limits);
  return { target, result: result!, counterexample, tookMs };
}
