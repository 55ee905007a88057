// Writes down each step of an execution: what a trace file, a table and a divergence message are made from. Used on replays only.
import { LockStacks } from './lock-stacks.js';
import { type Machine, type Observer, stackHere } from './machine.js';
import type { SourceLine, SourceLines } from './source-lines.js';
import type { StateWord } from './state-names.js';
import type { View } from './strategy.js';

/** One step: `thread` performed an operation; kind 0 is only the return from a wait. */
export interface RecordedStep {
  thread: number;
  kind: number;
  address: number;
  bytes: number;
  /** Low word of the value to be written. */
  low: number;
  /** What was there before and what is there behind it, low words and (of 8 bytes) high words; and whether the step is one that changed it. */
  before: number;
  beforeHigh: number;
  after: number;
  afterHigh: number;
  wrote: boolean;
  /** Threads that could have gone on instead. */
  others: number;
  /** Of kind 0: who woke the thread; -1 when its time was over, or for no reason. */
  wokenBy: number;
  /** Why the thread of the step before did not go on, of a change of thread, if the recorder was given the means to know. */
  reason?: string | undefined;
  /** Where in the source, and on what, as it was called at that moment, if the recorder was given the means to know. */
  place?: SourceLine | undefined;
  word?: StateWord;
}

/** What is looked up of each step, beside what the scheduler itself knows; it takes time. */
export interface StepDetails {
  sources: SourceLines;
  /** Why a thread does not go on. */
  reasonOf: (before: number) => string;
  wordOf: (address: number) => StateWord;
}

export class Recorder implements Observer {
  readonly steps: RecordedStep[] = [];
  /** Changes of thread while the one before could have gone on. */
  preemptions = 0;
  switches = 0;
  readonly #view: Machine;
  /** By thread: where it stands, if that is looked up. */
  readonly places: (SourceLine | undefined)[] = [];
  readonly #details: StepDetails | undefined;
  /** Only there when places are wanted: looking at stacks takes time. */
  readonly announced: ((thread: number) => void) | undefined;
  /** Likewise. */
  readonly locks: LockStacks | undefined;

  constructor(view: Machine, details?: StepDetails) {
    this.#view = view;
    this.#details = details;
    if (details === undefined) return;
    const { sources } = details;
    for (const [thread, stack] of view.firstStacks.entries()) this.places[thread] = sources.ofStep(stack);
    const locks = new LockStacks(view);
    this.locks = locks;
    this.announced = (thread) => {
      const last = this.places[thread];
      this.places[thread] = sources.ofStep(stackHere());
      locks.note(thread, this.steps.length - 1, this.places[thread], last);
    };
  }

  /** A thread may have noted a lock before its first point, which nobody announces. */
  begin(): void {
    for (const [thread, place] of this.places.entries()) this.locks?.note(thread, -1, place, undefined);
  }

  performed(thread: number, view: View): void {
    this.settle();
    const before = this.steps.at(-1)?.thread;
    let reason: string | undefined;
    if (before !== undefined && before !== thread) {
      reason = this.#details?.reasonOf(before);
      this.switches++;
      if (this.#view.isEnabled(before)) this.preemptions++;
    }
    const { words } = this.#view.memory;
    const at = view.address(thread) >>> 2;
    const [now, high] = [words[at]! >>> 0, words[at + 1]! >>> 0];
    this.steps.push({
      thread,
      kind: view.kind(thread),
      address: view.address(thread),
      bytes: view.bytes(thread),
      low: view.low(thread),
      before: now,
      beforeHigh: high,
      after: now,
      afterHigh: high,
      wrote: view.writes(thread),
      others: view.enabledCount - 1,
      wokenBy: view.wokenBy(thread),
      ...(reason === undefined ? {} : { reason }),
      ...(this.#details && { place: this.places[thread], word: this.#details.wordOf(view.address(thread)) }),
    });
    this.locks?.took(thread, this.steps.length - 1);
  }

  /** Notes what the last step has left. @context before anything else is done, or when the execution has ended. */
  settle(): void {
    const step = this.steps.at(-1);
    if (step === undefined || step.kind === 0) return;
    const { words } = this.#view.memory;
    step.after = words[step.address >>> 2]! >>> 0;
    step.afterHigh = words[(step.address >>> 2) + 1]! >>> 0;
  }
}
