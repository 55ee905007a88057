// Probabilistic concurrency testing: threads have random priorities, the highest that can go on runs, and at d - 1 random steps the running thread's priority
// falls below all others. Finds a bug of depth d with probability at least 1 / (n k^(d-1)).
// Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010. It differs in that
// d is drawn anew for each execution up to a bound, that k is the longest execution so far, and that only steps with a choice count: a change where
// nobody else can go on would be wasted. A thread that spins and is passed over (cpuRelax) is not enabled, so priorities need no yield rule.
import { Random } from '../random.js';
import type { Strategy, View } from '../strategy.js';

const FIRST_ESTIMATE = 64;

export class Pct implements Strategy {
  readonly name = 'pct';
  readonly exhaustive = false;
  readonly endsFairly = true;
  readonly #random = new Random();
  readonly #maxDepth: number;
  readonly #priority: number[] = [];
  readonly #changes: number[] = [];
  #decisions = 0;
  /** Decisions of the longest execution so far. */
  #longest = 0;
  #lowest = 0;

  /** Depths 1 to `maxDepth` are drawn, each as likely as the others. */
  constructor(maxDepth = 4) {
    this.#maxDepth = maxDepth;
  }

  begin(_index: number, seed: number, view: View): boolean {
    const random = this.#random;
    random.reseed(seed);
    for (let thread = 0; thread < view.threadCount; thread++) this.#priority[thread] = thread;
    for (let last = view.threadCount - 1; last > 0; last--) {
      const other = random.below(last + 1);
      const kept = this.#priority[last]!;
      this.#priority[last] = this.#priority[other]!;
      this.#priority[other] = kept;
    }
    this.#changes.length = 0;
    const length = this.#longest === 0 ? FIRST_ESTIMATE : this.#longest;
    for (let depth = random.below(this.#maxDepth); depth > 0; depth--) this.#changes.push(random.below(length));
    this.#decisions = 0;
    this.#lowest = 0;
    return true;
  }

  pick(view: View): number {
    let thread = this.#highest(view);
    if (view.enabledCount > 1) {
      if (this.#changes.includes(this.#decisions++)) {
        this.#priority[thread] = --this.#lowest;
        thread = this.#highest(view);
      }
    }
    return thread;
  }

  #highest({ enabled, enabledCount }: View): number {
    let best = enabled[0]!;
    for (let n = 1; n < enabledCount; n++) {
      if (this.#priority[enabled[n]!]! > this.#priority[best]!) best = enabled[n]!;
    }
    return best;
  }

  choose(count: number): number {
    return this.#random.below(count);
  }

  end(): void {
    this.#longest = Math.max(this.#longest, this.#decisions);
  }
}
