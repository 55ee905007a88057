// A worker's turn at a search through schedules: some executions of one part of it, and what is left of that then, divided when others wait.
import { Exploration } from './explore.js';
import type { BatchReply, ExploreJob } from './pool.js';
import { strategyNamed } from './strategies/named.js';
import { isScheduleSearch, type SchedulePart, type ScheduleSearch } from './strategy.js';
import type { Target } from './target.js';

export interface PartTask extends ExploreJob {
  part: SchedulePart;
  /** At most so many, the first of which has this number. */
  executions: number;
  first: number;
  /** In how many parts what is left is wanted, if that can be. */
  parts: number;
}

export interface PartReply extends BatchReply {
  rest: SchedulePart[];
  /** What comes when all parts are through. */
  next?: SchedulePart;
  /** False: something was met that leaves executions out. */
  isExhaustive: boolean;
}

/** A fresh search of that name. @throws RangeError for a strategy that is none. */
export function scheduleSearch(name: string): ScheduleSearch {
  const strategy = strategyNamed(name);
  if (!isScheduleSearch(strategy)) throw new RangeError(`${name} goes through no schedules`);
  return strategy;
}

/** Explores a part on a target of this thread's own. */
export function explorePart(target: Target, { part, executions, first, parts, strategy, seed }: PartTask): PartReply {
  const search = scheduleSearch(strategy);
  search.take(part);
  const exploration = new Exploration(target, search, { executions, first, seed, countTraces: true });
  exploration.run(Infinity);
  const given: SchedulePart[] = [];
  while (given.length + 1 < parts) {
    const split = search.split();
    if (split === undefined) break;
    given.push(split);
  }
  const rest = search.rest();
  const next = search.next();
  return {
    result: exploration.result,
    traces: Int32Array.from(exploration.traces),
    rest: rest === undefined ? given : [rest, ...given],
    isExhaustive: search.exhaustive,
    ...(next === undefined ? {} : { next }),
  };
}
