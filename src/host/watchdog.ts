// The watchdog's eyes: reads the tasks' own notes in shared memory and says who waits for what, who holds it and who gives no sign of life. It only
// looks; supervisor.ts draws the conclusions.
import * as layout from '../kernel/abi/layout.js';
import * as abi from '../kernel/abi/program.js';
import { LOCK_CLASS, LOCK_OWNER, OWNER_MASK, OWNER_READER } from '../kernel/abi/sync.js';
import { nowNs } from './clock.js';
import { heldByTask, listsLocks } from './held-locks.js';
import { lockClassName } from './lock-classes.js';
import { objectName } from './names.js';
import type { Shard } from './shard.js';

const WAITS: Record<number, string> = {
  [layout.WAIT_SPIN]: 'spinning on',
  [layout.WAIT_MUTEX]: 'waiting for mutex',
  [layout.WAIT_RWSEM_READ]: 'waiting to read',
  [layout.WAIT_RWSEM_WRITE]: 'waiting to write',
  [layout.WAIT_READ_LOCK]: 'waiting for read lock',
  [layout.WAIT_WRITE_LOCK]: 'waiting for write lock',
  [layout.WAIT_SRCU]: 'in synchronize_srcu of',
  [layout.WAIT_RCU]: 'in synchronize_rcu of',
  [layout.WAIT_RCUWAIT]: 'in rcuwait of',
  [layout.WAIT_IPI]: 'waiting for the IPI of',
  [layout.WAIT_BARRIER]: 'at barrier',
  [layout.WAIT_JOB]: 'waiting for home workers',
  [layout.WAIT_RING]: 'waiting at ring',
};

/** What people call a task: `task5`, or with the actor that it runs `task5 (vcpu0)`. */
export type TaskLabel = (task: number) => string;

const plainLabel: TaskLabel = (task) => `task${task}`;

/** One task as it stands now. */
export interface TaskState {
  task: number;
  name: string;
  alive: boolean;
  /** What it waits for and since when; absent when it waits for nothing. */
  waits?: { kind: string; lock: number; on: string; sinceMs: number; holder: string };
  /** Names of the locks it holds, with their classes. */
  holds: string[];
  heartbeat: number;
  /** It runs a program of the pool's, so it must give signs of life. */
  works: boolean;
}

/** One task that makes no progress. */
export interface StuckTask {
  task: number;
  waitedMs: number;
  text: string;
}

/** All tasks whose thread is in the shard, or died in it. Taken while they run: each task's line is true, all together are not one instant. */
export function taskStates(shard: Shard, label: TaskLabel = plainLabel): TaskState[] {
  const count = shard.words[layout.SH_MAX_TASKS / 4]!;
  return Array.from({ length: count }, (_, task) => task)
    .filter((task) => word(shard, task, layout.TASK_STATE) === layout.TASK_RUNNING)
    .map((task) => taskState(shard, task, label));
}

function taskState(shard: Shard, task: number, label: TaskLabel): TaskState {
  const lock = word(shard, task, layout.TASK_WAIT_LOCK) >>> 0;
  const alive = word(shard, task, layout.TASK_KILLED) === 0;
  const state: TaskState = {
    task,
    name: label(task),
    alive,
    holds: heldByTask(shard, task).map(({ text }) => text),
    heartbeat: word(shard, task, layout.TASK_HEARTBEAT),
    works: word(shard, task, layout.TASK_PROGRAM) !== 0,
  };
  if (lock === 0 || !alive) return state;
  const view = new DataView(shard.buffer, taskBase(shard, task), layout.TASK_SIZE);
  const kind = WAITS[view.getUint32(layout.TASK_WAIT_KIND, true)] ?? 'waiting for';
  const sinceMs = view.getFloat64(layout.TASK_WAIT_SINCE_NS, true) / 1e6;
  return { ...state, waits: { kind, lock, on: objectName(shard, lock), sinceMs, holder: holder(shard, lock, label) } };
}

/**
 * Tasks that have been in one wait for at least `limitMs`, each with the holder of what it waits for. Only time after `fromMs` (of the monotonic clock)
 * counts: while the whole process was stopped nobody could make progress.
 */
export function stuckTasks(shard: Shard, limitMs: number, fromMs = 0, label: TaskLabel = plainLabel): StuckTask[] {
  const nowMs = nowNs() / 1e6;
  return taskStates(shard, label).flatMap(({ task, name, waits, holds }) => {
    if (waits === undefined) return [];
    const waitedMs = nowMs - Math.max(waits.sinceMs, fromMs);
    if (waitedMs < limitMs) return [];
    const text = `${name} ${waits.kind} ${waits.on} for ${Math.round(waitedMs)} ms; ${waits.holder}; it holds ${list(shard, holds)}`;
    return [{ task, waitedMs, text }];
  });
}

/** When a task last gave a sign of life. */
export interface Sign {
  heartbeat: number;
  sinceMs: number;
}

/**
 * Tasks that run a program, wait for nothing and have given no sign of life for at least `limitMs`: a loop without end, or a hook of the user's that does
 * not come back. `signs` is what the caller's earlier looks have seen, by task.
 */
