// The stack of decisions of a depth-first search without saved states: each execution repeats all but the last decision that has an alternative left.
// Threads and other choices (who is woken) are decisions alike, so a prefix of the stack is a checkpoint.

interface Decision {
  /** Alternatives still to try, in order; the first is the one in use. */
  options: number[];
}

export class DecisionStack {
  readonly #stack: Decision[] = [];
  #depth = 0;
  #started = false;

  /** Prepares the next execution; false when every alternative has been tried. */
  begin(): boolean {
    this.#depth = 0;
    if (!this.#started) {
      this.#started = true;
      return true;
    }
    for (let top = this.#stack.at(-1); top !== undefined; top = this.#stack.at(-1)) {
      top.options.shift();
      if (top.options.length > 0) return true;
      this.#stack.pop();
    }
    return false;
  }

  /** Decides among `options` (not empty): the same as last time while the prefix is repeated, else the first. */
  decide(options: readonly number[]): number {
    const known = this.#stack[this.#depth];
    if (known === undefined) this.#stack.push({ options: [...options] });
    return this.#stack[this.#depth++]!.options[0]!;
  }

  /** Forgets everything: the next execution is a first one. */
  clear(): void {
    this.#stack.length = 0;
    this.#started = false;
  }
}

/** Numbers below `count`, from 0 on. */
export function alternatives(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
