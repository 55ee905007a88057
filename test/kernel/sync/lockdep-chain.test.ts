// lockdep's chain cache: what it has checked once it does not check again, and that changes no verdict. Against a plain model without a cache,
// over sequences long enough for most chains to be known; and the ways in which a chain could be taken for one that was checked.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LC_NONE, LC_USER } from '#src/kernel/abi/classes.js';
import { SH_LOCKDEP, TASK_HELD, TASK_HELD_BOTTOM, TASK_HELD_COUNT } from '#src/kernel/abi/layout.js';
import { CHAIN_MAX, CHAIN_NONE, CHAIN_SHIFT } from '#src/kernel/abi/sync.js';
import { OOPS_LOCK_ORDER, OOPS_RECURSIVE_LOCK, OOPS_SLEEP_IN_ATOMIC } from '#src/kernel/abi/oops.js';
import { bootKernel } from '../harness.js';
import { violationOf } from './support.js';

const TASKS = 3;
const CLASSES = 6;
/** Where the table's count of chains lies. */
const COUNT = CHAIN_MAX * 1024;

/** A shard with one mutex of each class for each task: nobody ever blocks. */
function mutexes() {
  const k = bootKernel({ build: 'perturbed' });
  const at = k.alloc(64 * TASKS * CLASSES);
  const lockOf = (task: number, cls: number): number => at + 64 * (task * CLASSES + cls);
  for (let task = 0; task < TASKS; task++)
    for (let cls = 0; cls < CLASSES; cls++) k.x.mutexInit(lockOf(task, cls), LC_USER + cls);
  return { k, x: k.x, lockOf };
}

/** What lockdep has to find for exclusive locks: a class taken twice, or an edge that closes a cycle. Checks everything every time. */
class Model {
  readonly held: number[][] = Array.from({ length: TASKS }, () => []);
  readonly #after: Set<number>[] = Array.from({ length: CLASSES }, () => new Set());

  #reaches(from: number, to: number, seen = new Set<number>()): boolean {
    if (from === to) return true;
    seen.add(from);
    return [...this.#after[from]!].some((next) => !seen.has(next) && this.#reaches(next, to, seen));
  }

