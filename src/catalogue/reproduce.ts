// Shows a bug of the catalogue: its scenario with the mistake until it fails, then the same scenario without it, exhaustively where that ends in time.
import { counterexampleOf, type Counterexample } from '../explore/counterexample.js';
import { Exploration, type ExploreResult } from '../explore/explore.js';
import type { Scenario } from '../explore/scenario.js';
import { scenarioTarget } from '../explore/scenario-target.js';
import { StateExploration } from '../explore/search/explore-states.js';
import { strategyNamed } from '../explore/strategies/named.js';
import type { Target } from '../explore/target.js';
import { type Bug, scenarioOf } from './bug.js';

export interface ReproduceOptions {
  /** The most executions of each half. */
  executions: number;
  /** The most states of the search that proves the fix. */
  states: number;
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
const STATES_SLICE = 2000;
const PROOF_SHARE = 0.8;
/** Memory for the states that the search has visited: more than `states` need. */
const VISITED_BYTES = 2 ** 29;
/** Longest execution, in steps. */
export const STEP_LIMIT = 20_000;

/** `failed` gets the first half as soon as it is over. */
export function reproduce(bug: Bug, options: ReproduceOptions, failed?: (buggy: Half) => void): Reproduction {
  const buggy = sampled(scenarioOf(bug, true), options, options.nowMs());
  failed?.(buggy);
  const fixed = proved(scenarioOf(bug, false), options);
  const found = buggy.result.violation?.kind;
  const confirmed = found !== undefined && bug.verdicts.includes(found) && fixed.result.verdict === 'no-violation';
  return { bug, buggy, fixed, confirmed };
}

/** Every state, in most of the time; samples in the rest of it where that is too little, and where data races count, which no state shows. */
function proved(scenario: Scenario, options: ReproduceOptions): Half {
  const startMs = options.nowMs();
  if (scenario.races === true) return sampled(scenario, options, startMs);
  const late = (): boolean => options.stop() || options.nowMs() - startMs > options.milliseconds * PROOF_SHARE;
  const target = scenarioTarget(scenario, { stepLimit: STEP_LIMIT, frozenClock: true });
  const search = new StateExploration(target, {
    states: options.states,
    depth: STEP_LIMIT,
    bytes: VISITED_BYTES,
    stop: late,
  });
  while (!search.run(STATES_SLICE) && !late());
  const result = search.finish();
  if (!result.complete && result.verdict !== 'violation') return sampled(scenario, options, startMs);
  return half(target, result, options, startMs);
}

/** Executions drawn by the strategy until one fails, or the number or the time is used up. */
function sampled(scenario: Scenario, options: ReproduceOptions, startMs: number): Half {
  const target = scenarioTarget(scenario, { stepLimit: STEP_LIMIT });
  const { executions, seed, strategy } = options;
  const exploration = new Exploration(target, strategyNamed(strategy, target), { executions, seed });
  while (!exploration.run(SLICE) && options.nowMs() - startMs < options.milliseconds && !options.stop());
  return half(target, exploration.result, options, startMs);
}

function half(target: Target, result: ExploreResult, { minimise, nowMs }: ReproduceOptions, startMs: number): Half {
  const tookMs = nowMs() - startMs;
  const { violation } = result;
  const counterexample =
    violation === undefined
      ? undefined
      : counterexampleOf(target, violation, { ...minimise, nowMs, keepsScenario: true });
  return { target, result, counterexample, tookMs };
}
