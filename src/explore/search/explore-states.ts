// The depth-first search over saved states as an exploration: run in slices, with a result like the strategies'.
import { type ExploreResult, recordFailure } from '../explore.js';
import type { Target } from '../target.js';
import { VisitedSet } from '../visited.js';
import { DepthFirst } from './depth-first.js';
import { type SavedState, StateMachine } from './state-machine.js';

export interface StateOptions {
  /** How many at most. */
  states: number;
  /** Longest execution, in steps. */
  depth: number;
  /** Memory for the set of visited states. */
  bytes: number;
  stop: () => boolean;
}

/** Thread sets are bit masks of this many bits in the search. */
const MOST_THREADS = 24;

/** The search over states of a target whose clock is frozen, in slices. */
export class StateExploration {
  readonly #target: Target;
  readonly #machine: StateMachine;
  readonly #visited: VisitedSet;
  readonly #search: DepthFirst<SavedState>;

  constructor(target: Target, { states, depth, bytes, stop }: StateOptions) {
    if (target.machine.threadCount > MOST_THREADS) throw new RangeError(`at most ${MOST_THREADS} threads`);
    this.#target = target;
    this.#machine = new StateMachine(target);
    this.#visited = VisitedSet.growing(bytes);
    this.#search = new DepthFirst(this.#machine, this.#visited, { states, depth, stop, sleepSets: true });
  }

  /** Makes up to `transitions` more. True when the search is over. */
  run(transitions: number): boolean {
    return this.#search.run(transitions);
  }

  /** For a line of progress. */
  get progress(): { states: number; frontier: number; share: number } {
    const { frontier, share } = this.#search;
    return { states: this.#visited.states + this.#visited.bitStates, frontier, share };
  }

  /** What was found, also when the search is not over; the machine is free for others then. `complete` only when each state was seen. */
  finish(): ExploreResult & { states: number } {
    const found = this.#search.result();
    this.#machine.release();
    const result = {
      strategy: 'states',
      seed: 0,
      verdict: 'no-violation' as ExploreResult['verdict'],
      complete: found.complete,
      exhausted: found.complete,
      executions: found.executions,
      steps: found.transitions,
      longest: found.deepest,
      stepLimitHits: found.limits.includes('depth') ? 1 : 0,
      distinctTraces: 0,
      states: found.states,
      limits: found.limits,
    };
    if (found.violation === undefined) {
      // A search that was stopped has not looked at whole executions as the samplers have: it says nothing.
      if (!result.complete) result.verdict = 'inconclusive';
      return result;
    }
    const violation = recordFailure(this.#target, found.violation.schedule, {
      executionIndex: found.executions,
      seed: 0,
    });
    if (violation === undefined)
      throw new Error(`the search's schedule does not fail again: ${found.violation.message}`);
    return { ...result, verdict: 'violation', violation };
  }
}

/** Searches every state in one go. */
export function exploreStates(target: Target, options: StateOptions): ExploreResult & { states: number } {
  const exploration = new StateExploration(target, options);
  exploration.run(Infinity);
  return exploration.finish();
}
