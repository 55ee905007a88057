// The search over states on several threads: one visited set, one bag of parts of the search, every thread a machine of its own. What a thread learns of who
// touches what is put together when all have ended: where one had taken something shared for local the search begins anew, as on one thread. Loops are
// not looked at: a loop may be closed by several threads of which none sees the whole. After Laarman et al., "Boosting Multi-Core Reachability Performance
// with Shared Hash Tables", FMCAD 2010.
import { Piscina } from 'piscina';
import { WorkShare } from '../../host/work-share.js';
import type { ExploreJob } from '../pool.js';
import { VisitedSet } from '../visited.js';
import { joinLocality, type LocalityTable } from './locality.js';
import type { SearchLimit, SearchResult } from './machine.js';
import { isEndless, wholeWith } from './search-result.js';
import { NOTE_FRONTIER, NOTE_SHARE, NOTE_TRANSITIONS, type SearchReply, type SearchTask } from './search-worker.js';
import { decodePart, encodePart, type Part } from './way.js';

/** Bag: places for parts, and words of a part beside those of its states. */
const PLACES = 64;
const MORE_WORDS = 1024;
const WORDS_A_STATE = 7;
const LOOK_MS = 50;
/** The visited set begins so small, and is replaced by one so many times as large when it is half full: a page of memory costs more than a state. */
const FIRST_BYTES = 1 << 25;
const GROWTH = 8;

/** What a search goes on from: the start, or where an earlier one was stopped. */
export interface Frontier {
  locality: LocalityTable;
  /** Parts that are left. */
  parts: readonly Part[];
  /** What was done before. */
  transitions: number;
  executions: number;
  deepest: number;
  /** Fills the visited set with the states seen before. */
  fill?: (visited: VisitedSet) => void;
}

export interface PoolSearchLimits {
  workers: number;
  states: number;
  depth: number;
  /** Memory for the visited set. */
  bytes: number;
  over: () => boolean;
  progress: (state: { states: number; transitions: number; frontier: number; share: number }) => void;
}

/** What was found, and what is left of a search that was stopped. */
export interface PoolSearch {
  found: SearchResult;
  rest: Frontier;
  visited: VisitedSet;
  /** From the first worker's beginning to the last one's end, of all rounds: without what it takes to start them. */
  searchNs: number;
}

export async function searchOnPool(
  job: Pick<ExploreJob, 'loader' | 'what' | 'target' | 'overrides'>,
  from: Frontier,
  limits: PoolSearchLimits,
): Promise<PoolSearch> {
  const piscina = new Piscina({
    filename: new URL('../../../workers/searcher.js', import.meta.url).href,
    minThreads: limits.workers,
    maxThreads: limits.workers,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
  });
  try {
    return await searchInRounds(piscina, job, from, limits);
  } finally {
    await piscina.destroy();
  }
}

/** Attempts until none was in vain, and rounds of an attempt until the visited set is large enough: each goes on where the one before was stopped. */
async function searchInRounds(
  piscina: Piscina,
  job: Pick<ExploreJob, 'loader' | 'what' | 'target' | 'overrides'>,
  from: Frontier,
  limits: PoolSearchLimits,
): Promise<PoolSearch> {
  const cut = new Set<SearchLimit>();
  let bytes = Math.min(FIRST_BYTES, limits.bytes);
  for (let start = from, wasted = 0, searchNs = 0; ;) {
    const visited = VisitedSet.create(bytes);
    const isSmall = (): boolean => bytes < limits.bytes && visited.isHalfFull;
    start.fill?.(visited);
    if (isSmall()) {
      bytes = Math.min(bytes * GROWTH, limits.bytes);
      continue;
    }
    const share = bagOf(start.parts, limits);
    const { states, depth } = limits;
    const task = { share: share.handle, visited: visited.handle(), locality: start.locality, states, depth };
    const replies = await workAll(piscina, { ...job, ...task }, share, visited, { ...limits, isSmall });
    const { isNews, ...rest } = restOf(start, replies, share);
    const found = resultOf(replies, rest, visited, wasted);
    searchNs += timeOf(replies);
    const isVoid = isNews || replies.some(({ changed }) => changed);
    const isFound = found.violation !== undefined && !(isVoid && isEndless(found.violation));
    const goesOn = !isFound && !limits.over();
    if (goesOn && (isVoid || (isSmall() && visited.bitStates > 0))) {
      wasted = found.transitions;
      cut.clear();
      start = wholeWith(rest.locality, 0);
    } else if (goesOn && isSmall() && rest.parts.length > 0) {
      for (const limit of found.limits) if (limit !== 'stop') cut.add(limit);
      const hashes = visited.hashes();
      start = { ...rest, fill: (set) => set.insertAll(hashes) };
    } else if (isFound) {
      return { found, rest, visited, searchNs };
    } else if (isVoid) {
      const anew = wholeWith(rest.locality, found.transitions);
      return { found: withoutViolation(found, cut.add('stop')), rest: anew, visited: VisitedSet.create(0), searchNs };
    } else {
      return { found: withoutViolation(found, cut), rest, visited, searchNs };
    }
  }
}

