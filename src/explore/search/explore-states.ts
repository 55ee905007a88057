// The depth-first search over saved states as an exploration: run in one go, asked now and then whether to stop, with a result like the strategies'.
import { type ExploreResult, recordFailure } from '../explore.js';
import type { Target } from '../target.js';
import { VisitedSet } from '../visited.js';
import { depthFirst } from './depth-first.js';
import { StateMachine } from './state-machine.js';

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

/** Searches every state of a target whose clock is frozen. `complete` only when each was seen. */
export function exploreStates(target: Target, options: StateOptions): ExploreResult & { states: number } {
  if (target.machine.threadCount > MOST_THREADS) throw new RangeError(`at most ${MOST_THREADS} threads`);
  const machine = new StateMachine(target);
  const { states, depth, stop } = options;
  const found = depthFirst(machine, VisitedSet.growing(options.bytes), { states, depth, stop, sleepSets: true });
  machine.release();
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
  };
  if (found.violation === undefined) {
    // A search that was stopped has not looked at whole executions as the samplers have: it says nothing.
    if (!result.complete) result.verdict = 'inconclusive';
    return result;
  }
  const violation = recordFailure(target, found.violation.schedule, { executionIndex: found.executions, seed: 0 });
  if (violation === undefined) throw new Error(`the search's schedule does not fail again: ${found.violation.message}`);
  return { ...result, verdict: 'violation', violation };
}
