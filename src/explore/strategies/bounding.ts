// Depth-first search under a growing bound on what makes a schedule unlikely: every schedule of cost 0, then of cost 1, and so on up to a limit. What costs
// is the subclass's: preemptions or delays. Only executions whose cost is exactly the bound count as new; cheaper ones were seen under the bound before.
import type { SchedulePart, ScheduleSearch, StrategyEnd, View } from '../strategy.js';
import { alternatives, type Decision, DecisionStack, weightOf } from './decisions.js';

/** A part of the round of one bound. */
interface BoundedPart extends SchedulePart {
  bound: number;
  decisions: Decision[];
}

function partOf(bound: number, decisions: Decision[]): BoundedPart {
  return {
    weight: weightOf(decisions.map(({ options, count }) => ({ left: options.length, count }))),
    bound,
    decisions,
  };
}

/** What an alternative costs, beside which thread it is. */
export interface Priced {
  thread: number;
  cost: number;
}

export abstract class Bounding implements ScheduleSearch {
  abstract readonly name: string;
  /** All schedules within the limit, not all there are. */
  readonly exhaustive = false;
  readonly #stack = new DecisionStack();
  readonly #limit: number;
  #bound = 0;
  #cost = 0;
  /** Some alternative was too dear in this round: a higher bound would find more. */
  #more = false;
  /** A part of a round: the next one is for others to begin. */
  #isPart = false;

  /** Costs from 0 to `limit`, inclusive. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The bound of the present round: schedules that cost less are all done. */
  get bound(): number {
    return this.#bound;
  }

  /** The threads that can go on with their costs, cheapest first. */
  protected abstract priced(view: View): Priced[];

  begin(): boolean {
    this.#cost = 0;
    if (this.#stack.begin()) return true;
    if (this.#isPart || !this.#hasNext()) return false;
    this.#bound++;
    this.#more = false;
    this.#stack.clear();
    return this.#stack.begin();
  }

  #hasNext(): boolean {
    return this.#more && this.#bound < this.#limit;
  }

  take(part: SchedulePart): void {
    const { bound, decisions } = part as BoundedPart;
    this.#bound = bound;
    this.#isPart = true;
    this.#stack.take(decisions);
  }

  rest(): BoundedPart | undefined {
    const decisions = this.#stack.rest();
    return decisions === undefined ? undefined : partOf(this.#bound, decisions);
  }

  split(): BoundedPart | undefined {
    const decisions = this.#stack.split();
    return decisions === undefined ? undefined : partOf(this.#bound, decisions);
  }

  next(): BoundedPart | undefined {
    return this.#hasNext() ? partOf(this.#bound + 1, []) : undefined;
  }

  pick(view: View): number {
    const priced = this.priced(view);
    const left = this.#bound - this.#cost;
    const affordable = priced.filter(({ cost }) => cost <= left);
    if (affordable.length < priced.length) this.#more = true;
    const thread =
      affordable.length === 1 ? affordable[0]!.thread : this.#stack.decide(affordable.map((option) => option.thread));
    this.#cost += priced.find((option) => option.thread === thread)!.cost;
    return thread;
  }

  choose(count: number): number {
    return this.#stack.decide(alternatives(count));
  }

  /** Whether the execution that has ended was seen under a lower bound already. */
  seenBefore(end: StrategyEnd): boolean {
    return end.complete && this.#cost < this.#bound;
  }
}
