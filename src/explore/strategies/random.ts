// Random walk: every step goes to one of the threads that can go on, each as likely as the others. The base line that everything is compared with
// (Thomson, Donaldson, Betts, "Concurrency Testing Using Controlled Schedulers", TOPC 2016). With a switch probability below 1 it stays on the running
// thread otherwise.
import { Random } from '../random.js';
import type { Strategy, View } from '../strategy.js';

export class RandomWalk implements Strategy {
  readonly name = 'random';
  readonly exhaustive = false;
  readonly #random = new Random();
  readonly #switches: number;

  /** `switches`: how often, from 0 to 1, the next thread is drawn at all while the running one can go on. */
  constructor(switches = 1) {
    this.#switches = switches;
  }

  begin(_index: number, seed: number): boolean {
    this.#random.reseed(seed);
    return true;
  }

  pick(view: View): number {
    if (this.#switches < 1 && view.current >= 0 && view.isEnabled(view.current)) {
      if (this.#random.unit() >= this.#switches) return view.current;
    }
    return view.enabled[view.enabledCount === 1 ? 0 : this.#random.below(view.enabledCount)]!;
  }

  choose(count: number): number {
    return this.#random.below(count);
  }
}
