// A search through schedules on several threads: a queue of parts, each explored for some executions by whoever is free, and what is left of it put back. Parts
// of a bound come before those of the next. What is in the queue when the search is stopped is what a later one goes on from.
import { Piscina } from 'piscina';
import type { ExploreResult } from './explore.js';
import { type ExploreJob, inOrder } from './pool.js';
import { type PartReply, type PartTask, scheduleSearch } from './schedule-part.js';
import type { SchedulePart } from './strategy.js';

/** Executions of a turn. */
const TURN = 500;
/** Parts that should lie in the queue for each worker. */
const PARTS_A_WORKER = 2;

/** What is left of a search. */
export interface Schedules {
  parts: SchedulePart[];
  /** What comes when all parts are through. */
  next?: SchedulePart | undefined;
  /** Nothing was met so far that leaves executions out. */
  isExhaustive: boolean;
}

export interface ScheduleLimits {
  workers: number;
  executions: number;
  /** Asked before each turn. */
  over: () => boolean;
  /** Called after each turn; `share` of the present bound's schedules may lie behind. */
  progress: (executions: number, distinctTraces: number, share: number) => void;
}

/** The whole search, nothing done. */
export function allSchedules(strategy: string): Schedules {
  return { parts: [scheduleSearch(strategy).rest()!], isExhaustive: true };
}

/** Searches until the first failure, the end or a limit. Which failure is the first depends on the threads' speed, where there are several. */
export async function searchSchedules(
  job: ExploreJob,
  from: Schedules,
  limits: ScheduleLimits,
): Promise<{ result: ExploreResult; left: Schedules }> {
  const { workers } = limits;
  const piscina = new Piscina({
    filename: new URL('../../workers/explorer.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
  });
  try {
    return await new ScheduleQueue(piscina, job, from, limits).run();
  } finally {
    await piscina.destroy();
  }
}

class ScheduleQueue {
  readonly #piscina: Piscina;
  readonly #job: ExploreJob;
  readonly #limits: ScheduleLimits;
  #queue: SchedulePart[];
  #next: SchedulePart | undefined;
  #isExhaustive: boolean;
  readonly #running = new Map<Promise<void>, SchedulePart>();
  readonly #replies: PartReply[] = [];
  readonly #traces = new Set<number>();
  /** Executions handed out, and made. */
  #begun = 0;
  #done = 0;
  #failing: PartReply | undefined;

  constructor(piscina: Piscina, job: ExploreJob, from: Schedules, limits: ScheduleLimits) {
    this.#piscina = piscina;
    this.#job = job;
    this.#limits = limits;
    this.#queue = [...from.parts];
    this.#next = from.next;
    this.#isExhaustive = from.isExhaustive;
  }

  async run(): Promise<{ result: ExploreResult; left: Schedules }> {
    for (;;) {
      while (this.#running.size < this.#limits.workers && this.#mayGoOn()) this.#start();
      if (this.#running.size === 0) break;
      await Promise.race(this.#running.keys());
    }
    const left = { parts: this.#queue, next: this.#next, isExhaustive: this.#isExhaustive };
    return { result: this.#result(), left };
  }

  /** Whether a part can be handed out now: the next bound's when all of this one's are through. */
  #mayGoOn(): boolean {
    if (this.#failing !== undefined || this.#limits.over() || this.#begun >= this.#limits.executions) return false;
    if (this.#queue.length > 0) return true;
    if (this.#running.size > 0 || this.#next === undefined) return false;
    this.#queue = [this.#next];
    this.#next = undefined;
    return true;
  }

  #start(): void {
    const part = this.#queue.shift()!;
    const { workers, executions: most } = this.#limits;
    const executions = Math.min(TURN, most - this.#begun);
    const wanted = workers === 1 ? 1 : Math.max(1, workers * PARTS_A_WORKER - this.#queue.length);
    const task: PartTask = { ...this.#job, part, executions, first: this.#begun, parts: wanted };
    this.#begun += executions;
    const turn: Promise<void> = this.#turn(task).finally(() => this.#running.delete(turn));
    this.#running.set(turn, part);
  }

  async #turn(task: PartTask): Promise<void> {
    const reply = (await this.#piscina.run(task)) as PartReply;
    const { result, rest, next, traces } = reply;
    this.#begun -= task.executions - result.executions;
    this.#done += result.executions;
    this.#replies.push(reply);
    // The largest first: they are divided soonest.
    this.#queue = [...this.#queue, ...rest].toSorted((a, b) => b.weight - a.weight);
    this.#next ??= next;
    this.#isExhaustive &&= reply.isExhaustive;
    if (result.violation !== undefined || result.nondeterminism !== undefined) this.#failing ??= reply;
    for (const trace of traces) this.#traces.add(trace);
    this.#limits.progress(this.#done, this.#traces.size, this.#share());
  }

  #share(): number {
    let left = 0;
    for (const { weight } of [...this.#queue, ...this.#running.values()]) left += weight;
    return Math.max(0, 1 - left);
  }

  #result(): ExploreResult {
    const failing = this.#failing;
    const others = this.#replies.filter((reply) => reply !== failing);
    const result = inOrder(this.#job, failing === undefined ? others : [...others, failing]);
    const exhausted =
      failing === undefined && this.#queue.length === 0 && this.#next === undefined && result.stepLimitHits === 0;
    const rest = exhausted ? {} : { share: this.#share() };
    return { ...result, exhausted, complete: exhausted && this.#isExhaustive, ...rest };
  }
}
