// Writes down each step of an execution: what a trace file, a table and a divergence message are made from. Used on replays only.
import type { Observer } from './machine.js';
import type { View } from './strategy.js';

/** One step: `thread` performed an operation; kind 0 is only the return from a wait. */
export interface RecordedStep {
  thread: number;
  kind: number;
  address: number;
  bytes: number;
  /** Low word of the value to be written. */
  low: number;
  /** Threads that could have gone on instead. */
  others: number;
}

export class Recorder implements Observer {
  readonly steps: RecordedStep[] = [];
  /** Changes of thread while the one before could have gone on. */
  preemptions = 0;
  switches = 0;
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
  }

  performed(thread: number, view: View): void {
    const before = this.steps.at(-1)?.thread;
    if (before !== undefined && before !== thread) {
      this.switches++;
      if (this.#view.isEnabled(before)) this.preemptions++;
    }
    this.steps.push({
      thread,
      kind: view.kind(thread),
      address: view.address(thread),
      bytes: view.bytes(thread),
      low: view.low(thread),
      others: view.enabledCount - 1,
    });
  }
}
