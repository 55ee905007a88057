// lockdep: each kind of violation is planted once and reported at the call that commits it, with its arguments; and the nearest legal use is
// not reported. One task is enough: lockdep finds orders, not deadlocks that happen.
import { describe, expect, it } from 'vitest';
import { LC_RCU, LC_USER } from '#src/kernel/abi/classes.js';
import { HELD_MAX, SUBSYS_SYNC, TASK_HELD_COUNT } from '#src/kernel/abi/layout.js';
import {
  OOPS_GP_IN_READER,
  OOPS_HELD_AT_EXIT,
  OOPS_HELD_OVERFLOW,
  OOPS_LOCK_ORDER,
  OOPS_RECURSIVE_LOCK,
  OOPS_SLEEP_IN_ATOMIC,
  OOPS_UNLOCK_NOT_OWNER,
} from '#src/kernel/abi/oops.js';
import { SITE_BARRIER, SITE_RCUWAIT, SITE_SYNCHRONIZE_RCU, SITE_SYNCHRONIZE_SRCU } from '#src/kernel/abi/sync.js';
import { bootKernel } from '../harness.js';
import { LOCKS, READER_LOCKS, violationOf } from './support.js';

const [A, B, C, S, W, T] = [LC_USER, LC_USER + 1, LC_USER + 2, LC_USER + 3, LC_USER + 4, LC_USER + 5];

/** A shard with mutexes a, b, c of classes A, B, C; an srcu s of class S; an rwsem w of class W; a spinlock t of class T. */
function stage() {
  const k = bootKernel({ build: 'perturbed' });
  const at = k.alloc(64 * 7);
  const [a, b, c, s, w, t, a2] = [0, 1, 2, 3, 4, 5, 6].map((n) => at + 64 * n) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  k.x.mutexInit(a, A);
  k.x.mutexInit(b, B);
  k.x.mutexInit(c, C);
  k.x.mutexInit(a2, A);
  k.x.srcuInit(s, S);
  k.x.rwsemInit(w, W);
  k.x.spinLockInit(t, T);
  const x = k.x;
  const inside = (lock: number, body: () => void): void => {
    x.mutexLock(lock);
    body();
    x.mutexUnlock(lock);
  };
  const reading = (body: () => void): void => {
    const idx = x.srcuReadLock(s);
    body();
    x.srcuReadUnlock(s, idx);
  };
  return { k, x, a, b, c, s, w, t, a2, inside, reading };
}

describe('lock order', () => {
  it('B taken under A, then A under B: reported when the second order first appears', () => {
    const { a, b, inside } = stage();
    inside(a, () => inside(b, () => {}));
    const found = violationOf(() => inside(b, () => inside(a, () => {})));
    expect(found).toMatchObject({ code: OOPS_LOCK_ORDER, values: [B, A, a, A, 0] });
  });

  it('a cycle over three classes is found, and the report names the class through which it closes', () => {
    const { a, b, c, inside } = stage();
    inside(a, () => inside(b, () => {}));
    inside(b, () => inside(c, () => {}));
    expect(violationOf(() => inside(c, () => inside(a, () => {})))).toMatchObject({
      code: OOPS_LOCK_ORDER,
      values: [C, A, a, B, 0],
    });
  });

  it('the same order again and again is no violation, nor are locks taken side by side', () => {
    const { a, b, c, inside } = stage();
    const call = (): void => {
      for (let n = 0; n < 3; n++) inside(a, () => (inside(b, () => {}), inside(c, () => {})));
      inside(c, () => {});
      inside(b, () => {});
      inside(a, () => {});
    };
    expect(violationOf(call)).toBeUndefined();
  });

  it('a trylock adds no edge, for it cannot block; a lock taken under it does', () => {
    const { x, a, b, inside } = stage();
    const tryInside = (outer: number, inner: number): void =>
      inside(outer, () => {
        expect(x.mutexTrylock(inner)).toBe(1);
        x.mutexUnlock(inner);
      });
    expect(violationOf(() => (inside(a, () => inside(b, () => {})), tryInside(b, a)))).toBeUndefined();
    x.mutexTrylock(b);
    expect(violationOf(() => x.mutexLock(a))?.code).toBe(OOPS_LOCK_ORDER);
  });

  it('releasing out of order keeps the held stack right', () => {
    const { k, x, a, b, c } = stage();
    for (const lock of [a, b, c]) x.mutexLock(lock);
    for (const lock of [a, c, b]) x.mutexUnlock(lock);
    expect(k.u32(x.taskAddress(0) + TASK_HELD_COUNT)).toBe(0);
    expect(violationOf(() => x.lockdepHeldNothing())).toBeUndefined();
  });
});

