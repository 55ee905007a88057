// A schedule that follows an order of operations rather than of steps: a thread that now takes a way that is shorter or longer (a lock that was free before, a
// compare-and-exchange that fails) is let on until it stands where the order has it. What a failure needs is asked of it: one pair the other way round, all else
// as it was as far as that can be.
import { defaultChoice } from './deviations.js';
import type { View } from './strategy.js';

/** An operation that a thread is to make. */
export interface Planned {
  thread: number;
  kind: number;
  address: number;
}

/** A thread that stands at an operation which is none of its next ones makes so many on its own before the order is followed without it. */
const MOST_EXTRA = 64;
/** So many of a thread's operations may fall away at once. */
const MOST_SKIPPED = 64;

export class GuidedOrder {
  /** Places of the order whose operations have come, in the order in which they came. */
  readonly come: number[] = [];
  readonly #order: readonly Planned[];
  /** Places in the order of each thread's operations, and how many of them are behind it. */
  readonly #places: number[][] = [];
  readonly #done: number[] = [];
  readonly #fresh: number;
  #at = 0;
  #extra = 0;

  /** `fresh`: addresses from here on are taken for that one. */
  constructor(order: readonly Planned[], fresh = Infinity) {
    this.#order = order;
    this.#fresh = fresh;
    for (const [n, { thread }] of order.entries()) (this.#places[thread] ??= []).push(n);
    for (const [thread] of this.#places.entries()) this.#done[thread] = 0;
  }

  /** The thread that makes the next step. `enabled`: a bit mask, not 0. */
  pick(view: View, enabled: number): number {
    for (; this.#at < this.#order.length; this.#next()) {
      const { thread } = this.#order[this.#at]!;
      const isDone = this.#places[thread]![this.#done[thread]!] !== this.#at;
      if (isDone || (enabled & (1 << thread)) === 0) continue;
      const skipped = this.#skippedBy(view, thread);
      if (skipped < 0) {
        if (this.#extra++ >= MOST_EXTRA) continue;
        return thread;
      }
      this.#done[thread]! += skipped;
      if (skipped > 0) continue;
      this.come.push(this.#at);
      this.#next();
      return thread;
    }
    return defaultChoice(enabled, view.current);
  }

  #next(): void {
    const { thread } = this.#order[this.#at]!;
    const places = this.#places[thread]!;
    while (this.#done[thread]! < places.length && places[this.#done[thread]!]! <= this.#at) this.#done[thread]!++;
    this.#at++;
    this.#extra = 0;
  }

  /** How many operations of its own a thread has left out that stands where it does; -1: it stands at none of its next ones. */
  #skippedBy(view: View, thread: number): number {
    const kind = view.kind(thread);
    const address = Math.min(view.address(thread), this.#fresh);
    const places = this.#places[thread]!;
    for (let skipped = 0; skipped <= MOST_SKIPPED; skipped++) {
      const place = places[this.#done[thread]! + skipped];
      if (place === undefined) return -1;
      const planned = this.#order[place]!;
      if (planned.kind === kind && (kind === 0 || planned.address === address)) return skipped;
    }
    return -1;
  }
}
