// Looks for a scenario that fails as a torture run did: cuts of its window, from small to large, each explored for a share of the executions; then threads and
// operations are taken away as long as it still fails alike.
import { UsageError } from '../../host/errors.js';
import { Exploration } from '../explore.js';
import { withoutNeedless } from '../fewer.js';
import type { Scenario } from '../scenario.js';
import { scenarioTarget } from '../scenario-target.js';
import { strategyNamed } from '../strategies/named.js';
import type { TargetOptions } from '../target.js';
import { CUTS, focusOf, scenarioOfWindow } from './scenario.js';
import type { FailingRun } from './window.js';

export interface ReproduceOptions {
  /** Of all cuts together. */
  executions: number;
  seed: number;
  strategy: string;
  target: TargetOptions;
  over: () => boolean;
}

export interface Reproduced {
  scenario: Scenario;
  /** Oracle of the failure that was found, if any was. */
  oracle?: string;
  /** Executions that were spent on all scenarios. */
  executions: number;
}

/** What came of trying a scenario out: the oracle that was asked for, if it failed with that, or another one. */
interface Tried {
  executions: number;
  oracle?: string;
}

/** Enough to see again what has been seen within the executions of a cut, most of the time. */
const SHRINK_FACTOR = 2;
const SHRINK_LEAST = 300;
const SHRINK_MOST = 600;
const SLICE = 16;

/** The scenario that fails with the run's oracle; without one, what fails otherwise; without that, the largest. Undefined when nothing can be built. */
export function reproduce(run: FailingRun, options: ReproduceOptions): Reproduced | undefined {
  const focus = focusOf(run);
  if (focus === undefined) return undefined;
  const scenarios = CUTS.flatMap((cut) => scenarioOfWindow(run, focus, cut) ?? []).filter((scenario) =>
    bootsUp(scenario),
  );
  const each = Math.max(1, Math.floor(options.executions / Math.max(1, scenarios.length)));
  const wanted = run.violations[0]!.oracle;
  let executions = 0;
  let other: Reproduced | undefined;
  for (const scenario of scenarios) {
    const tried = tryOut(scenario, wanted, options, each);
    executions += tried.executions;
    const { oracle } = tried;
    if (oracle === wanted) return shrink({ scenario, oracle, executions }, tried.executions, options);
    if (oracle !== undefined) other ??= { scenario, oracle, executions };
  }
  if (other !== undefined) return { ...other, executions };
  const largest = scenarios.at(-1);
  return largest === undefined ? undefined : { scenario: largest, executions };
}

/** A mistake may break the set-up already: such a cut is of no use. */
function bootsUp(scenario: Scenario): boolean {
  try {
    scenarioTarget(scenario);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

/** Explores until something fails with the wanted oracle; failures with others are passed by, the most frequent one is named when nothing else comes. */
function tryOut(
  scenario: Scenario,
  only: string,
  { seed, strategy, target, over }: ReproduceOptions,
  most: number,
): Tried {
  const options = { executions: most, seed, only };
  const exploration = new Exploration(scenarioTarget(scenario, target), strategyNamed(strategy), options);
  while (!over() && !exploration.run(SLICE));
  const { executions, violation, others = {} } = exploration.result;
  if (violation !== undefined) return { executions, oracle: only };
  const [other] = Object.entries(others).toSorted(([, a], [, b]) => b - a);
  return other === undefined ? { executions } : { executions, oracle: other[0] };
}

/** Takes away what the scenario can do without; of the set-up only touches. */
function shrink(from: Reproduced, foundAfter: number, options: ReproduceOptions): Reproduced {
  const wanted = from.oracle!;
  const limit = Math.min(SHRINK_MOST, options.executions, Math.max(SHRINK_LEAST, foundAfter * SHRINK_FACTOR));
  let { executions } = from;
  const fails = (scenario: Scenario): boolean => {
    if (options.over()) return false;
    const tried = tryOut(scenario, wanted, options, limit);
    executions += tried.executions;
    return tried.oracle === wanted;
  };
  const scenario = withoutNeedless(from.scenario, fails, ({ op }) => op === 'touch');
  return { ...from, scenario, executions };
}
