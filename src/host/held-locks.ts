// The locks a task holds: as lockdep noted them, or, in builds that keep no such list, those whose owner field names the task.
import * as layout from '../kernel/abi/layout.js';
import { HELD_CLASS_MASK, LOCK_CLASS, LOCK_OWNER, LOCK_WORD, OWNER_MASK, OWNER_READER } from '../kernel/abi/sync.js';
import { lockClassName } from './lock-classes.js';
import { namedLocks, objectName } from './names.js';
import type { Shard } from './shard.js';

/** One lock in a task's hands. */
export interface HeldLock {
  lock: number;
  /** `vm0.mmu_lock (mmu)` */
  text: string;
}

/** Builds whose threads note each lock they take. */
const LISTED = new Set(['perturbed', 'controlled']);

/** Whether the threads of this build list what they hold; else a reader that is not the last one in goes unseen. */
export function listsLocks(shard: Shard): boolean {
  return LISTED.has(shard.handle.build);
}

/** The locks `task` holds, oldest first. Lockdep notes a lock before the wait for it: that one is left out. */
export function heldByTask(shard: Shard, task: number): HeldLock[] {
  return listsLocks(shard) ? listed(shard, task) : owned(shard, task);
}

function listed(shard: Shard, task: number): HeldLock[] {
  const at = (shard.words[layout.SH_TASKS / 4]! >>> 0) + task * layout.TASK_SIZE;
  const view = new DataView(shard.buffer, at, layout.TASK_SIZE);
  const count = Math.min(view.getUint32(layout.TASK_HELD_COUNT, true), layout.HELD_MAX);
  const awaited = view.getUint32(layout.TASK_WAIT_LOCK, true);
  const held: HeldLock[] = [];
  for (let n = 0; n < count; n++) {
    const lock = view.getUint32(layout.TASK_HELD + n * 8, true);
    if (lock === awaited) continue;
    const lockClass = view.getUint32(layout.TASK_HELD + n * 8 + 4, true) & HELD_CLASS_MASK;
    held.push({ lock, text: `${objectName(shard, lock)} (${lockClassName(lockClass)})` });
  }
  return held;
}

/** Looks at the locks that have names. A reader is noted as the last that came in: it may have left again while others are still inside. */
function owned(shard: Shard, task: number): HeldLock[] {
  return namedLocks(shard).flatMap((lock) => {
    const view = new DataView(shard.buffer, lock, 16);
    const owner = view.getUint32(LOCK_OWNER, true);
    if ((owner & OWNER_MASK) !== task + 1 || view.getUint32(LOCK_WORD, true) === 0) return [];
    const perhaps = (owner & OWNER_READER) === 0 ? '' : ', perhaps';
    return [
      { lock, text: `${objectName(shard, lock)} (${lockClassName(view.getUint32(LOCK_CLASS, true))}${perhaps})` },
    ];
  });
}
