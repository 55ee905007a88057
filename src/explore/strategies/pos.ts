// Partial order sampling: every pending operation has a random priority, the highest goes next, and pending operations that race with it get new ones. So
// both orders of each race are about equally likely, however many steps lie between.
// Yuan, Yang, Gu, "Partial Order Aware Concurrency Sampling", CAV 2018.
import { mayConflict } from '../conflict.js';
import { Random } from '../random.js';
import type { Strategy, View } from '../strategy.js';

export class Pos implements Strategy {
  readonly name = 'pos';
  readonly exhaustive = false;
  readonly endsFairly = true;
  readonly #random = new Random();
  readonly #priority: number[] = [];

  begin(_index: number, seed: number, view: View): boolean {
    this.#random.reseed(seed);
    for (let thread = 0; thread < view.threadCount; thread++) this.#priority[thread] = this.#random.next();
    return true;
  }

  pick({ enabled, enabledCount }: View): number {
    let best = enabled[0]!;
    for (let n = 1; n < enabledCount; n++) {
      if (this.#priority[enabled[n]!]! > this.#priority[best]!) best = enabled[n]!;
    }
    return best;
  }

  choose(count: number): number {
    return this.#random.below(count);
  }

  performed(thread: number, view: View): void {
    this.#priority[thread] = this.#random.next();
    const { enabled, enabledCount } = view;
    for (let n = 0; n < enabledCount; n++) {
      const other = enabled[n]!;
      if (other !== thread && mayConflict(view, thread, other)) this.#priority[other] = this.#random.next();
    }
  }
}
