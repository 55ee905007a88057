// What the lock tests share: the one table of locks they run over, by the names of the kernel's exports (data, so that it can be sent to a
// thread), and ways to wait for a thread's state and to read a violation.
import { setImmediate } from 'node:timers/promises';
import { KernelOops } from '#src/host/errors.js';
import { SH_TASKS, TASK_SIZE, TASK_WAIT_LOCK } from '#src/kernel/abi/layout.js';
import type { TestKernel } from '../harness.js';

type Exports = TestKernel['x'];
/** Names of the exports that take a lock's address and return nothing, or whether they succeeded. */
type LockCall = { [K in keyof Exports]: Exports[K] extends (l: number) => number | void ? K : never }[keyof Exports];
type InitCall = {
  [K in keyof Exports]: Exports[K] extends (l: number, cls: number) => void ? K : never;
}[keyof Exports];

export interface Mode {
  lock: LockCall;
  tryLock: LockCall;
  unlock: LockCall;
}

export interface LockKind {
  name: string;
  init: InitCall;
  write: Mode;
  /** Shared mode, for the locks that have one. */
  read?: Mode;
  /** The holder of a spinning lock must not sleep. */
  spinning: boolean;
}

export const LOCKS: LockKind[] = [
  {
    name: 'spinlock',
    init: 'spinLockInit',
    write: { lock: 'spinLock', tryLock: 'spinTrylock', unlock: 'spinUnlock' },
    spinning: true,
  },
  {
    name: 'mutex',
    init: 'mutexInit',
    write: { lock: 'mutexLock', tryLock: 'mutexTrylock', unlock: 'mutexUnlock' },
    spinning: false,
  },
  {
    name: 'rwsem',
    init: 'rwsemInit',
    write: { lock: 'downWrite', tryLock: 'downWriteTrylock', unlock: 'upWrite' },
    read: { lock: 'downRead', tryLock: 'downReadTrylock', unlock: 'upRead' },
    spinning: false,
  },
  {
    name: 'rwlock',
    init: 'rwlockInit',
    write: { lock: 'writeLock', tryLock: 'writeTrylock', unlock: 'writeUnlock' },
    read: { lock: 'readLock', tryLock: 'readTrylock', unlock: 'readUnlock' },
    spinning: true,
  },
];

export const READER_LOCKS = LOCKS.filter((kind): kind is LockKind & { read: Mode } => kind.read !== undefined);

/** How many tasks wait for a lock now, as the watchdog counts them. */
export function waitersOf(k: TestKernel, lock: number): number {
  const tasks = k.u32(SH_TASKS);
  let count = 0;
  for (let id = 0; id < 16; id++) if (k.u32(tasks + id * TASK_SIZE + TASK_WAIT_LOCK) === lock) count++;
  return count;
}

/** Gives other threads time until the condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate();
}

/** Code and arguments of the violation that the call ends in; undefined when it ends well. */
export function violationOf(call: () => void): { code: number; values: number[] } | undefined {
  try {
    call();
  } catch (error) {
    if (!(error instanceof KernelOops)) throw error;
    const { code, values } = error.violations[0]!.details as { code: number; values: number[] };
    return { code, values };
  }
  return undefined;
}
