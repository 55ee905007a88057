// The first half of making a failure small: the scenario without the threads and operations that it can do without. Which those are is tried out: a smaller
// scenario is explored for about as long as the failure took to be found.
import { UsageError } from '../host/errors.js';
import { Exploration, type Failure } from './explore.js';
import { isSameFailure } from './minimal.js';
import type { Operation, Scenario } from './scenario.js';
import { scenarioTarget } from './scenario-target.js';
import { strategyNamed } from './strategies/named.js';
import type { Target } from './target.js';

/** Executions that a smaller scenario is given to fail in: so many times those that the failure took, within these bounds. */
const PATIENCE = 3;
const LEAST = 40;
const MOST = 300;
const SLICE = 8;

/**
 * The scenario without what it does not need: whole threads first, then operations from the end of each thread, then those of the set-up that `isSpare` allows.
 * `fails` is asked about each smaller scenario.
 */
export function withoutNeedless(
  scenario: Scenario,
  fails: (smaller: Scenario) => boolean,
  isSpare: (operation: Operation) => boolean = () => true,
): Scenario {
  let best = scenario;
  const keep = (smaller: Scenario): void => {
    if (fails(smaller)) best = smaller;
  };
  for (const thread of Object.keys(scenario.threads).toReversed()) {
    const { [thread]: _, ...threads } = best.threads;
    if (Object.keys(threads).length > 0) keep({ ...best, threads });
  }
  for (const thread of Object.keys(best.threads)) {
    for (let n = best.threads[thread]!.length - 1; n >= 0; n--) {
      const operations = best.threads[thread]!.toSpliced(n, 1);
      if (operations.length > 0) keep({ ...best, threads: { ...best.threads, [thread]: operations } });
    }
  }
  for (let n = (best.setup ?? []).length - 1; n >= 0; n--) {
    const setup = best.setup ?? [];
    if (isSpare(setup[n]!)) keep({ ...best, setup: setup.toSpliced(n, 1) });
  }
  return best;
}

/** Operations of its threads and its set-up. */
export function operationCount({ threads, setup = [] }: Scenario): number {
  return Object.values(threads).reduce((sum, operations) => sum + operations.length, setup.length);
}

/** A smaller scenario's target with its failure. */
export interface Smaller {
  target: Target;
  failure: Failure;
  scenario: Scenario;
}

/**
 * The smallest scenario found that fails as `target` did; undefined when none is smaller. An expectation is about what all of the operations do: such a
 * failure keeps them. `goesOn` is asked now and then: false ends it with what there is.
 */
export function smallerScenario(target: Target, failure: Failure, goesOn: () => boolean): Smaller | undefined {
  const { remake } = target;
  if (remake === undefined || failure.kind === 'expectation') return undefined;
  const { expect: _, ...scenario } = remake.scenario;
  const most = Math.min(MOST, Math.max(LEAST, PATIENCE * (failure.executionIndex + 1)));
  let best: Smaller | undefined;
  withoutNeedless(scenario, (smaller) => {
    const found = goesOn() ? failingTarget(smaller, remake.options, failure, most, goesOn) : undefined;
    if (found !== undefined) best = { ...found, scenario: smaller };
    return found !== undefined;
  });
  return best;
}

function failingTarget(
  scenario: Scenario,
  options: NonNullable<Target['remake']>['options'],
  failure: Failure,
  most: number,
  goesOn: () => boolean,
): { target: Target; failure: Failure } | undefined {
  let target: Target;
  try {
    target = scenarioTarget(scenario, options);
  } catch (error) {
    // Its set-up does not work without what was left out.
    if (error instanceof UsageError) return undefined;
    throw error;
  }
  // One thread alone has one order.
  const executions = target.threadNames.length === 1 ? 1 : most;
  const exploration = new Exploration(target, strategyNamed('portfolio'), {
    executions,
    seed: failure.seed,
    only: failure.kind,
  });
  while (goesOn() && !exploration.run(SLICE));
  const { violation } = exploration.result;
  if (violation === undefined || !isSameFailure(violation, failure)) return undefined;
  return { target, failure: { ...violation, executionIndex: failure.executionIndex, seed: failure.seed } };
}
