// What becomes of an execution that does not end: now and then somebody looks whether it repeats itself, its last quarter is scheduled fairly if the strategy
// only samples, so that what does not end then is no fault of the schedule, and at the step limit it is cut.
import * as control from '../kernel/abi/control.js';
import { Lasso, LASSO_FROM } from './lasso.js';
import { RoundRobin } from './round-robin.js';
import type { Strategy } from './strategy.js';
import type { ThreadTable } from './thread-table.js';

/** Instead of a thread: the execution is cut here; it stops until somebody has looked at its state. */
export const CUT = -2;
export const LOOK = -3;

const FAIR_FROM = 0.75;
/** Turns are 1 to 7 steps long, each length for so many steps (a power of two). */
const TURNS_SHIFT = 9;
const TURNS = [1, 2, 3, 4, 5, 6, 7].map((steps) => [steps]);

export class LongRun {
  /** Step from which on the next thread is asked for here. */
  from = 0;
  isPaused = false;
  readonly #machine: ThreadTable;
  readonly #lasso: Lasso;
  readonly #turns = new RoundRobin();
  readonly #limit: number;

  constructor(machine: ThreadTable, stepLimit: number) {
    this.#machine = machine;
    this.#limit = stepLimit;
    this.#lasso = new Lasso(machine);
  }

  /**
   * `isWhole`: the execution is run in one go; one that a search makes step by step is only cut. `keepAt`: step after which the state is expected to
   * come again.
   */
  begin(isWhole: boolean, keepAt?: number): void {
    this.from = isWhole ? Math.min(keepAt ?? LASSO_FROM, this.#limit) : this.#limit;
    this.isPaused = false;
    this.#turns.begin();
    if (isWhole) this.#lasso.begin(keepAt);
  }

  /** The thread that makes the next step, or CUT, or LOOK. */
  pick(strategy: Strategy): number {
    const machine = this.#machine;
    if (machine.step >= this.#limit) return CUT;
    if (this.isPaused) this.isPaused = false;
    else if (this.#lasso.wantsLook()) {
      this.isPaused = true;
      return LOOK;
    }
    if (strategy.endsFairly !== true || machine.step < this.#limit * FAIR_FROM) return strategy.pick(machine);
    return this.#turns.pick(machine, TURNS[(machine.step >> TURNS_SHIFT) % TURNS.length]!);
  }

  /** Lasso.progressed. */
  get progressed(): number {
    return this.#lasso.progressed;
  }

  /** Whether some thread that has not ended does not get on in an execution that repeats itself. */
  get isAnyStarving(): boolean {
    for (let thread = 0; thread < this.#machine.threadCount; thread++) {
      const goesOn = this.#machine.status(thread) !== control.STATUS_FINISHED;
      if (goesOn && ((this.progressed >>> thread) & 1) === 0) return true;
    }
    return false;
  }

  /** Lasso.look. @context nobody runs. */
  look(allowances: number): number {
    return this.#lasso.look(allowances);
  }
}
