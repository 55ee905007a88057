// Strategies by the names that the command line knows.
import { UsageError } from '../../host/errors.js';
import { objectsOf } from '../interest.js';
import type { Strategy } from '../strategy.js';
import type { Target } from '../target.js';
import { DelayBounding } from './delay-bounding.js';
import { Dpor } from './dpor.js';
import { Pct } from './pct.js';
import { Portfolio } from './portfolio.js';
import { Pos } from './pos.js';
import { PreemptionBounding } from './preemption-bounding.js';
import { RandomWalk } from './random.js';
import { Surw } from './surw.js';
import { Turns } from './turns.js';
import { WeightedWalk } from './weighted.js';

/** Preemptions or delays up to which a bounded search goes. */
const BOUND = 3;

const MAKERS: Record<string, (target?: Target) => Strategy> = {
  portfolio: () =>
    // Rare switches reach deep into long threads, where an even walk only sees short runs of each.
    new Portfolio([
      new Pos(),
      new RandomWalk(),
      new Pct(),
      new Surw(),
      new WeightedWalk(),
      new RandomWalk(0.05),
      new Turns(),
    ]),
  random: () => new RandomWalk(),
  pct: () => new Pct(),
  pos: () => new Pos(),
  surw: () => new Surw(),
  'surw-objects': (target) => new Surw('surw-objects', target === undefined ? [] : [objectsOf(target)]),
  weighted: () => new WeightedWalk(),
  turns: () => new Turns(),
  preemptions: () => new PreemptionBounding(BOUND),
  delays: () => new DelayBounding(BOUND),
  dpor: () => new Dpor(),
};

/** Every name that `strategyNamed` understands. */
export const STRATEGIES: readonly string[] = Object.keys(MAKERS);

/** A fresh strategy; `target` is for those that look at more than addresses. Throws UsageError for a name there is not. */
export function strategyNamed(name: string, target?: Target): Strategy {
  const make = MAKERS[name];
  if (make !== undefined) return make(target);
  const what = /^(states|shortest)$/.test(name) ? 'goes over states, not executions' : 'unknown strategy';
  throw new UsageError('--strategy', `--strategy ${name}: ${what}; known here are ${STRATEGIES.join(', ')}`);
}
