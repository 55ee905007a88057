// The stack of decisions of a depth-first search without saved states: each execution repeats all but the last decision that has an alternative left.
// Threads and other choices (who is woken) are decisions alike, so a prefix of the stack is a checkpoint.

export interface Decision {
  /** Alternatives still to try, in order; the first is the one in use. */
  options: number[];
  /** How many there were at first. */
  count: number;
}

export class DecisionStack {
  #stack: Decision[] = [];
  #depth = 0;
  /** The next execution is the one that the stack tells. */
  #ready = true;

  /** Prepares the next execution; false when every alternative has been tried. */
  begin(): boolean {
    this.#depth = 0;
    const isThere = this.#advance();
    this.#ready = false;
    return isThere;
  }

  /** Goes on to the next alternative, if that is not done yet. */
  #advance(): boolean {
    if (this.#ready) return true;
    for (let top = this.#stack.at(-1); top !== undefined; top = this.#stack.at(-1)) {
      top.options.shift();
      if (top.options.length > 0) return (this.#ready = true);
      this.#stack.pop();
    }
    return false;
  }

  /** Decides among `options` (not empty): the same as last time while the prefix is repeated, else the first. */
  decide(options: readonly number[]): number {
    const known = this.#stack[this.#depth];
    if (known === undefined) this.#stack.push({ options: [...options], count: options.length });
    return this.#stack[this.#depth++]!.options[0]!;
  }

  /** Forgets everything: the next execution is a first one. */
  clear(): void {
    this.take([]);
  }

  /** Takes up decisions that were made elsewhere: the next execution is the first of these. */
  take(decisions: readonly Decision[]): void {
    this.#stack = decisions.map(copyOf);
    this.#ready = true;
  }

  /** Here and below: between executions. The decisions of the next execution; undefined when there is none. */
  rest(): Decision[] | undefined {
    return this.#advance() ? this.#stack.map(copyOf) : undefined;
  }

  /** Gives away what is left of the decision nearest to the start that has an alternative. */
  split(): Decision[] | undefined {
    if (!this.#advance()) return undefined;
    const at = this.#stack.findIndex(({ options }) => options.length > 1);
    if (at < 0) return undefined;
    const { options, count } = this.#stack[at]!;
    const before = this.#stack.slice(0, at).map(copyOf);
    return [...before, { options: options.splice(1), count }];
  }
}

function copyOf({ options, count }: Decision): Decision {
  return { options: [...options], count };
}

/** What share of all schedules lies below decisions, if each alternative leads to as many as the others: a guess. After Knuth, 1975. */
export function weightOf(decisions: readonly { left: number; count: number }[]): number {
  let [weight, left] = [1, 0];
  for (const decision of decisions) {
    weight /= decision.count;
    left += weight * (decision.left - 1);
  }
  return left + weight;
}

/** Numbers below `count`, from 0 on. */
export function alternatives(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