describe('recursion', () => {
  it.each(LOCKS)('$name: taking a lock that the task holds is reported instead of deadlocking', (kind) => {
    const k = bootKernel();
    const lock = k.alloc(64);
    k.x[kind.init](lock, A);
    k.x[kind.write.lock](lock);
    expect(violationOf(() => k.x[kind.write.lock](lock))).toMatchObject({
      code: OOPS_RECURSIVE_LOCK,
      values: [lock, A, 0, 0, 0],
    });
  });

  it.each(READER_LOCKS)('$name: a second read section is reported, a writer may be queued between them', (kind) => {
    const k = bootKernel();
    const lock = k.alloc(64);
    k.x[kind.init](lock, A);
    k.x[kind.read.lock](lock);
    expect(violationOf(() => k.x[kind.read.lock](lock))?.code).toBe(OOPS_RECURSIVE_LOCK);
  });

  it('two locks of one class nest only by trylock', () => {
    const { x, a, a2 } = stage();
    x.mutexLock(a);
    expect(x.mutexTrylock(a2)).toBe(1);
    x.mutexUnlock(a2);
    expect(violationOf(() => x.mutexLock(a2))).toMatchObject({ code: OOPS_RECURSIVE_LOCK, values: [a2, A, 0, 0, 0] });
  });

  it('SRCU and RCU read sections nest', () => {
    const { x, reading } = stage();
    const nest = (): void =>
      reading(() => reading(() => (x.rcuReadLock(), x.rcuReadLock(), x.rcuReadUnlock(), x.rcuReadUnlock())));
    expect(violationOf(nest)).toBeUndefined();
  });
});

describe('grace periods', () => {
  it('synchronize_srcu under a lock that a read section takes is an inversion (slots_lock inside kvm->srcu)', () => {
    const { x, a, s, inside, reading } = stage();
    reading(() => inside(a, () => {}));
    expect(violationOf(() => inside(a, () => x.synchronizeSrcu(s)))).toMatchObject({
      code: OOPS_LOCK_ORDER,
      values: [A, S, s, S, 0],
    });
  });

  it('the other way round it is found just as well: first the grace period under the lock, then the lock in a reader', () => {
    const { x, a, s, inside, reading } = stage();
    inside(a, () => x.synchronizeSrcu(s));
    expect(violationOf(() => reading(() => inside(a, () => {})))?.code).toBe(OOPS_LOCK_ORDER);
  });

  it('readers inside the lock and the lock inside readers are legal as long as nobody waits for readers under it', () => {
    const { a, inside, reading } = stage();
    expect(violationOf(() => (inside(a, () => reading(() => {})), reading(() => inside(a, () => {}))))).toBeUndefined();
  });

  it('the outer lock dropped before the grace period, as slots_arch_lock is, makes the pattern legal', () => {
    const { x, a, b, s, inside, reading } = stage();
    const legal = (): void => {
      reading(() => inside(b, () => {}));
      inside(a, () => {
        inside(b, () => {});
        x.synchronizeSrcu(s);
      });
    };
    expect(violationOf(legal)).toBeUndefined();
  });

  it.each(['synchronizeSrcu', 'synchronizeSrcuExpedited'] as const)(
    '%s inside a read section of the same srcu',
    (call) => {
      const { x, s, reading } = stage();
      expect(violationOf(() => reading(() => x[call](s)))).toMatchObject({
        code: OOPS_GP_IN_READER,
        values: [s, 0, 0, 0, 0],
      });
    },
  );

  it('synchronize_rcu and rcu_barrier inside rcu_read_lock', () => {
    for (const call of ['synchronizeRcu', 'rcuBarrier'] as const) {
      const { x } = stage();
      x.rcuReadLock();
      expect(violationOf(() => x[call]())).toMatchObject({
        code: OOPS_GP_IN_READER,
        values: [SUBSYS_SYNC, 0, 0, 0, 0],
      });
    }
  });
});

/** Each call that may sleep, with the site it is reported by. */
const sleepers = (): Record<
  string,
  { site: number; call: () => void; t: number; x: ReturnType<typeof stage>['x'] }
