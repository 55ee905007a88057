// A search over states as an exploration: where it begins, and its result as the strategies have one.
import type { ExploreResult } from '../explore.js';
import { recordFailure } from '../explore.js';
import type { Target } from '../target.js';
import { type LocalityTable, probeLocality } from './locality.js';
import type { Failure, SearchResult } from './machine.js';
import type { Frontier } from './search-pool.js';

/** The whole search, nothing done but to find out what is shared, in `transitions` steps of searches that were in vain. */
export function wholeWith(locality: LocalityTable, transitions: number): Frontier {
  return { locality, parts: [{ weight: 1, ways: [] }], transitions, executions: 0, deepest: 0 };
}

/** The whole search, nothing done. */
export function wholeSearch(target: Target): Frontier {
  return wholeWith(probeLocality(target).table(), 0);
}

const ENDLESS = new Set(['deadlock', 'lost-wakeup', 'starvation', 'livelock']);

/** Whether a violation is that somebody never goes on: a search that took the wrong writes for ones that nobody waits for may have made it so. */
export function isEndless({ kind }: Failure): boolean {
  return ENDLESS.has(kind);
}

/** `loops`: every loop of states was looked at. A violation is made again on `target`. */
export function resultOfSearch(
  target: Target,
  found: SearchResult,
  loops: boolean,
  strategy = 'states',
): ExploreResult & { states: number } {
  const { complete, limits, states, transitions, executions, deepest } = found;
  const result = {
    strategy,
    seed: 0,
    verdict: 'no-violation' as ExploreResult['verdict'],
    complete,
    exhausted: complete,
    executions,
    steps: transitions,
    longest: deepest,
    stepLimitHits: limits.includes('depth') ? 1 : 0,
    distinctTraces: 0,
    states,
    limits,
    loops,
  };
  if (found.violation === undefined) {
    // A search that was stopped has not looked at whole executions as the samplers have: it says nothing.
    if (!complete) result.verdict = 'inconclusive';
    return result;
  }
  const violation = recordFailure(target, found.violation.schedule, { executionIndex: executions, seed: 0 });
  if (violation === undefined) throw new Error(`the search's schedule does not fail again: ${found.violation.message}`);
  return { ...result, verdict: 'violation', violation };
}
