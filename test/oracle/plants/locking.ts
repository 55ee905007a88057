// Misuse of locks, each rule of lockdep's once. test/kernel/sync has every kind of lock against each of them, and the nearest legal use.
import { LC_RCU, LC_USER } from '#src/kernel/abi/classes.js';
import { HELD_MAX } from '#src/kernel/abi/layout.js';
import * as codes from '#src/kernel/abi/oops.js';
import type { TestKernel } from '../../kernel/harness.js';
import type { Plant } from './plant.js';

const LOCKDEP = 'sync/lockdep.ts';
const [A, B, S, T] = [LC_USER, LC_USER + 1, LC_USER + 2, LC_USER + 3];

/** Mutexes a and b, an srcu s and a spinlock t, of the classes above. */
function stage({ x, alloc }: TestKernel) {
  const [a, b, s, t] = [alloc(64), alloc(64), alloc(64), alloc(64)];
  x.mutexInit(a, A);
  x.mutexInit(b, B);
  x.srcuInit(s, S);
  x.spinLockInit(t, T);
  const inside = (lock: number, body: () => void): void => {
    x.mutexLock(lock);
    body();
    x.mutexUnlock(lock);
  };
  return { x, a, b, s, t, inside };
}

const MUTEXES: Plant[] = [
  {
    code: codes.OOPS_UNLOCK_NOT_OWNER,
    at: LOCKDEP,
    title: 'a lock that is given back twice',
    prepare({ k }) {
      const { x, a, inside } = stage(k);
      inside(a, () => {});
      return { values: [a, A, -1], make: () => x.mutexUnlock(a) };
    },
  },
  {
    code: codes.OOPS_RECURSIVE_LOCK,
    at: LOCKDEP,
    title: 'a lock that is taken twice',
    prepare({ k }) {
      const { x, a, inside } = stage(k);
      inside(a, () => {});
      return { values: [a, A], make: () => inside(a, () => x.mutexLock(a)) };
    },
  },
  {
    code: codes.OOPS_LOCK_ORDER,
    at: LOCKDEP,
    title: 'two locks in both orders',
    prepare({ k }) {
      const { a, b, inside } = stage(k);
      inside(a, () => inside(b, () => {}));
      return { values: [B, A, a, A], make: () => inside(b, () => inside(a, () => {})) };
    },
  },
  {
    code: codes.OOPS_HELD_AT_EXIT,
    at: LOCKDEP,
    title: 'a system call that returns with a lock held',
    prepare({ k }) {
      const { x, a } = stage(k);
      x.lockdepHeldNothing();
      return { values: [a, A], make: () => (x.mutexLock(a), x.lockdepHeldNothing()) };
    },
  },
  {
    code: codes.OOPS_HELD_AT_EXIT,
    at: 'task.ts',
    title: 'a task that ends with a lock held',
    prepare({ k }) {
      const { x, a } = stage(k);
      return { values: [0, 0], make: () => (x.mutexLock(a), x.taskDetach()) };
    },
  },
];

const SLEEPING: Plant[] = [
  {
    code: codes.OOPS_SLEEP_IN_ATOMIC,
    at: LOCKDEP,
    title: 'a mutex inside a spinlock',
    prepare({ k }) {
      const { x, a, t, inside } = stage(k);
      inside(a, () => (x.spinLock(t), x.spinUnlock(t)));
      return { values: [T, A], make: () => (x.spinLock(t), x.mutexLock(a)) };
    },
  },
  {
    code: codes.OOPS_SLEEP_IN_ATOMIC,
    at: LOCKDEP,
    title: 'a mutex inside rcu_read_lock()',
    prepare({ k }) {
      const { x, a, inside } = stage(k);
      inside(a, () => (x.rcuReadLock(), x.rcuReadUnlock()));
      return { values: [LC_RCU, A], make: () => (x.rcuReadLock(), x.mutexLock(a)) };
    },
  },
];

const READERS: Plant[] = [
  {
    code: codes.OOPS_GP_IN_READER,
    at: LOCKDEP,
    title: 'a grace period inside its own read section',
    prepare({ k }) {
      const { x, s } = stage(k);
      x.srcuReadUnlock(s, x.srcuReadLock(s));
      x.synchronizeSrcu(s);
      return { values: [s], make: () => (x.srcuReadLock(s), x.synchronizeSrcu(s)) };
    },
  },
  {
    code: codes.OOPS_LOCK_ORDER,
    at: LOCKDEP,
    title: 'a grace period inside a read section of another of its class',
    prepare({ k }) {
      const { x, s } = stage(k);
      const second = k.alloc(64);
      x.srcuInit(second, S);
      x.synchronizeSrcu(second);
      return { values: [S, S, second], make: () => (x.srcuReadLock(s), x.synchronizeSrcu(second)) };
    },
  },
  {
    code: codes.OOPS_HELD_OVERFLOW,
    at: LOCKDEP,
    title: 'more read sections than the held stack has room for',
    prepare({ k }) {
      const { x, s } = stage(k);
      const sections = Array.from({ length: HELD_MAX - 1 }, () => x.srcuReadLock(s));
      for (const idx of sections) x.srcuReadUnlock(s, idx);
      return {
        values: [s, S],
        make() {
          for (let n = 0; n <= HELD_MAX; n++) x.srcuReadLock(s);
        },
      };
    },
  },
  {
    code: codes.OOPS_SRCU_ACTIVE_CLEANUP,
    at: 'sync/srcu.ts',
    title: 'an srcu that is destroyed with a reader inside',
    prepare({ k }) {
      const { x, s } = stage(k);
      const other = k.alloc(64);
      x.srcuInit(other, S);
      x.srcuCleanup(other);
      return { values: [s], make: () => (x.srcuReadLock(s), x.srcuCleanup(s)) };
    },
  },
];

export const LOCKING: readonly Plant[] = [...MUTEXES, ...SLEEPING, ...READERS];
