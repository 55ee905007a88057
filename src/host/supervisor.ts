// Supervises one set of actors on the pool: a worker that dies, does not come up, waits for ever or falls silent fails the run, and who does not leave a
// failed run by itself is terminated. Nothing here waits: the host calls look() from a timer.
import * as layout from '../kernel/abi/layout.js';
import { nowNs } from './clock.js';
import type { Violation } from './errors.js';
import type { Log } from './log.js';
import type { Shard } from './shard.js';
import {
  heldLocks,
  loopingTasks,
  markKilled,
  silentTasks,
  stuckTasks,
  taskStates,
  waitersOf,
  type Progress,
  type Sign,
  type StuckTask,
} from './watchdog.js';

/** Starting a thread, with its modules, takes longer than any step of its work. */
const COME_UP_FACTOR = 10;
const COME_UP_MOST_MS = 60_000;
/** One operation may be long (a whole guest is zapped and its pages freed) as long as it gives signs of life. */
const LOOP_FACTOR = 10;
/** A stop that takes longer than this is worth a line. */
const SLOW_STOP_MS = 5000;

export interface Supervised {
  shard: Shard;
  /** Names of the actors by slot. */
  actors: readonly string[];
  /** Word `slot` is the actor's task id + 1 once it has attached, AWAY while its thread has left. */
  presence: SharedArrayBuffer;
  /** A thread without progress for this long fails the run; one that is still there as long afterwards is terminated. */
  stuckMs: number;
  fail(violation: Violation): void;
  /** Terminates the threads of the pool. */
  terminate(): void;
  log: Log;
}

export class Supervisor {
  readonly #run: Supervised;
  readonly #signs = new Map<number, Sign>();
  readonly #progress = new Map<number, Progress>();
  readonly #ended = new Set<number>();
  readonly #suspected = new Set<number>();
  #stopSeenMs: number | undefined;
  /** Time counts from here: later than the start when the process was stopped meanwhile. */
  #fromMs: number;
  #lastLookMs: number;
  #failedMs: number | undefined;
  #terminated = false;

  constructor(run: Supervised) {
    this.#run = run;
    this.#fromMs = this.#lastLookMs = nowNs() / 1e6;
  }

