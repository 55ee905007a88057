// How `explore` runs what it was asked for: samples on this thread or on several, searches over states likewise, with a progress line and an eye on the clock.
import { setImmediate } from 'node:timers/promises';
import {
  checkSameStart,
  frontierOf,
  type Progress,
  shortestStartOf,
  type Stopped,
  writeCheckpoint,
} from '../explore/checkpoint.js';
import { Exploration, type ExploreResult } from '../explore/explore.js';
import type { ExploreJob } from '../explore/pool.js';
import type { Frontier } from '../explore/search/search-pool.js';
import type { ShortestStart } from '../explore/search/shortest.js';
import { strategyNamed } from '../explore/strategies/named.js';
import type { Target } from '../explore/target.js';
import { isScheduleSearch, type ScheduleSearch } from '../explore/strategy.js';
import type { Schedules } from '../explore/schedule-pool.js';
import { SEARCHES, SHORTEST, STATES } from './explore-options.js';
import type { VisitedSet } from '../explore/visited.js';

const SLICE_MS = 50;
const MOST_STATES = 50_000_000;
/** What the share of a search through schedules is a share of: a bounded one has one bound after the other. */
const SCHEDULES_TEXT = 'the schedules (of this bound), at a guess';
const NO_CHOICES = { stepLimit: 0, spuriousWakeups: 0, earlyTimeouts: 0, frozenClock: false };

/** What is run: the target's making, and the budgets. */
export interface Job extends ExploreJob {
  executions: number;
  memory: number;
  workers: number | undefined;
  /** Only failures of this kind count. */
  only?: string;
}

/** An exploration, and what is left of a search that was stopped: over states, or through schedules. */
export interface Explored {
  result: ExploreResult;
  left?: { rest: Frontier; visited: VisitedSet };
  shortest?: ShortestStart;
  schedules?: Schedules;
}

/** Runs what was asked for, from the start or from where it was stopped. */
export async function runJob(target: Target, job: Job, from: Stopped | undefined, course: Course): Promise<Explored> {
  const { strategy, workers, memory: bytes, executions, seed, only } = job;
  const depth = job.target.stepLimit!;
  if (strategy === SHORTEST) {
    const start = from === undefined ? undefined : shortestStartOf(from, target);
    return shortestWay(target, { depth, bytes, from: start }, course);
  }
  if (strategy === STATES) {
    if (from === undefined && (workers ?? 1) === 1) return searchStates(target, { depth, bytes }, course);
    const frontier = from === undefined ? undefined : frontierOf(from, target);
    return searchStatesOnPool(target, job, { workers: workers ?? 1, depth, bytes, from: frontier }, course);
  }
  if (from !== undefined) checkSameStart(from.checkpoint, target);
  const before = from?.checkpoint.done;
  const first = before?.executions ?? 0;
  const options = { executions, first, seed, countTraces: true, ...(only === undefined ? {} : { only }) };
  const fresh = strategyNamed(strategy, target);
  const explored = isScheduleSearch(fresh)
    ? workers === undefined && from === undefined
      ? await searchSchedules(new Exploration(target, fresh, options), fresh, course)
      : await searchSchedulesOnPool(job, from?.checkpoint.schedules, { workers: workers ?? 1, executions }, course)
    : {
        result:
          workers === undefined
            ? await sample(new Exploration(target, fresh, options), executions, course)
            : await sampleOnPool(job, { workers, executions, first }, course),
      };
  return before === undefined ? explored : { ...explored, result: together(before, explored.result) };
}

/** A sampler's result with what was done before it was stopped. */
function together(before: Progress['done'], result: ExploreResult): ExploreResult {
  return {
    ...result,
    executions: before.executions + result.executions,
    steps: before.steps + result.steps,
    longest: Math.max(before.longest, result.longest),
    stepLimitHits: before.stepLimitHits + result.stepLimitHits,
  };
}

