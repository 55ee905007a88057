// Several strategies by turns: what one is blind to, another one finds. The execution's number decides whose turn it is, so that the same numbers make the
// same executions on any number of workers. As Shuttle's and Coyote's portfolios do, but within one thread.
import type { ChoiceKind, Strategy, StrategyEnd, View } from '../strategy.js';

export class Portfolio implements Strategy {
  readonly name = 'portfolio';
  readonly exhaustive = false;
  readonly endsFairly = true;
  readonly #members: readonly Strategy[];
  #turn: Strategy;

  constructor(members: readonly Strategy[]) {
    this.#members = members;
    this.#turn = members[0]!;
  }

  begin(index: number, seed: number, view: View): boolean {
    this.#turn = this.#members[index % this.#members.length]!;
    return this.#turn.begin(index, seed, view);
  }

  pick(view: View): number {
    return this.#turn.pick(view);
  }

  choose(count: number, kind: ChoiceKind, view: View): number {
    return this.#turn.choose(count, kind, view);
  }

  performed(thread: number, view: View): void {
    this.#turn.performed?.(thread, view);
  }

  end(end: StrategyEnd): void {
    this.#turn.end?.(end);
  }
}
