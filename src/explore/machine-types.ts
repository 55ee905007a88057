// What goes into a machine and comes out of it: options, the module's exports, endings, observers.
import type { View } from './strategy.js';

/** What the machine itself calls; a module exports more. */
export interface MachineExports {
  runThreads(first: number): void;
  saveState(): void;
  restoreState(): void;
  /** The journal of a search over states (src/kernel/control/journal.ts): addresses in bytes. */
  journalBack(end: number): void;
  journalForget(start: number, end: number): void;
  journalLearn(thread: number): void;
  journalNote(address: number, value: number): void;
  journalTakeBlock(block: number): void;
  journalTakeThreads(): void;
  setCurrent(task: number): void;
  readonly table: WebAssembly.Table;
}

/** How an execution ended, as far as the machine can tell. `endless`: it repeats itself, and every thread that goes on gets on. */
export type Ending = 'finished' | 'endless' | 'oops' | 'crash' | 'blocked' | 'livelock' | 'step-limit' | 'given-up';

/** Watches executions step by step: race detector, trace, state hash. */
export interface Observer {
  begin?(): void;
  /** The running thread has announced its next operation; it is still on the stack, its source line can be looked up. */
  announced?: ((thread: number) => void) | undefined;
  /** `thread` performs what it announced (view.kind(thread), ...) as step number view.step. */
  performed(thread: number, view: View): void;
  /** What `waker` does lets `waiter` go on. */
  woke?(waker: number, waiter: number): void;
}

/** What the scheduler knows beside the threads' blocks. */
export interface SchedulerNotes {
  current: number;
  step: number;
  barren: number;
  spurious: number;
  timeouts: number;
}

export interface MachineOptions {
  module: WebAssembly.Module;
  threads: number;
  /** Bytes of the model's state. */
  stateBytes: number;
  stepLimit: number;
  /** How many waits of an execution may return without a wake-up, where the strategy wants it. */
  spuriousWakeups?: number;
  /** How many waits of an execution may time out although others could run. Otherwise a wait times out when nobody can run. */
  earlyTimeouts?: number;
  /** The model's time stands still: states that differ in nothing else are the same. */
  frozenClock?: boolean;
  prDebug?: (site: number, ...values: number[]) => void;
}
