// What people are shown of a failure: the smallest execution found that fails in the same way, each step with its place in the source, and the orders of
// steps without which it would pass.
import type { Constraint } from './explain.js';
import { type Failure, recordFailure } from './explore.js';
import { minimise, reasons } from './minimal.js';
import { Budget } from './minimise.js';
import { shortenLasso } from './shorten-lasso.js';
import type { Target } from './target.js';

export interface Counterexample {
  /** As small as it got. */
  failure: Failure;
  /** Pairs of its steps (indices) whose order the failure needs. */
  constraints: readonly Constraint[];
  /** Of the execution as it was found. */
  found: Pick<Failure, 'preemptions' | 'switches'> & { steps: number };
}

export interface CounterexampleLimits {
  tries: number;
  milliseconds: number;
  nowMs: () => number;
}

/** Pairs of steps that are turned round to learn whether the failure needs their order. */
const MOST_PAIRS = 200;

export function counterexampleOf(target: Target, failure: Failure, limits: CounterexampleLimits): Counterexample {
  const { preemptions, switches, steps } = failure;
  const found = { preemptions, switches, steps: steps.length };
  if (failure.repeatsFrom !== undefined) {
    const { tape, repeatsFrom } = shortenLasso(target, failure);
    const short = recordFailure(target, tape, { ...failure, repeatsFrom }, target.sources());
    return { failure: short ?? failure, constraints: [], found };
  }
  const budget = new Budget(limits.tries, limits.milliseconds, limits.nowMs);
  const { tape } = minimise(target, failure, failure.tape, budget);
  const small = recordFailure(target, tape, failure, target.sources());
  // A tape that no longer fails would be a mistake of the minimiser's: the execution as found is still true.
  if (small === undefined) return { failure, constraints: [], found };
  const constraints = reasons(target, small, tape, MOST_PAIRS).filter(({ root }) => root);
  return { failure: small, constraints, found };
}
