// What can be explored: a machine in its starting state, with what a report needs to speak of it. Scenarios and programs make one.
import { UsageError, type Violation } from '../host/errors.js';
import * as control from '../kernel/abi/control.js';
import type { Machine } from './machine.js';
import { canWatch, RaceWatch } from './race-watch.js';
import type { Scenario } from './scenario.js';
import type { SourceLines } from './source-lines.js';
import type { StateWord } from './state-names.js';

/** Which accesses are points: 'sync' atomics and futexes only, 'racy' also plain accesses to words that race, 'all' every one to shared memory. */
export type PointSet = 'sync' | 'racy' | 'all';

/** What is explored: it can be begun again as often as needed, and then makes the same steps for the same choices. */
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
  /** The same, with what sort of word it is. */
  wordOf(address: number): StateWord;
  /**
   * No spin loop of its threads counts its turns: each turn that meets nothing new ends where it began. Then only writes that another thread may see have to
   * let a thread that spins turn once more. Otherwise every write does, since a loop may give up after some turns.
   */
  spinsAreEndless?: boolean;
  /** Looks for data races, if it was asked to. */
  races?: RaceWatch | undefined;
  /** Source lines of its module; made when asked for. */
  sources(): SourceLines;
  /** Of a scenario: what another target, of a smaller one, is made from. */
  remake?: { scenario: Scenario; options: TargetOptions };
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
  /** Locks are one step, and who finds one taken stands still until it is written to; otherwise every step of theirs is explored. */
  locks?: 'abstract' | 'concrete';
  /** Whether two accesses, one of them plain and one a write, that nothing orders are a failure. Plain accesses have to be points. */
  races?: boolean;
}

/** LOCKS_* of the options. */
export function lockSort({ locks = 'concrete' }: TargetOptions): number {
  return locks === 'abstract' ? control.LOCKS_ABSTRACT : control.LOCKS_CONCRETE;
}

/**
 * The options of a program that a user explores: data races are failures unless they say otherwise. Where plain accesses are no points nothing is seen of
 * them, and a search over states goes back and forth in executions, which leaves no order of events to look at.
 */
export function racesByDefault(options: TargetOptions): TargetOptions {
  return { races: options.frozenClock !== true && (options.points ?? 'all') === 'all', ...options };
}

/** Makes the machine look for data races where the options say so. Throws UsageError where it could not see them. */
export function watchRaces(
  machine: Machine,
  points: PointSet,
  { races = false }: TargetOptions,
): RaceWatch | undefined {
  if (!races) return undefined;
  if (points !== 'all')
    throw new UsageError('--races', `--races on: plain accesses are seen where they are points; add --points all`);
  if (!canWatch(machine))
    throw new UsageError('--races', `--races on: at most 15 threads; this has ${machine.threadCount}`);
  const watch = new RaceWatch(machine);
  machine.watcher = watch;
  return watch;
}
