// Replays an execution from its tape: the answers that a strategy gave, in the order of the questions. With the steps that the tape is known to make it
// notices at once when the program is another one than when the tape was written.
import type { ChoiceKind, Strategy, View } from '../strategy.js';

/** What a step is expected to be. */
export interface ExpectedStep {
  thread: number;
  kind: number;
  address: number;
}

/** The execution is not the one that was written down. */
export class Divergence extends Error {
  /** Step, from 0, at which it went another way. */
  readonly step: number;
  constructor(step: number, message: string) {
    super(`step ${step}: ${message}`);
    this.name = 'Divergence';
    this.step = step;
  }
}

export class Replay implements Strategy {
  readonly name = 'replay';
  readonly exhaustive = false;
  readonly #tape: readonly number[];
  readonly #expected: readonly ExpectedStep[] | undefined;
  readonly keepAt: number | undefined;
  #at = 0;

  constructor(tape: readonly number[], expected?: readonly ExpectedStep[], keepAt?: number) {
    this.#tape = tape;
    this.#expected = expected;
    this.keepAt = keepAt;
  }

  begin(): boolean {
    this.#at = 0;
    return true;
  }

  pick(view: View): number {
    const thread = this.#tape[this.#at++];
    if (thread === undefined) throw new Divergence(view.step, 'the tape ends here, the execution does not');
    if (!view.isEnabled(thread)) throw new Divergence(view.step, `thread ${thread} is to go on and cannot`);
    const expected = this.#expected?.[view.step];
    if (expected !== undefined) this.#compare(expected, thread, view);
    return thread;
  }

  #compare(expected: ExpectedStep, thread: number, view: View): void {
    const kind = view.kind(thread);
    if (expected.kind !== kind)
      throw new Divergence(view.step, `thread ${thread} does operation ${kind} instead of ${expected.kind}`);
    if (kind !== 0 && expected.address !== view.address(thread)) {
      const [there, wanted] = [view.address(thread), expected.address].map((address) => `0x${address.toString(16)}`);
      throw new Divergence(view.step, `thread ${thread} touches ${there} instead of ${wanted}`);
    }
  }

  choose(count: number, kind: ChoiceKind, view: View): number {
    const choice = this.#tape[this.#at++];
    if (choice === undefined || choice >= count)
      throw new Divergence(view.step, `a choice (${kind}) among ${count} that the tape does not have`);
    return choice;
  }
}
