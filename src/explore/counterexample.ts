// What people are shown of a failure: the smallest execution found that fails in the same way (fewest threads and operations, then preemptions, then switches),
// each step with its place in the source, and the orders of steps without which it would pass.
import { exchangingSteps } from './exchanges.js';
import type { Constraint } from './explain.js';
import { type Failure, recordFailure } from './explore.js';
import { operationCount, smallerScenario } from './fewer.js';
import { minimise, reasons } from './minimal.js';
import { Budget } from './minimise.js';
import { shortenLasso } from './shorten-lasso.js';
import type { Scenario } from './scenario.js';
import type { Target } from './target.js';

export interface Counterexample {
  /** What fails: a smaller scenario than the one that was explored, where there is one. */
  target: Target;
  /** That scenario. */
  scenario?: Scenario;
  /** As small as it got. */
  failure: Failure;
  /** Pairs of its steps (indices) whose order the failure needs. */
  constraints: readonly Constraint[];
  /** Of the execution as it was found. */
  found: Pick<Failure, 'preemptions' | 'switches'> & { steps: number; threads: number; operations?: number };
}

export interface CounterexampleLimits {
  tries: number;
  milliseconds: number;
  nowMs: () => number;
  /** Whether threads and operations of a scenario may be left out (default: they may). */
  keepsScenario?: boolean;
}

/** Pairs of steps that are turned round to learn whether the failure needs their order. */
const MOST_PAIRS = 400;
/** Time for fewer operations, and for the orders, measured by that for the schedule. */
const SCENARIO_SHARE = 2;
const ORDERS_SHARE = 1;

export function counterexampleOf(target: Target, failure: Failure, limits: CounterexampleLimits): Counterexample {
  const { preemptions, switches, steps } = failure;
  const scenario = target.remake?.scenario;
  const operations = scenario === undefined ? {} : { operations: operationCount(scenario) };
  const found = { preemptions, switches, steps: steps.length, threads: target.threadNames.length, ...operations };
  const shorter = new Budget(Infinity, limits.milliseconds * SCENARIO_SHARE, limits.nowMs);
  const smaller = limits.keepsScenario === true ? undefined : smallerScenario(target, failure, () => shorter.take());
  return {
    ...smallSchedule(smaller?.target ?? target, smaller?.failure ?? failure, limits),
    ...(smaller?.scenario && { scenario: smaller.scenario }),
    found,
  };
}

/** The failure with as few changes of threads as can be, and the orders that it needs. */
function smallSchedule(
  target: Target,
  failure: Failure,
  limits: CounterexampleLimits,
): Pick<Counterexample, 'target' | 'failure' | 'constraints'> {
  if (failure.repeatsFrom !== undefined) {
    const { tape, repeatsFrom } = shortenLasso(target, failure);
    const short = recordFailure(target, tape, { ...failure, repeatsFrom }, true);
    return { target, failure: short ?? failure, constraints: [] };
  }
  const { tape } = minimise(target, failure, failure.tape, new Budget(limits.tries, limits.milliseconds, limits.nowMs));
  const small = recordFailure(target, tape, failure, true);
  // A tape that no longer fails would be a mistake of the minimiser's: the execution as found is still true.
  if (small === undefined) return { target, failure, constraints: [] };
  const flips = new Budget(MOST_PAIRS, limits.milliseconds * ORDERS_SHARE, limits.nowMs);
  return { target, failure: small, constraints: ordersOf(target, small, flips) };
}

/** The orders of steps that a recorded failure needs, as far as the budget goes. */
export function ordersOf(target: Target, failure: Failure, budget: Budget): Constraint[] {
  if (failure.repeatsFrom !== undefined) return [];
  const pairs = { among: exchangingSteps(failure.steps), goesOn: () => budget.take() };
  return reasons(target, failure, failure.tape, pairs);
}