/** Writes down where an exploration that was stopped can go on; false when it is over, or a search whose place cannot be told. */
export async function keep(
  folder: string,
  target: Target,
  job: ExploreJob,
  { result, left, shortest, schedules }: Explored,
  wallMs: number,
): Promise<boolean> {
  const { verdict, exhausted, nondeterminism, stepLimitHits } = result;
  if (verdict === 'violation' || exhausted || nondeterminism !== undefined) return false;
  const isPlaceKnown = left !== undefined || shortest !== undefined || schedules !== undefined;
  if (SEARCHES.has(job.strategy) && !isPlaceKnown) return false;
  const { what, strategy, seed, overrides } = job;
  const { executions, steps, longest } = left === undefined ? result : doneBefore(left.rest);
  const done = { executions, steps, longest, stepLimitHits, wallMs };
  const { variants, protocol } = overrides;
  const progress = {
    what,
    strategy,
    seed,
    target: { ...NO_CHOICES, ...job.target },
    overrides: { ...(variants && { variants: [...variants] }), ...(protocol && { protocol }) },
    done,
    ...(schedules === undefined ? {} : { schedules }),
  };
  await writeCheckpoint(folder, target, progress, { ...(left && { search: left }), ...(shortest && { shortest }) });
  return true;
}

/** Of a search that is to begin anew it is less than was done. */
function doneBefore({
  executions,
  transitions,
  deepest,
}: Frontier): Pick<ExploreResult, 'executions' | 'steps' | 'longest'> {
  return { executions, steps: transitions, longest: deepest };
}

/** How long an exploration may go on, and whether anybody watches. */
export interface Course {
  over: () => boolean;
  elapsedMs: () => number;
  /** When the time is up, by `elapsedMs`; Infinity: never. */
  endMs: number;
  draw: boolean;
}

function rate(count: number, seconds: number): number {
  return Math.round(count / Math.max(seconds, 1e-9));
}

