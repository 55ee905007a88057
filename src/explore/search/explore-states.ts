// The depth-first search over saved states as an exploration: run in slices, with a result like the strategies'.
import type { ExploreResult } from '../explore.js';
import type { Target } from '../target.js';
import { VisitedSet } from '../visited.js';
import { DepthFirst } from './depth-first.js';
import { type Locality, probeLocality } from './locality.js';
import type { Frontier } from './search-pool.js';
import { isEndless, resultOfSearch, wholeWith } from './search-result.js';
import { type SavedState, StateMachine } from './state-machine.js';

/** How far a search over states goes. One that runs out of any of these says that it is not complete. */
export interface StateOptions {
  /** How many at most. */
  states: number;
  /** Longest execution, in steps. */
  depth: number;
  /** Memory for the set of visited states. */
  bytes: number;
  /** Asked now and then; true ends the search. */
  stop: () => boolean;
}

const SLICE = 512;
/** Nearly all shared words that the probes have not met are met within so many transitions. */
const EARLY = 50_000;
/** Thread sets are bit masks of this many bits in the search. */
export const MOST_THREADS = 24;

/**
 * The search over states of a target whose clock is frozen, in slices. Steps that touch nothing shared are not branched at (locality.ts): a search that
 * found out late what is shared begins anew.
 */
export class StateExploration {
  readonly #target: Target;
  readonly #options: StateOptions;
  readonly #locality: Locality;
  readonly #machine: StateMachine;
  #visited!: VisitedSet;
  /** Steps of searches that were in vain. */
  #stepsBefore = 0;
  #search!: DepthFirst<SavedState>;

  constructor(target: Target, options: StateOptions) {
    if (target.machine.threadCount > MOST_THREADS) throw new RangeError(`at most ${MOST_THREADS} threads`);
    this.#target = target;
    this.#options = options;
    this.#locality = probeLocality(target);
    this.#machine = new StateMachine(target, this.#locality);
    this.#begin();
  }

  #begin(): void {
    const { states, depth, bytes, stop } = this.#options;
    this.#locality.changed = false;
    this.#visited = VisitedSet.growing(bytes);
    this.#search = new DepthFirst(this.#machine, this.#visited, { states, depth, stop });
  }

  /** Makes about `transitions` more (the last step may bring some local ones with it). True when the search is over. */
  run(transitions: number): boolean {
    for (let left = transitions; left > 0; left -= SLICE) {
      const over = this.#search.run(Math.min(left, SLICE));
      if (this.#locality.changed && this.#isInVain(over)) {
        this.#stepsBefore += this.#search.transitions;
        this.#machine.release();
        this.#begin();
      } else if (over) return true;
    }
    return false;
  }

  /** What is shared was found out late: a search that has just begun is given up at once, another one is first gone through for what else it finds. */
  #isInVain(over: boolean): boolean {
    if (!over) return this.#search.transitions < EARLY;
    const { violation, limits } = this.#search.result();
    return violation === undefined ? limits.length === 0 : isEndless(violation);
  }

  /** For a line of progress. */
  get progress(): { states: number; frontier: number; share: number } {
    const { frontier, share } = this.#search;
    return { states: this.#visited.states + this.#visited.bitStates, frontier, share };
  }

  /**
   * What is left of the search, for another one to go on from; undefined when it is over. All of it when what is shared was found out late: what this one has
   * passed over, because it took words for nobody else's, may hide more.
   */
  left(): { rest: Frontier; visited: VisitedSet } | undefined {
    const { transitions, executions, deepest } = this.#search.result();
    const steps = this.#stepsBefore + transitions;
    const locality = this.#locality.table();
    if (this.#locality.changed) return { rest: wholeWith(locality, steps), visited: VisitedSet.create(0) };
    if (this.#search.isThrough) return undefined;
    const parts = [{ weight: 1, ways: this.#search.rest() }];
    return { rest: { locality, parts, transitions: steps, executions, deepest }, visited: this.#visited };
  }

  /** What was found, also when the search is not over; the machine is free for others then. `complete` only when each state was seen. */
  finish(): ExploreResult & { states: number } {
    const found = this.#search.result();
    const { frontier, share } = this.#search;
    this.#machine.release();
    const complete = found.complete && !this.#locality.changed;
    const whole = { ...found, complete, transitions: this.#stepsBefore + found.transitions };
    return { ...resultOfSearch(this.#target, whole, true), frontier, ...(complete ? {} : { share }) };
  }
}

/**
 * Searches every state in one go, depth first. `target` has `frozenClock`; `complete` in the result only when each state was seen. Throws RangeError for more
 * than 24 threads.
 */
export function exploreStates(target: Target, options: StateOptions): ExploreResult & { states: number } {
  const exploration = new StateExploration(target, options);
  while (!exploration.run(Infinity));
  return exploration.finish();
}
