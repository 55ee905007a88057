// What a strategy sees and decides. Each has a file in strategies/, which says what paper it is from and what it does otherwise.

/** What the threads stand at. Valid during pick() and performed() only. */
export interface View {
  readonly threadCount: number;
  /** Threads that can go on: the first `enabledCount` entries, in an order that is the same in every run of the same decisions. */
  readonly enabled: Int32Array;
  readonly enabledCount: number;
  /** The thread that ran last; -1 before the first step. */
  readonly current: number;
  isEnabled(thread: number): boolean;
  /** Whether the thread has come to its end. */
  hasEnded(thread: number): boolean;
  /** Steps so far in this execution. */
  readonly step: number;
  /** What a thread is about to do: POINT_*, or 0 when it only goes on after a wait. */
  kind(thread: number): number;
  /** Bytes [address, address + bytes) that it touches. */
  address(thread: number): number;
  bytes(thread: number): number;
  /** Low word of the value to be written; of a futex wait the value expected; of a copy the source. */
  low(thread: number): number;
  /** Whether the operation, done now, changes memory or wakes threads (a compare-and-exchange that would fail does not). */
  writes(thread: number): boolean;
  /** The thread whose wake-up lets this one go on, while its kind is 0; -1: none. */
  wokenBy(thread: number): number;
}

/** Choices that are no threads. */
export type ChoiceKind = 'wake' | 'timeout' | 'spurious';

/** How an execution ended, for strategies that learn. */
export interface StrategyEnd {
  steps: number;
  /** False when pick() gave the execution up. */
  complete: boolean;
  failed: boolean;
}

/** A scheduler: which thread makes the next step. One small class each in src/explore/strategies. */
export interface Strategy {
  readonly name: string;
  /** Whether its executions, when there are no more of them, are all that there are. */
  readonly exhaustive: boolean;
  /** The last quarter of an execution, by the step limit, is scheduled fairly instead: what does not end then is no fault of the schedule. */
  readonly endsFairly?: boolean;
  /** Step after which the state is kept that the execution is expected to come back to: what shows a livelock. */
  readonly keepAt?: number | undefined;
  /** Prepares execution number `index` with its own random seed; false: nothing is left to explore. */
  begin(index: number, seed: number, view: View): boolean;
  /** The thread that makes the next step, one of `view.enabled`; -1 gives the execution up. */
  pick(view: View): number;
  /** One of `count` alternatives. */
  choose(count: number, kind: ChoiceKind, view: View): number;
  /** Thread `thread` makes its step now (it is still the one that kind(), address() tell of). */
  performed?(thread: number, view: View): void;
  /** Whether the write that a thread makes now lets no thread turn once more that spins and waits for no certain word; without it every write does. */
  isQuiet?(view: View, thread: number): boolean;
  end?(end: StrategyEnd): void;
}

/** What is left of a search through schedules, in a form that JSON keeps. The rest of it only the strategy that made it understands. */
export interface SchedulePart {
  /** What share of all schedules it is thought to be, from 0 to 1. */
  weight: number;
  [more: string]: unknown;
}

/** A strategy that goes from one schedule to the next and can be divided, so that several threads share it, or a later run goes on with it. */
export interface ScheduleSearch extends Strategy {
  /** Takes up a part instead of the whole. Before the first execution. */
  take(part: SchedulePart): void;
  /** What is left; undefined when nothing is. Here and below: between executions. */
  rest(): SchedulePart | undefined;
  /** Gives a part away, for another one to take up; undefined when there is nothing to divide. */
  split(): SchedulePart | undefined;
  /** What comes when this part and all others are through, as a higher bound does; undefined when nothing does. */
  next(): SchedulePart | undefined;
}

export function isScheduleSearch(strategy: Strategy): strategy is ScheduleSearch {
  return 'split' in strategy;
}