  /** The violation of taking a lock of this class, and the held stack afterwards. */
  lock(task: number, cls: number): number | undefined {
    if (this.held[task]!.includes(cls)) return OOPS_RECURSIVE_LOCK;
    for (const held of this.held[task]!) {
      if (!this.#after[held]!.has(cls) && this.#reaches(cls, held)) return OOPS_LOCK_ORDER;
      this.#after[held]!.add(cls);
    }
    this.held[task]!.push(cls);
    return undefined;
  }
}

const step = fc.record({
  task: fc.nat(TASKS - 1),
  cls: fc.nat(CLASSES - 1),
  action: fc.constantFrom('lock', 'lock', 'lock', 'try', 'release', 'release'),
  wild: fc.nat(40),
});

describe('the verdicts', () => {
  it('are those of a model without a cache, at the same call, for any sequence of locks, trylocks and releases in any order', () => {
    let reported = 0;
    const property = fc.property(fc.array(step, { minLength: 60, maxLength: 200, size: 'max' }), (steps) => {
      const { x, lockOf } = mutexes();
      const model = new Model();
      for (const { task, cls, action, wild } of steps) {
        x.taskBind(task);
        const held = model.held[task]!;
        const ordered = cls > Math.max(-1, ...held);
        if (action === 'release' || (!ordered && wild !== 0)) {
          if (held.length > 0) x.mutexUnlock(lockOf(task, held.splice(cls % held.length, 1)[0]!));
        } else if (action === 'try') {
          if (held.includes(cls)) continue;
          expect(x.mutexTrylock(lockOf(task, cls))).toBe(1);
          held.push(cls);
        } else {
          const expected = model.lock(task, cls);
          expect(violationOf(() => x.mutexLock(lockOf(task, cls)))?.code).toBe(expected);
          if (expected === undefined) continue;
          reported++;
          break;
        }
      }
    });
    fc.assert(property, { seed: 4096, numRuns: 120 });
    expect(reported).toBeGreaterThan(20);
  });
});

describe('a known chain', () => {
  it('is entered once, however often and by however many tasks it is taken, and none is left on the stack', () => {
    const { k, x, lockOf } = mutexes();
    const chains = (): number => k.u32(k.u32(SH_LOCKDEP) + COUNT);
    const before = chains();
    for (let round = 0; round < 5; round++) {
      for (let task = 0; task < TASKS; task++) {
        x.taskBind(task);
        for (let cls = 0; cls < CLASSES; cls++) x.mutexLock(lockOf(task, cls));
        for (let cls = CLASSES; cls-- > 0;) x.mutexUnlock(lockOf(task, cls));
        expect(k.u32(x.taskAddress(task) + TASK_HELD_COUNT)).toBe(0);
        expect(k.u32(x.taskAddress(task) + TASK_HELD_BOTTOM + 4)).toBe(0);
      }
    }
    expect(chains() - before).toBe(CLASSES);
  });

  it('by trylock is not the chain of a lock that may block', () => {
    const { x, lockOf } = mutexes();
    const [a, b] = [lockOf(0, 0), lockOf(0, 1)];
    x.mutexLock(a);
    x.mutexLock(b);
    x.mutexUnlock(b);
    x.mutexUnlock(a);
    x.mutexLock(b);
    x.mutexTrylock(a);
    x.mutexUnlock(a);
    expect(violationOf(() => x.mutexLock(a))?.code).toBe(OOPS_LOCK_ORDER);
  });

  it('of a downgraded lock is not that of one taken for read: the first lock taken inside is checked', () => {
    const { k, x, lockOf } = mutexes();
    const sem = k.alloc(64);
    x.rwsemInit(sem, LC_USER + CLASSES);
    const a = lockOf(0, 0);
    const insideDowngraded = (): void => {
      x.downWrite(sem);
      x.downgradeWrite(sem);
      x.mutexLock(a);
      x.mutexUnlock(a);
      x.upRead(sem);
    };
    for (let n = 0; n < 3; n++) insideDowngraded();
    x.mutexLock(a);
    expect(violationOf(() => x.downRead(sem))?.code).toBe(OOPS_LOCK_ORDER);
  });

  it('does not cover a mutex under a spinlock which itself lies under other locks', () => {
    const { k, x, lockOf } = mutexes();
    const spin = k.alloc(64);
    x.spinLockInit(spin, LC_USER + CLASSES);
    x.mutexLock(lockOf(0, 0));
    x.mutexLock(lockOf(0, 1));
    x.mutexUnlock(lockOf(0, 1));
    x.spinLock(spin);
    expect(violationOf(() => x.mutexLock(lockOf(0, 1)))?.code).toBe(OOPS_SLEEP_IN_ATOMIC);
  });

  it('has no lock without a class in it: such locks are told apart by address, each time', () => {
    const { k, x, lockOf } = mutexes();
    const [first, second] = [k.alloc(64), k.alloc(64)];
    x.mutexInit(first, LC_NONE);
    x.mutexInit(second, LC_NONE);
    for (let n = 0; n < 3; n++) {
      x.mutexLock(first);
      x.mutexLock(second);
      x.mutexLock(lockOf(0, 0));
      expect(k.u32(x.taskAddress(0) + TASK_HELD + 16 + 4) >>> CHAIN_SHIFT).toBe(CHAIN_NONE);
      x.mutexUnlock(lockOf(0, 0));
      x.mutexUnlock(second);
      x.mutexUnlock(first);
    }
    x.mutexLock(first);
    expect(violationOf(() => x.mutexLock(first))?.code).toBe(OOPS_RECURSIVE_LOCK);
  });
});

it('a table without room leaves chains without a number, and inversions are found all the same', () => {
  const { k, x, lockOf } = mutexes();
  k.words[(k.u32(SH_LOCKDEP) + COUNT) / 4] = CHAIN_NONE - 1;
  const [a, b] = [lockOf(0, 0), lockOf(0, 1)];
  x.mutexLock(a);
  x.mutexLock(b);
  expect(k.u32(x.taskAddress(0) + TASK_HELD + 8 + 4) >>> CHAIN_SHIFT).toBe(CHAIN_NONE);
  x.mutexUnlock(b);
  x.mutexUnlock(a);
  x.mutexLock(b);
  expect(violationOf(() => x.mutexLock(a))?.code).toBe(OOPS_LOCK_ORDER);
});