  /** How often look() should be called. */
  get intervalMs(): number {
    return Math.min(1000, this.#run.stuckMs / 4);
  }

  /** One look at all threads. */
  look(): void {
    const { shard, stuckMs } = this.#run;
    const nowMs = nowNs() / 1e6;
    const sinceLastMs = nowMs - this.#lastLookMs;
    this.#lastLookMs = nowMs;
    if (sinceLastMs > stuckMs / 2) {
      // The process was stopped (Ctrl-Z, a debugger) or this thread kept busy: nobody can be blamed for that time.
      this.#fromMs = nowMs;
      this.#signs.clear();
      return;
    }
    const stop = Atomics.load(shard.words, layout.SH_STOP / 4);
    if (stop !== 0) this.#noteSlowStop(nowMs);
    if (stop === layout.STOP_OOPS) this.#awaitEnd(nowMs);
    else this.#lookForStuck(nowMs);
  }

  /** The worker of actor `slot` has ended by itself, in order or not. */
  actorEnded(slot: number): void {
    this.#ended.add(slot);
  }

  /** The worker of actor `slot` is gone without a reply. What it held stays held, so nobody else may go on. */
  workerDied(slot: number, error: Error): void {
    const { shard, actors, stuckMs } = this.#run;
    this.#ended.add(slot);
    const task = this.#taskOf(slot);
    const how = this.#terminated
      ? `did not leave the failed run within ${Math.round(stuckMs)} ms and was terminated`
      : `died (${error.message})`;
    const held =
      task === undefined
        ? 'nothing: it had not attached'
        : `${heldLocks(shard, task)}; ${waitersOf(shard, task, this.#label)}`;
    this.#fail(`worker of ${actors[slot]} ${how} holding ${held}`, task);
    if (task !== undefined) markKilled(shard, task);
  }

  /** A failed run ends: who does not leave by itself is terminated. */
  #awaitEnd(nowMs: number): void {
    this.#failedMs ??= nowMs;
    if (this.#terminated || nowMs - Math.max(this.#failedMs, this.#fromMs) < this.#run.stuckMs) return;
    this.#terminated = true;
    this.#run.terminate();
  }

  #lookForStuck(nowMs: number): void {
    const { shard, actors, stuckMs } = this.#run;
    const suspects = [
      ...silentTasks(shard, this.#signs, stuckMs / 2, this.#label),
      ...stuckTasks(shard, stuckMs / 2, this.#fromMs, this.#label),
    ];
    this.#noteSuspects(suspects);
    for (const { task, text, waitedMs } of suspects) if (waitedMs >= stuckMs) this.#fail(`stuck: ${text}`, task);
    const comeUpMs = Math.max(stuckMs, Math.min(stuckMs * COME_UP_FACTOR, COME_UP_MOST_MS));
    const looping = loopingTasks(shard, this.#progress, stuckMs * LOOP_FACTOR, this.#fromMs, this.#label);
    for (const { task, text } of suspects.length > 0 ? [] : looping) this.#fail(`stuck: ${text}`, task);
    if (nowMs - this.#fromMs < comeUpMs) return;
    actors.forEach((name, slot) => {
      if (this.#ended.has(slot) || Atomics.load(new Int32Array(this.#run.presence), slot) !== 0) return;
      this.#fail(`stuck: worker of ${name} has not come up after ${Math.round(nowMs - this.#fromMs)} ms`, undefined);
    });
  }

  /** One line for each task that has used up half of its time, until it moves again. */
  #noteSuspects(suspects: readonly StuckTask[]): void {
    const tasks = new Set(suspects.map(({ task }) => task));
    for (const task of this.#suspected) if (!tasks.has(task)) this.#suspected.delete(task);
    for (const { task, text } of suspects) {
      if (!this.#suspected.has(task)) this.#run.log.warn({ task, stuckMs: this.#run.stuckMs }, `no progress: ${text}`);
      this.#suspected.add(task);
    }
  }

  #noteSlowStop(nowMs: number): void {
    if (this.#stopSeenMs === undefined) this.#stopSeenMs = nowMs;
    else if (nowMs - this.#stopSeenMs > Math.min(SLOW_STOP_MS, this.#run.stuckMs / 2)) {
      const actors = this.#run.actors.filter((_, slot) => !this.#ended.has(slot));
      if (actors.length > 0) this.#run.log.warn({ actors }, 'slow stop: these actors have not left yet');
      this.#stopSeenMs = Infinity;
    }
  }

  #taskOf(slot: number): number | undefined {
    const announced = Atomics.load(new Int32Array(this.#run.presence), slot);
    return announced <= 0 ? undefined : announced - 1;
  }

  readonly #label = (task: number): string => {
    const slot = this.#run.actors.findIndex((_, at) => this.#taskOf(at) === task);
    return slot < 0 ? `task${task}` : `task${task} (${this.#run.actors[slot]})`;
  };

  /** Fails the run, with all tasks as they stand in the details: who holds what, who waits for whom. */
  #fail(message: string, task: number | undefined): void {
    const nowMs = nowNs() / 1e6;
    const tasks = taskStates(this.#run.shard, this.#label).map(({ name, alive, waits, holds }) => ({
      task: name,
      alive,
      waits: waits === undefined ? null : `${waits.kind} ${waits.on} for ${Math.round(nowMs - waits.sinceMs)} ms`,
      holds,
    }));
    const thread = task === undefined ? 'no task' : `task${task}`;
    this.#run.log.error({ oracle: 'progress' }, message);
    this.#run.fail({ oracle: 'progress', message, thread, details: { tasks } });
  }
}
