// Threads by turns: the plainest fair schedule. Each runs for so many steps, or until it cannot go on, then the next one that can.
import type { View } from './strategy.js';

export class RoundRobin {
  #turnEnds = 0;
  #round = 0;

  begin(): void {
    this.#turnEnds = 0;
    this.#round = 0;
  }

  /** The thread that makes the next step. The turns of a round have `lengths[round]` steps, and after the last of them the first comes again. */
  pick(view: View, lengths: readonly number[]): number {
    const { current, step, threadCount } = view;
    if (step < this.#turnEnds && view.isEnabled(current)) return current;
    let next = current;
    do next = (next + 1) % threadCount;
    while (!view.isEnabled(next));
    if (next <= current) this.#round++;
    this.#turnEnds = step + lengths[this.#round % lengths.length]!;
    return next;
  }
}