/** How long something goes on if it goes on as it did. */
function timeLeft(tookMs: number, share: number, { endMs }: Course): string {
  const left = Math.min(share > 0 ? (tookMs / share) * (1 - share) : Infinity, endMs - tookMs);
  return left < Infinity ? `  about ${duration(left)} left` : '';
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** `share`: what share of the work lies behind; of a sampler that of its budget, of a search an estimate. */
function executionsLine(course: Course, executions: number, distinctTraces: number, share: number, of: string): string {
  const tookMs = course.elapsedMs();
  const seconds = tookMs / 1000;
  const done = `${(share * 100).toFixed(1)} % of ${of}`;
  return `${seconds.toFixed(1)} s  ${executions} executions  ${rate(executions, seconds)}/s  ${distinctTraces} different traces  ${done}${timeLeft(tookMs, share, course)}`;
}

/** Runs an exploration in slices, so that the clock, Ctrl-C and the progress line have their turn. */
async function inSlices(run: () => boolean, line: () => string, { over, elapsedMs, draw }: Course): Promise<void> {
  for (let done = false; !done && !over();) {
    const sliceEnd = elapsedMs() + SLICE_MS;
    while (!done && elapsedMs() < sliceEnd) done = run();
    if (draw) drawProgress(line());
    await setImmediate();
  }
  if (draw) process.stderr.write('\r\u001B[K');
}

async function sample(exploration: Exploration, most: number, course: Course): Promise<ExploreResult> {
  const { result } = exploration;
  const line = (): string =>
    executionsLine(course, result.executions, result.distinctTraces, result.executions / most, 'the budget');
  await inSlices(() => exploration.run(16), line, course);
  return result;
}

async function sampleOnPool(
  job: ExploreJob,
  limits: { workers: number; executions: number; first: number },
  course: Course,
): Promise<ExploreResult> {
  const { exploreOnPool } = await import('../explore/pool.js');
  const progress = (executions: number, distinctTraces: number): void => {
    if (course.draw)
      drawProgress(executionsLine(course, executions, distinctTraces, executions / limits.executions, 'the budget'));
  };
  const result = await exploreOnPool(job, { ...limits, over: course.over, progress });
  if (course.draw) process.stderr.write('\r\u001B[K');
  return result;
}

/** On this thread, from the start. */
async function searchSchedules(exploration: Exploration, search: ScheduleSearch, course: Course): Promise<Explored> {
  const { result } = exploration;
  const shareNow = (): number => Math.max(0, 1 - (search.rest()?.weight ?? 0));
  const line = (): string =>
    executionsLine(course, result.executions, result.distinctTraces, shareNow(), SCHEDULES_TEXT);
  await inSlices(() => exploration.run(16), line, course);
  if (result.verdict === 'violation' || result.exhausted) return { result };
  // What is left is known between executions, where the search is now.
  const rest = search.rest();
  const next = search.next();
  const left = { parts: rest === undefined ? [] : [rest], next, isExhaustive: search.exhaustive };
  return { result: { ...result, share: shareNow() }, schedules: left };
}

/** On several threads, or from where an earlier search was stopped. */
async function searchSchedulesOnPool(
  job: ExploreJob,
  from: Schedules | undefined,
  limits: { workers: number; executions: number },
  course: Course,
): Promise<Explored> {
  const { allSchedules, searchSchedules: search } = await import('../explore/schedule-pool.js');
  const progress = (executions: number, distinctTraces: number, share: number): void => {
    if (course.draw) drawProgress(executionsLine(course, executions, distinctTraces, share, SCHEDULES_TEXT));
  };
  const { result, left } = await search(job, from ?? allSchedules(job.strategy), {
    ...limits,
    over: course.over,
    progress,
  });
  if (course.draw) process.stderr.write('\r\u001B[K');
  return result.exhausted || result.verdict === 'violation' ? { result } : { result, schedules: left };
}

function searchLine(course: Course, states: number, frontier: number, share: number): string {
  const tookMs = course.elapsedMs();
  const seconds = tookMs / 1000;
  return `${seconds.toFixed(1)} s  ${states} states  ${rate(states, seconds)}/s  ${frontier} on the way  about ${(share * 100).toFixed(1)} % done${timeLeft(tookMs, share, course)}`;
}

/** Breadth first: how many steps from the start the search is, and how many states wait there. */
async function shortestWay(
  target: Target,
  { depth, bytes, from }: { depth: number; bytes: number; from: ShortestStart | undefined },
  course: Course,
): Promise<Explored> {
  const { ShortestExploration } = await import('../explore/search/shortest.js');
  const limits = { states: MOST_STATES, depth, bytes, stop: () => false };
  const exploration = new ShortestExploration(target, limits, from);
  const line = (): string => {
    const { states, frontier, depth: steps } = exploration.progress;
    const seconds = course.elapsedMs() / 1000;
    return `${seconds.toFixed(1)} s  ${states} states  ${rate(states, seconds)}/s  ${frontier} wait  ${steps} steps from the start`;
  };
  await inSlices(() => exploration.run(256), line, course);
  const shortest = exploration.left();
  const result = exploration.finish();
  return shortest === undefined || result.verdict === 'violation' ? { result } : { result, shortest };
}

/** On this thread, from the start: the only way to see every loop of states. */
async function searchStates(
  target: Target,
  { depth, bytes }: { depth: number; bytes: number },
  course: Course,
): Promise<Explored> {
  const { StateExploration } = await import('../explore/search/explore-states.js');
  const exploration = new StateExploration(target, { states: MOST_STATES, depth, bytes, stop: () => false });
  const line = (): string => {
    const { states, frontier, share } = exploration.progress;
    return searchLine(course, states, frontier, share);
  };
  await inSlices(() => exploration.run(256), line, course);
  const left = exploration.left();
  const result = exploration.finish();
  return left === undefined || result.verdict === 'violation' ? { result } : { result, left };
}

/** On several threads, or from where an earlier search was stopped. */
async function searchStatesOnPool(
  target: Target,
  job: Omit<ExploreJob, 'strategy' | 'seed'>,
  { workers, depth, bytes, from }: { workers: number; depth: number; bytes: number; from: Frontier | undefined },
  course: Course,
): Promise<Explored> {
  const { over, draw } = course;
  const { searchOnPool } = await import('../explore/search/search-pool.js');
  const { resultOfSearch, wholeSearch } = await import('../explore/search/search-result.js');
  let seen = { frontier: 0, share: 0 };
  const progress = ({ states, frontier, share }: { states: number; frontier: number; share: number }): void => {
    seen = { frontier, share: Math.min(1, share) };
    if (draw) drawProgress(searchLine(course, states, frontier, share));
  };
  const limits = { workers, states: MOST_STATES, depth, bytes, over, progress };
  const search = await searchOnPool(job, from ?? wholeSearch(target), limits);
  if (draw) process.stderr.write('\r\u001B[K');
  const result = resultOfSearch(target, search.found, false);
  const { rest, visited } = search;
  if (rest.parts.length === 0 || result.verdict === 'violation') return { result };
  return { result: { ...result, ...seen }, left: { rest, visited } };
}

/** Whether a progress line is drawn. */
export function drawsProgress({ quiet, json }: { quiet?: boolean; json?: boolean }): boolean {
  return quiet !== true && json !== true && process.stderr.isTTY && process.env['CI'] === undefined;
}

function drawProgress(line: string): void {
  process.stderr.write(`\r\u001B[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}