> => {
  const { k, x, a, s, w, t } = stage();
  const extra = k.alloc(128);
  x.barrierInit(extra, 1);
  x.rcuwaitInit(extra + 64);
  return Object.fromEntries(
    (
      [
        ['mutex_lock', A, () => x.mutexLock(a)],
        ['down_read', W, () => x.downRead(w)],
        ['down_write', W, () => x.downWrite(w)],
        ['synchronize_srcu', SITE_SYNCHRONIZE_SRCU, () => x.synchronizeSrcu(s)],
        ['synchronize_rcu', SITE_SYNCHRONIZE_RCU, () => x.synchronizeRcu()],
        ['rcuwait', SITE_RCUWAIT, () => x.rcuwaitSleep(extra + 64)],
        ['a barrier', SITE_BARRIER, () => x.barrierWait(extra)],
        ['might_sleep', 777, () => x.mightSleep(777)],
      ] as const
    ).map(([name, site, call]) => [name, { site, call, t, x }]),
  );
};

describe('sleeping in atomic context', () => {
  it.each(Object.keys(sleepers()))('%s under a spinlock', (name) => {
    const { site, call, t, x } = sleepers()[name]!;
    x.spinLock(t);
    expect(violationOf(call)).toMatchObject({ code: OOPS_SLEEP_IN_ATOMIC, values: [T, site, 0, 0, 0] });
  });

  it.each(['readLock', 'writeLock', 'writeTrylock'] as const)('a mutex under an rwlock taken by %s', (take) => {
    const { k, x, a } = stage();
    const lock = k.alloc(64);
    x.rwlockInit(lock, LC_USER + 9);
    x[take](lock);
    expect(violationOf(() => x.mutexLock(a))).toMatchObject({
      code: OOPS_SLEEP_IN_ATOMIC,
      values: [LC_USER + 9, A, 0, 0, 0],
    });
  });

  it('a mutex inside rcu_read_lock is reported, inside srcu_read_lock it is legal', () => {
    const { x, a, inside, reading } = stage();
    expect(violationOf(() => reading(() => inside(a, () => {})))).toBeUndefined();
    x.rcuReadLock();
    expect(violationOf(() => x.mutexLock(a))).toMatchObject({
      code: OOPS_SLEEP_IN_ATOMIC,
      values: [LC_RCU, A, 0, 0, 0],
    });
  });

  it('spinlocks nest, a trylock of a mutex is allowed, and after the last release in any order a task may sleep', () => {
    const { k, x, a, t } = stage();
    const lock = k.alloc(64);
    x.rwlockInit(lock, LC_USER + 9);
    const legal = (): void => {
      x.readLock(lock);
      x.spinLock(t);
      x.mutexTrylock(a);
      x.mutexUnlock(a);
      x.readUnlock(lock);
      x.spinUnlock(t);
      x.mutexLock(a);
      x.mutexUnlock(a);
    };
    expect(violationOf(legal)).toBeUndefined();
    expect(k.u32(x.taskAddress(0) + TASK_HELD_COUNT)).toBe(0);
  });
});

describe('ownership', () => {
  it.each(LOCKS)('$name: unlock by a task that does not hold it names the owner', (kind) => {
    const k = bootKernel();
    const lock = k.alloc(64);
    k.x[kind.init](lock, B);
    k.x[kind.write.lock](lock);
    k.x.taskBind(5);
    expect(violationOf(() => k.x[kind.write.unlock](lock))).toMatchObject({
      code: OOPS_UNLOCK_NOT_OWNER,
      values: [lock, B, 0, 0, 0],
    });
  });

  it('a second unlock is reported', () => {
    const { x, a, inside } = stage();
    inside(a, () => {});
    expect(violationOf(() => x.mutexUnlock(a))).toMatchObject({
      code: OOPS_UNLOCK_NOT_OWNER,
      values: [a, A, -1, 0, 0],
    });
  });

  it('a lock still held where none may be', () => {
    const { x, b } = stage();
    x.mutexLock(b);
    expect(violationOf(() => x.lockdepHeldNothing())).toMatchObject({
      code: OOPS_HELD_AT_EXIT,
      values: [b, B, 0, 0, 0],
    });
  });

  it('more locks than the stack holds', () => {
    const { x, s } = stage();
    for (let n = 0; n < HELD_MAX; n++) x.srcuReadLock(s);
    expect(violationOf(() => x.srcuReadLock(s))).toMatchObject({ code: OOPS_HELD_OVERFLOW, values: [s, S, 0, 0, 0] });
  });
});

it('a violation releases the threads that wait for a lock whose holder has stopped', async () => {
  const { k, x, a } = stage();
  x.mutexLock(a);
  const run = k.threads(1, (w, _, lock) => w.x.mutexLock(lock), a);
  const failed = expect(run).rejects.toMatchObject({ code: 'EOOPS' });
  expect(violationOf(() => x.mutexLock(a))?.code).toBe(OOPS_RECURSIVE_LOCK);
  await failed;
});
