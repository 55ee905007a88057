// Writes down each step of an execution: what a trace file, a table and a divergence message are made from. Used on replays only.
import { type Machine, type Observer, stackHere } from './machine.js';
import type { SourceLine, SourceLines } from './source-lines.js';
import type { View } from './strategy.js';

/** One step: `thread` performed an operation; kind 0 is only the return from a wait. */
export interface RecordedStep {
  thread: number;
  kind: number;
  address: number;
  bytes: number;
  /** Low word of the value to be written. */
  low: number;
  /** Low word of what was there before, and whether the step changed it. */
  before: number;
  wrote: boolean;
  /** Threads that could have gone on instead. */
  others: number;
  /** Of kind 0: who woke the thread; -1 when its time was over, or for no reason. */
  wokenBy: number;
  /** Why the thread of the step before did not go on, of a change of thread, if the recorder was given the means to know. */
  reason?: string | undefined;
  /** Where in the source, if the recorder was given the means to know. */
  place?: SourceLine | undefined;
}

/** Frames between the step's place in the source and the import. */
const INSIDE = /(?:^|\/)src\/kernel\/(?:point|control\/threads)\.ts$/;

export class Recorder implements Observer {
  readonly steps: RecordedStep[] = [];
  /** Changes of thread while the one before could have gone on. */
  preemptions = 0;
  switches = 0;
  readonly #view: Machine;
  readonly #places: (SourceLine | undefined)[] = [];
  readonly #reasonOf: ((before: number) => string) | undefined;
  /** Only there when places are wanted: looking at stacks takes time. */
  readonly announced: ((thread: number) => void) | undefined;

  /** With `sources`, each step's place in the source is recorded, too; with `reasonOf`, why the thread before it stopped. */
  constructor(view: Machine, sources?: SourceLines, reasonOf?: (before: number) => string) {
    this.#view = view;
    this.#reasonOf = reasonOf;
    if (sources === undefined) return;
    for (const [thread, stack] of view.firstStacks.entries()) this.#places[thread] = placeOf(sources, stack);
    this.announced = (thread) => void (this.#places[thread] = placeOf(sources, stackHere()));
  }

  performed(thread: number, view: View): void {
    const before = this.steps.at(-1)?.thread;
    let reason: string | undefined;
    if (before !== undefined && before !== thread) {
      reason = this.#reasonOf?.(before);
      this.switches++;
      if (this.#view.isEnabled(before)) this.preemptions++;
    }
    this.steps.push({
      thread,
      kind: view.kind(thread),
      address: view.address(thread),
      bytes: view.bytes(thread),
      low: view.low(thread),
      before: this.#view.memory.words[view.address(thread) >>> 2]! >>> 0,
      wrote: view.writes(thread),
      others: view.enabledCount - 1,
      wokenBy: view.wokenBy(thread),
      ...(reason === undefined ? {} : { reason }),
      ...(this.announced === undefined ? {} : { place: this.#places[thread] }),
    });
  }
}

function placeOf(sources: SourceLines, stack: string): SourceLine | undefined {
  return sources.ofStack(stack).find(({ file }) => !INSIDE.test(file));
}
