// Weighted random walk, a swarm of one parameter: each thread draws a weight for the whole execution and is chosen in proportion. A thread of small weight
// is the one that is always late, which a plain random walk hardly ever makes. After Walker, "Scheduling for concurrency testing" (thesis), who found it
// as good as PCT without its parameters; here weights are spread evenly over their logarithm, so that large ratios are as likely as small ones.
import { Random } from '../random.js';
import type { Strategy, View } from '../strategy.js';

const HEAVIEST = 50;

export class WeightedWalk implements Strategy {
  readonly name = 'weighted';
  readonly exhaustive = false;
  readonly endsFairly = true;
  readonly #random = new Random();
  #weights = new Float64Array(0);

  begin(_index: number, seed: number, view: View): boolean {
    this.#random.reseed(seed);
    if (this.#weights.length < view.threadCount) this.#weights = new Float64Array(view.threadCount);
    for (let thread = 0; thread < view.threadCount; thread++) this.#weights[thread] = HEAVIEST ** this.#random.unit();
    return true;
  }

  pick(view: View): number {
    let sum = 0;
    for (let n = 0; n < view.enabledCount; n++) sum += this.#weights[view.enabled[n]!]!;
    let at = this.#random.unit() * sum;
    for (let n = 0; n < view.enabledCount; n++) {
      at -= this.#weights[view.enabled[n]!]!;
      if (at < 0) return view.enabled[n]!;
    }
    return view.enabled[view.enabledCount - 1]!;
  }

  choose(count: number): number {
    return this.#random.below(count);
  }
}
