// Random walk: every step goes to one of the threads that can go on, each as likely as the others. The base line that everything is compared with
// (Thomson, Donaldson, Betts, "Concurrency Testing Using Controlled Schedulers", TOPC 2016). With a switch probability below 1 it stays on the running
// thread otherwise.
import { Random } from '../random.js';
import type { Strategy, View } from '../strategy.js';

export class RandomWalk implements Strategy {
  readonly name = 'random';
  readonly exhaustive = false;
  readonly endsFairly = true;
  readonly #random = new Random();
  readonly #switches: number;
  /** Steps until the next thread is drawn: geometrically distributed, so that a step without a draw costs a subtraction. */
  #left = 0;

  /** `switches`: how often, from 0 to 1, the next thread is drawn at all while the running one can go on. */
  constructor(switches = 1) {
    this.#switches = switches;
  }

  begin(_index: number, seed: number): boolean {
    this.#random.reseed(seed);
    this.#left = this.#distance();
    return true;
  }

  #distance(): number {
    if (this.#switches >= 1) return 1;
    return 1 + Math.floor(Math.log(1 - this.#random.unit()) / Math.log(1 - this.#switches));
  }

  pick(view: View): number {
    if (--this.#left > 0 && view.current >= 0 && view.isEnabled(view.current)) return view.current;
    if (this.#left <= 0) this.#left = this.#distance();
    return view.enabled[view.enabledCount === 1 ? 0 : this.#random.below(view.enabledCount)]!;
  }

  choose(count: number): number {
    return this.#random.below(count);
  }
}
