// The words that race: those whose plain accesses have to be points for every behaviour to be met, while plain accesses to all others are in order anyway,
// so that their place between the atomics around them cannot matter (data-race freedom; Adve and Hill, "Weak Ordering - A New Definition", ISCA 1990).
// Found by random executions in which every access is a point, under the race detector: a race shows in any order of its two accesses.
import { UsageError } from '../host/errors.js';
import { seedOf } from './random.js';
import { canWatch, RaceWatch } from './race-watch.js';
import { RandomWalk } from './strategies/random.js';
import type { Target } from './target.js';

const EXECUTIONS = 100;
const SWITCHES = [0.002, 0.02, 0.2, 1] as const;

/** Addresses of the words that race in executions of a target whose points are all accesses. */
export function racyWords({ machine }: Target): Set<number> {
  if (!canWatch(machine))
    throw new UsageError('--points', `--points racy: at most 15 threads; this has ${machine.threadCount}`);
  const words = new Set<number>();
  const { watcher } = machine;
  machine.watcher = new RaceWatch(machine, ({ address }) => words.add(address & ~3));
  for (let n = 0; n < EXECUTIONS; n++) {
    const walk = new RandomWalk(SWITCHES[n % SWITCHES.length]);
    walk.begin(n, seedOf(1, n));
    machine.run(walk);
  }
  machine.watcher = watcher;
  return words;
}