/** What was found but a violation that is not to be believed; `cut`: what made earlier rounds incomplete. */
function withoutViolation({ violation, ...found }: SearchResult, cut: ReadonlySet<SearchLimit>): SearchResult {
  const limits = new Set([...cut, ...found.limits]);
  if (violation !== undefined) limits.add('stop');
  return { ...found, limits: [...limits], complete: limits.size === 0 };
}

function bagOf(parts: readonly Part[], { workers, depth }: PoolSearchLimits): WorkShare {
  const jobs = parts.map((part) => encodePart(part));
  const longest = Math.max(depth * WORDS_A_STATE + MORE_WORDS, ...jobs.map(({ length }) => length));
  const share = WorkShare.create(workers, PLACES + parts.length, longest);
  for (const each of jobs) share.put(each);
  return share;
}

/** Lets all workers work until all is done, or the time is up. */
async function workAll(
  piscina: Piscina,
  task: Omit<SearchTask, 'worker'>,
  share: WorkShare,
  visited: VisitedSet,
  { workers, over, progress, isSmall }: PoolSearchLimits & { isSmall: () => boolean },
): Promise<SearchReply[]> {
  const watch = setInterval(() => {
    if (over() || isSmall()) share.stop();
    const states = visited.states + visited.bitStates;
    const [transitions, frontier, done] = [NOTE_TRANSITIONS, NOTE_FRONTIER, NOTE_SHARE].map((note) => share.sum(note));
    progress({ states, transitions: transitions!, frontier: frontier!, share: done! });
  }, LOOK_MS);
  try {
    const runs = Array.from(
      { length: workers },
      async (_, worker) => (await piscina.run({ ...task, worker })) as SearchReply,
    );
    return await Promise.all(runs);
  } catch (error) {
    share.stop();
    throw error;
  } finally {
    clearInterval(watch);
  }
}

function timeOf(replies: readonly SearchReply[]): number {
  return Math.max(...replies.map(({ endNs }) => endNs)) - Math.min(...replies.map(({ startNs }) => startNs));
}

/** What is left, and what all have learned. */
function restOf(start: Frontier, replies: readonly SearchReply[], share: WorkShare): Frontier & { isNews: boolean } {
  const parts = replies.flatMap(({ rest }) => (rest === undefined ? [] : [rest]));
  for (let job = share.takeNow(); job !== undefined; job = share.takeNow()) parts.push(decodePart(job));
  const { isNews, ...locality } = joinLocality(replies.map((reply) => reply.locality));
  return {
    parts,
    locality,
    isNews,
    transitions: start.transitions + replies.reduce((sum, { transitions }) => sum + transitions, 0),
    executions: start.executions + replies.reduce((sum, { executions }) => sum + executions, 0),
    deepest: Math.max(start.deepest, ...replies.map(({ deepest }) => deepest)),
  };
}

function resultOf(replies: readonly SearchReply[], rest: Frontier, visited: VisitedSet, wasted: number): SearchResult {
  const limits = new Set(replies.flatMap((reply) => reply.limits));
  const violation = replies.find((reply) => reply.violation !== undefined)?.violation;
  if (rest.parts.length > 0 && violation === undefined) limits.add('stop');
  if (visited.bitStates > 0) limits.add('bits');
  return {
    complete: violation === undefined && limits.size === 0,
    limits: [...limits],
    states: visited.states + visited.bitStates,
    transitions: rest.transitions + wasted,
    executions: rest.executions,
    deepest: rest.deepest,
    ...(violation === undefined ? {} : { violation }),
  };
}
