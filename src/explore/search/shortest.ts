// The breadth-first search over saved states as an exploration: the violation with the fewest steps of all. Loops are not looked at, so that it finds no
// livelocks; and it makes every step apart, so that it sees more states than the depth-first one.
import type { ExploreResult } from '../explore.js';
import type { Target } from '../target.js';
import { VisitedSet } from '../visited.js';
import { BreadthFirst, type Waits } from './breadth-first.js';
import { MOST_THREADS, type StateOptions } from './explore-states.js';
import { resultOfSearch } from './search-result.js';
import { type SavedState, StateMachine } from './state-machine.js';

const bytesOf = ({ words }: SavedState): number => words.byteLength;

/** Where a search goes on. */
export interface ShortestStart {
  waits: Waits;
  /** Of the states that were seen before, as VisitedSet.hashes gives them. */
  hashes: Uint32Array;
}

/** The search of a target whose clock is frozen, in slices; `bytes` of the options is for the visited set, and as much again for the frontier. */
export class ShortestExploration {
  readonly #target: Target;
  readonly #machine: StateMachine;
  readonly #visited: VisitedSet;
  readonly #search: BreadthFirst<SavedState>;

  /** `from`: where another search was stopped, with the hashes of the states that it had seen. */
  constructor(target: Target, { states, depth, bytes, stop }: StateOptions, from?: ShortestStart) {
    if (target.machine.threadCount > MOST_THREADS) throw new RangeError(`at most ${MOST_THREADS} threads`);
    this.#target = target;
    this.#machine = new StateMachine(target);
    this.#visited = VisitedSet.growing(bytes);
    const limits = { states, depth, stop, bytesOf, frontierBytes: bytes };
    this.#search = new BreadthFirst(this.#machine, this.#visited, limits);
    if (from === undefined) return;
    this.#visited.insertAll(from.hashes);
    this.#search.take(from.waits);
  }

  /** Makes about `transitions` more. True when the search is over. */
  run(transitions: number): boolean {
    return this.#search.run(transitions);
  }

  /** For a line of progress: how many steps from the start the search is says what no share could. */
  get progress(): { states: number; frontier: number; depth: number } {
    const { frontier, depth } = this.#search;
    return { states: this.#visited.states + this.#visited.bitStates, frontier, depth };
  }

  /** What is left, for another search to go on from; undefined when it is over. */
  left(): ShortestStart | undefined {
    const waits = this.#search.left();
    return waits && { waits, hashes: this.#visited.hashes() };
  }

  /** What was found, also when the search is not over; the machine is free for others then. */
  finish(): ExploreResult & { states: number } {
    const { frontier } = this.#search;
    this.#machine.release();
    return { ...resultOfSearch(this.#target, this.#search.result(), false, 'shortest'), frontier };
  }
}

/**
 * Searches breadth first in one go: a violation that it finds has the fewest steps of all. `target` has `frozenClock`; `bytes` is the memory for states that were
 * seen, and as much again for those that wait. Throws RangeError for more than 24 threads.
 */
export function shortestViolation(target: Target, options: StateOptions): ExploreResult & { states: number } {
  const exploration = new ShortestExploration(target, options);
  while (!exploration.run(Infinity));
  return exploration.finish();
}
