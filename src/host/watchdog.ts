// The watchdog: reads the tasks' own notes in shared memory and says who waits for what and who holds it. It only looks; the verdict is the run's.
import * as layout from '../kernel/abi/layout.js';
import { HELD_CLASS_MASK, LOCK_CLASS, LOCK_OWNER, OWNER_MASK, OWNER_READER } from '../kernel/abi/sync.js';
import { nowNs } from './clock.js';
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

/** One task that has waited for one thing for too long. */
export interface StuckTask {
  task: number;
  waitedMs: number;
  text: string;
}

/** Tasks that have been in one wait for at least `limitMs`, each with the holder of what it waits for. */
export function stuckTasks(shard: Shard, limitMs: number): StuckTask[] {
  const stuck: StuckTask[] = [];
  const base = shard.words[layout.SH_TASKS / 4]! >>> 0;
  const count = shard.words[layout.SH_MAX_TASKS / 4]!;
  for (let task = 0; task < count; task++) {
    const at = base + task * layout.TASK_SIZE;
    const view = new DataView(shard.buffer, at, layout.TASK_SIZE);
    const lock = Atomics.load(shard.words, (at + layout.TASK_WAIT_LOCK) / 4) >>> 0;
    if (lock === 0 || view.getUint32(layout.TASK_STATE, true) !== layout.TASK_RUNNING) continue;
    const waitedMs = (nowNs() - view.getFloat64(layout.TASK_WAIT_SINCE_NS, true)) / 1e6;
    if (waitedMs < limitMs) continue;
    const kind = WAITS[view.getUint32(layout.TASK_WAIT_KIND, true)] ?? 'waiting for';
    stuck.push({
      task,
      waitedMs,
      text: `task${task} ${kind} ${objectName(shard, lock)} for ${Math.round(waitedMs)} ms; ${holder(shard, lock)}; it holds ${heldLocks(shard, task)}`,
    });
  }
  return stuck;
}

function holder(shard: Shard, lock: number): string {
  const view = new DataView(shard.buffer, lock, 16);
  const owner = view.getUint32(LOCK_OWNER, true);
  const lockClass = lockClassName(view.getUint32(LOCK_CLASS, true));
  if ((owner & OWNER_MASK) === 0) return `class ${lockClass}, no owner noted`;
  const task = (owner & OWNER_MASK) - 1;
  if (task >= shard.words[layout.SH_MAX_TASKS / 4]!) return `class ${lockClass}`;
  const killed = (shard.words[layout.SH_TASKS / 4]! >>> 0) + task * layout.TASK_SIZE + layout.TASK_KILLED;
  const who = `task${task}${Atomics.load(shard.words, killed / 4) === 0 ? '' : ', whose thread is dead'}`;
  return `class ${lockClass}, held by ${who}${(owner & OWNER_READER) !== 0 ? ' (a reader, perhaps one of several)' : ''}`;
}

/** Notes that the thread of a task is gone: what it holds stays held. */
export function markKilled(shard: Shard, task: number): void {
  const at = (shard.words[layout.SH_TASKS / 4]! >>> 0) + task * layout.TASK_SIZE;
  Atomics.store(shard.words, (at + layout.TASK_KILLED) / 4, 1);
}

/** The locks a task holds, as lockdep noted them; builds without lockdep keep no list. Lockdep notes a lock before the wait for it: that one is left out. */
export function heldLocks(shard: Shard, task: number): string {
  const at = (shard.words[layout.SH_TASKS / 4]! >>> 0) + task * layout.TASK_SIZE;
  const view = new DataView(shard.buffer, at, layout.TASK_SIZE);
  const count = Math.min(view.getUint32(layout.TASK_HELD_COUNT, true), layout.HELD_MAX);
  const awaited = view.getUint32(layout.TASK_WAIT_LOCK, true);
  const names = Array.from({ length: count }, (_, n) => n)
    .map((n) => ({
      lock: view.getUint32(layout.TASK_HELD + n * 8, true),
      lockClass: view.getUint32(layout.TASK_HELD + n * 8 + 4, true) & HELD_CLASS_MASK,
    }))
    .filter(({ lock }) => lock !== awaited)
    .map(({ lock, lockClass }) => `${objectName(shard, lock)} (${lockClassName(lockClass)})`);
  return names.length === 0 ? 'nothing' : names.join(', ');
}
