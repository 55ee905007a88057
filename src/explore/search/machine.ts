// What the stateful searches ask of a machine whose every step can be chosen: its threads, one step of one thread, its state to keep and to put back.
/** Thread sets are bit masks, up to 24 threads. `S` is a saved state, whatever the machine likes. */
export interface SearchMachine<S> {
  /** Threads that can make a step now. */
  enabled(): number;
  /** Threads that have not finished. Some of them and none enabled: a deadlock. */
  unfinished(): number;
  /** A thread whose next step commutes with all that others may ever do before it, so that nothing else needs to be tried here; -1: none known. */
  localStep(): number;
  /**
   * One step of an enabled thread; the violation it made, if it did. Choices that are no threads (which sleeper a wake-up meets) are answered by
   * `answers` in the order of the questions, those behind its end by 0. With `onward` the thread may go on by itself while its next step is a local
   * one (`localStep`) and nothing was asked: so a question is always that of the last of the steps made.
   */
  step(thread: number, answers?: readonly number[], onward?: boolean): Failure | undefined;
  /** How many steps the last call of `step` made. */
  readonly steps: number;
  /** Whether the thread said in the last call of `step` that it has got on. */
  readonly progressed: boolean;
  /** What the choices within the last step were answered. */
  readonly answers: readonly number[];
  /** Answers that lead the last step another way, so that all ways come in turn; undefined when this was the last one. */
  nextAnswers(): readonly number[] | undefined;
  /** Looks at the state when every thread has finished. */
  atRest(): Failure | undefined;
  /** Notes the present state; what it returns leads `back` there until a state noted before it was gone back to. */
  mark(): number;
  back(mark: number): void;
  /** A state that can be put back at any time. */
  save(): S;
  restore(saved: S): void;
  /** Hash of the whole state, two u32. Equal states have equal hashes. */
  readonly hashLow: number;
  readonly hashHigh: number;
}

export interface Failure {
  /** An oracle's name, 'deadlock', 'livelock', ... */
  kind: string;
  message: string;
}

/** When a search gives up. */
export interface SearchLimits {
  states: number;
  /** Longest execution, in steps. */
  depth: number;
  /** Asked now and then: true stops the search (time is up, Ctrl-C). */
  stop(): boolean;
}

/** What ends a search early, or makes it uncertain: 'frontier' the states that wait did not fit into memory, 'bits' states were remembered as bits. */
export type SearchLimit = 'states' | 'depth' | 'stop' | 'bits' | 'frontier';

export interface SearchResult {
  /** Every state within the limits was seen, none taken for another one. Never true when a limit was met. */
  complete: boolean;
  /** What made it incomplete. */
  limits: SearchLimit[];
  states: number;
  transitions: number;
  /** Executions that ran to their end. */
  executions: number;
  deepest: number;
  /** The schedule is a tape: threads, and behind each the answers to the choices within its step. */
  violation?: Failure & { schedule: number[] };
}

/** Counts answers up as an odometer does: the last one that is not at its end goes on, those behind it start again. */
export function answersAfter(answers: readonly number[], counts: readonly number[]): readonly number[] | undefined {
  for (let n = answers.length - 1; n >= 0; n--) {
    if (answers[n]! + 1 < counts[n]!) return [...answers.slice(0, n), answers[n]! + 1];
  }
  return undefined;
}

/** Lowest thread of a set. */
export function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}
