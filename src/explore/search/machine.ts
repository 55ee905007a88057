// What the stateful searches ask of a machine whose every step can be chosen: its threads, one step of one thread, its state to keep and to put back.
import type { Operation } from '../dpor/dependence.js';

/** Thread sets are bit masks, up to 24 threads. `S` is a saved state, whatever the machine likes. */
export interface SearchMachine<S> {
  /** Threads that can make a step now. */
  enabled(): number;
  /** Threads that have not finished. Some of them and none enabled: a deadlock. */
  unfinished(): number;
  /** What the thread's next step will do; undefined when that is unknown, which is taken for anything. */
  operation(thread: number): Operation | undefined;
  /** One step of an enabled thread. The violation it made, if it did. */
  step(thread: number): Failure | undefined;
  /** Looks at the state when every thread has finished. */
  atRest(): Failure | undefined;
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

export interface SearchResult {
  /** Every state within the limits was seen, none taken for another one. Never true when a limit was met. */
  complete: boolean;
  /** What made it incomplete. */
  limits: ('states' | 'depth' | 'stop' | 'bits')[];
  states: number;
  transitions: number;
  /** Executions that ran to their end. */
  executions: number;
  deepest: number;
  violation?: Failure & { schedule: number[] };
}

/** Lowest thread of a set. */
export function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}
