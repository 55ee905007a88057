// Threads by turns: the plainest fair schedule. Each runs for so many steps, or until it cannot go on, then the next one that can.
import type { View } from './strategy.js';

export class RoundRobin {
  #turnEnds = 0;

  begin(): void {
    this.#turnEnds = 0;
  }

  /** The thread that makes the next step; a turn that begins now has `length` steps. */
  pick(view: View, length: number): number {
    const { current, step, threadCount } = view;
    if (step < this.#turnEnds && view.isEnabled(current)) return current;
    this.#turnEnds = step + length;
    let next = current;
    do next = (next + 1) % threadCount;
    while (!view.isEnabled(next));
    return next;
  }
}
