// What can be explored: a machine in its starting state, with what a report needs to speak of it. Scenarios and programs make one.
import type { Violation } from '../host/errors.js';
import type { Machine } from './machine.js';
import type { SourceLines } from './source-lines.js';

/** Which accesses are points: 'sync' atomics and futexes only, 'racy' also plain accesses to words that race, 'all' every one to shared memory. */
export type PointSet = 'sync' | 'racy' | 'all';

export interface Target {
  name: string;
  machine: Machine;
  points: PointSet;
  threadNames: readonly string[];
  /** Looks at the state when every thread has finished; false when it oopsed or recorded a violation. */
  atRest(): boolean;
  violations(): Violation[];
  /** `vm0.mmu_lock` of an address. */
  nameOf(address: number): string;
  /** Source lines of its module; made when asked for. */
  sources(): SourceLines;
}

/** How a target is explored, whatever it is. */
export interface TargetOptions {
  stepLimit?: number;
  points?: PointSet;
  /** How many waits of an execution may return without a wake-up. */
  spuriousWakeups?: number;
  /** How many waits of an execution may time out although others could run. */
  earlyTimeouts?: number;
  /** The model's time stands still, for searches that compare states. */
  frozenClock?: boolean;
}
