// Replays an execution from its tape: the answers that a strategy gave, in the order of the questions. With the steps that the tape is known to make it
// notices at once when the program is another one than when the tape was written.
import { OPERATIONS } from '../operation-names.js';
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
    super(`step ${step + 1}: ${message}`);
    this.name = 'Divergence';
    this.step = step;
  }
}

/** An operation of a thread in words. */
type Say = (thread: number, kind: number, address: number) => string;

const inNumbers: Say = (thread, kind, address) =>
  `thread ${thread}: ${OPERATIONS[kind] ?? 'goes on'}${kind === 0 ? '' : ` 0x${address.toString(16)}`}`;

export class Replay implements Strategy {
  readonly name = 'replay';
  readonly exhaustive = false;
  readonly #tape: readonly number[];
  readonly #expected: readonly ExpectedStep[] | undefined;
  readonly #say: Say;
  readonly keepAt: number | undefined;
  #at = 0;

  constructor(tape: readonly number[], expected?: readonly ExpectedStep[], keepAt?: number, say = inNumbers) {
    this.#tape = tape;
    this.#say = say;
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
    const expected = this.#expected?.[view.step];
    if (!view.isEnabled(thread)) {
      const what = this.#say(thread, expected?.kind ?? view.kind(thread), expected?.address ?? view.address(thread));
      throw new Divergence(view.step, `expected ${what}; but this thread cannot go on`);
    }
    if (expected !== undefined) this.#compare(expected, thread, view);
    return thread;
  }

  #compare(expected: ExpectedStep, thread: number, view: View): void {
    const kind = view.kind(thread);
    if (expected.kind === kind && (kind === 0 || expected.address === view.address(thread))) return;
    const [wanted, there] = [
      this.#say(thread, expected.kind, expected.address),
      this.#say(thread, kind, view.address(thread)),
    ];
    throw new Divergence(view.step, `expected ${wanted}; there is ${there}`);
  }

  choose(count: number, kind: ChoiceKind, view: View): number {
    const choice = this.#tape[this.#at++];
    if (choice === undefined || choice >= count)
      throw new Divergence(view.step, `a choice (${kind}) among ${count} that the tape does not have`);
    return choice;
  }
}