export function silentTasks(
  shard: Shard,
  signs: Map<number, Sign>,
  limitMs: number,
  label: TaskLabel = plainLabel,
): StuckTask[] {
  const nowMs = nowNs() / 1e6;
  return taskStates(shard, label).flatMap(({ task, name, alive, works, waits, holds, heartbeat }) => {
    const sign = signs.get(task);
    if (!alive || !works || waits !== undefined || sign?.heartbeat !== heartbeat) {
      signs.set(task, { heartbeat, sinceMs: nowMs });
      return [];
    }
    const waitedMs = nowMs - sign.sinceMs;
    if (waitedMs < limitMs) return [];
    const text = `${name} gave no sign of life for ${Math.round(waitedMs)} ms; it holds ${list(shard, holds)}; ${waitersOf(shard, task, label)}`;
    return [{ task, waitedMs, text }];
  });
}

/** What a program had finished at an earlier look. */
export interface Progress {
  program: number;
  done: bigint;
  sinceMs: number;
}

/**
 * Tasks that give signs of life but have not finished an operation for `limitMs` longer than their pace allows: they retry for ever, in builds whose
 * oracles do not see it. Only time after `fromMs` counts. `progress` is what the caller's earlier looks have seen, by task.
 */
export function loopingTasks(
  shard: Shard,
  progress: Map<number, Progress>,
  limitMs: number,
  fromMs = 0,
  label: TaskLabel = plainLabel,
): StuckTask[] {
  const nowMs = nowNs() / 1e6;
  return taskStates(shard, label).flatMap(({ task, name, alive, works, holds }) => {
    const program = word(shard, task, layout.TASK_PROGRAM) >>> 0;
    if (!alive || !works) return [];
    const view = new DataView(shard.buffer, program, abi.PROGRAM_SIZE);
    const done = view.getBigUint64(abi.PR_DONE, true);
    const startMs = view.getFloat64(abi.PR_START_NS, true) / 1e6;
    const before = progress.get(task);
    const isHome = view.getUint32(abi.PR_KIND, true) === abi.ACTOR_HOME_WORKER;
    if (isHome || startMs === 0 || startMs > nowMs || before?.program !== program || before.done !== done) {
      progress.set(task, { program, done, sinceMs: nowMs });
      return [];
    }
    const waitedMs = nowMs - Math.max(before.sinceMs, fromMs) - view.getFloat64(abi.PR_INTERVAL_NS, true) / 1e6;
    if (waitedMs < limitMs) return [];
    const text = `${name} runs but has finished no operation for ${Math.round(waitedMs)} ms; it holds ${list(shard, holds)}; ${waitersOf(shard, task, label)}`;
    return [{ task, waitedMs, text }];
  });
}

/** Who waits for what `task` holds, as a clause. */
export function waitersOf(shard: Shard, task: number, label: TaskLabel = plainLabel): string {
  const held = new Set(heldByTask(shard, task).map(({ lock }) => lock));
  const waiters = taskStates(shard, label).filter(
    ({ waits }) => waits !== undefined && (held.has(waits.lock) || ownerOf(shard, waits.lock) === task),
  );
  if (waiters.length === 0) return 'nobody waits for it';
  return waiters.map(({ name, waits }) => `${name} is ${waits!.kind} ${waits!.on}`).join(', ');
}

/** The locks a task holds, as text. */
export function heldLocks(shard: Shard, task: number): string {
  return list(
    shard,
    heldByTask(shard, task).map(({ text }) => text),
  );
}

/** Notes that the thread of a task is gone: what it holds stays held. */
export function markKilled(shard: Shard, task: number): void {
  Atomics.store(shard.words, (taskBase(shard, task) + layout.TASK_KILLED) / 4, 1);
}

function holder(shard: Shard, lock: number, label: TaskLabel): string {
  const view = new DataView(shard.buffer, lock, 16);
  const lockClass = `class ${lockClassName(view.getUint32(LOCK_CLASS, true))}`;
  const task = ownerOf(shard, lock);
  if (task === undefined) return `${lockClass}, no owner noted`;
  if (task >= shard.words[layout.SH_MAX_TASKS / 4]!) return lockClass;
  const who = `${label(task)}${word(shard, task, layout.TASK_KILLED) === 0 ? '' : ', whose thread is dead'}`;
  const reader = (view.getUint32(LOCK_OWNER, true) & OWNER_READER) !== 0;
  return `${lockClass}, held by ${who}${reader ? ' (a reader, perhaps one of several)' : ''}`;
}

function ownerOf(shard: Shard, lock: number): number | undefined {
  const owner = new DataView(shard.buffer, lock, 16).getUint32(LOCK_OWNER, true) & OWNER_MASK;
  return owner === 0 ? undefined : owner - 1;
}

function taskBase(shard: Shard, task: number): number {
  return (shard.words[layout.SH_TASKS / 4]! >>> 0) + task * layout.TASK_SIZE;
}

function word(shard: Shard, task: number, offset: number): number {
  return Atomics.load(shard.words, (taskBase(shard, task) + offset) / 4);
}

function list(shard: Shard, names: readonly string[]): string {
  if (names.length > 0) return names.join(', ');
  return listsLocks(shard) ? 'nothing' : 'nothing that this build notes';
}
