// SRCU and RCU: a grace period outlives every read section that it found open. The strong test is rcutorture's: a writer moves
// elements that readers can no longer reach along a pipe of 10 ages, one age per grace period; a reader that sees an age above 1 in its section
// has been overtaken by a grace period that should have waited for it.
import { describe, expect, it } from 'vitest';
import { LC_USER } from '#src/kernel/abi/classes.js';
import { OOPS_GP_IN_READER, OOPS_SRCU_ACTIVE_CLEANUP } from '#src/kernel/abi/oops.js';
import { SUBSYS_SYNC } from '#src/kernel/abi/layout.js';
import { V_PLANT_SRCU_NO_WAIT } from '#src/kernel/abi/variants.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { until, violationOf, waitersOf } from './support.js';

const SEQ = 16;

function boot(variants: number[] = []): { k: TestKernel; s: number } {
  const k = bootKernel({ variants, perturbMeanPoints: 40, perturbNs: 20_000 });
  const s = k.alloc(64);
  expect(k.x.srcuInit(s, LC_USER)).toBe(0);
  return { k, s };
}

interface Pipe {
  flavour: 'srcu' | 'srcu expedited' | 'rcu';
  s: number;
  /** +0 current element, +4 writer done, +8 nested readers' errors, +64 ages of 16 elements, +128 what readers saw, by age 0..10. */
  board: number;
  updates: number;
  readers: number;
}

/** Thread 0 updates, the others read; returns the updates made. */
function torture(k: TestKernel, index: number, { flavour, s, board, updates }: Pipe): number {
  const at = board / 4;
  const [ages, seen] = [at + 16, at + 32];
  if (index > 0) {
    for (let n = 0; Atomics.load(k.words, at + 1) === 0; n++) {
      const idx = flavour === 'rcu' ? (k.x.rcuReadLock(), 0) : k.x.srcuReadLock(s);
      const element = Atomics.load(k.words, at);
      for (let m = n % 50; m > 0; m--) Atomics.load(k.words, ages + element);
      const age = Atomics.load(k.words, ages + element);
      if (flavour === 'rcu') k.x.rcuReadUnlock();
      else k.x.srcuReadUnlock(s, idx);
      Atomics.add(k.words, seen + Math.min(age, 10), 1);
    }
    return 0;
  }
  const free = Array.from({ length: 15 }, (_, n) => n + 1);
  let retired: number[] = [];
  let n = 0;
  const stale = (): boolean => k.words.slice(seen + 2, seen + 11).some((count) => count > 0);
  for (; n < updates && !stale(); n++) {
    const fresh = free.pop()!;
    Atomics.store(k.words, ages + fresh, 0);
    const old = Atomics.exchange(k.words, at, fresh);
    retired.push(old);
    Atomics.add(k.words, ages + old, 1);
    if (flavour === 'rcu') k.x.synchronizeRcu();
    else if (flavour === 'srcu') k.x.synchronizeSrcu(s);
    else k.x.synchronizeSrcuExpedited(s);
    for (const element of retired) Atomics.add(k.words, ages + element, 1);
    free.unshift(...retired.filter((element) => Atomics.load(k.words, ages + element) >= 10));
    retired = retired.filter((element) => Atomics.load(k.words, ages + element) < 10);
  }
  Atomics.store(k.words, at + 1, 1);
  return n;
}

async function runPipe(k: TestKernel, plan: Omit<Pipe, 'board'>): Promise<{ seen: number[]; updates: number }> {
  const board = k.alloc(256);
  const [updates] = await k.threads(1 + plan.readers, torture, { ...plan, board });
  return { seen: Array.from(k.words.subarray(board / 4 + 32, board / 4 + 43)), updates: updates! };
}

const sync = (k: TestKernel, _: number, s: number): void => k.x.synchronizeSrcu(s);

/** Objects of 64 bytes allocated and not freed. */
const live = (k: TestKernel): number => {
  let sum = 0;
  for (let task = 0; task < 16; task++) sum += k.x.heapLive(k.x.taskAddress(task), 1);
  return sum;
};

describe('age pipe', () => {
  it.each(['srcu', 'srcu expedited', 'rcu'] as const)(
    '%s: no reader sees an element age by more than one grace period',
    async (flavour) => {
      const { k, s } = boot();
      const { seen, updates } = await runPipe(k, { flavour, s, updates: 300, readers: 3 });
      expect(updates).toBe(300);
      expect(seen.slice(2)).toEqual(Array(9).fill(0));
      expect(seen[0]! + seen[1]!).toBeGreaterThan(0);
    },
  );

  it('the oracle fires when synchronize_srcu does not wait', async () => {
    const { k, s } = boot([V_PLANT_SRCU_NO_WAIT]);
    const { seen } = await runPipe(k, { flavour: 'srcu', s, updates: 1_000_000, readers: 3 });
    expect(seen.slice(2).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  });
});

describe('SRCU', () => {
  it('waits for the sections that began before the call, not for later ones', async () => {
    const { k, s } = boot();
    const first = k.x.srcuReadLock(s);
    const run = k.threads(1, sync, s);
    await until(() => waitersOf(k, s) === 1 && (k.u32(s) & 1) !== first);
    const second = k.x.srcuReadLock(s);
    expect(second).toBe(1 - first);
    expect(waitersOf(k, s)).toBe(1);
    k.x.srcuReadUnlock(s, first);
    await run;
    k.x.srcuReadUnlock(s, second);
    k.x.srcuCleanup(s);
  });

  it('nested sections across a flip are in different banks, and each keeps its own grace period waiting', async () => {
    const { k, s } = boot();
    const outer = k.x.srcuReadLock(s);
    const one = k.threads(1, sync, s);
    await until(() => (k.u32(s) & 1) !== outer);
    const inner = k.x.srcuReadLock(s);
    k.x.srcuReadUnlock(s, outer);
    await one;
    const two = k.threads(1, sync, s);
    await until(() => waitersOf(k, s) === 1);
    k.x.srcuReadUnlock(s, inner);
    await two;
    expect(waitersOf(k, s)).toBe(0);
  });

  it('callers who come during a grace period share the next one', async () => {
    const { k, s } = boot();
    const idx = k.x.srcuReadLock(s);
    const run = k.threads(6, sync, s);
    await until(() => waitersOf(k, s) === 6);
    k.x.srcuReadUnlock(s, idx);
    await run;
    // Two units of seq per grace period: the one that was running and the one for all others.
    expect(k.u32(s + SEQ)).toBeLessThanOrEqual(4);
    expect(k.u32(s + SEQ) % 2).toBe(0);
  });

  it('is reported, not waited for, inside an own read section', () => {
    const { k, s } = boot();
    k.x.srcuReadLock(s);
    expect(violationOf(() => k.x.synchronizeSrcu(s))).toMatchObject({
      code: OOPS_GP_IN_READER,
      values: [s, 0, 0, 0, 0],
    });
  });

  it('cleanup with a reader inside is reported', () => {
    const { k, s } = boot();
    k.x.srcuReadLock(s);
    expect(violationOf(() => k.x.srcuCleanup(s))?.code).toBe(OOPS_SRCU_ACTIVE_CLEANUP);
  });
});

describe('RCU', () => {
  it('synchronize_rcu waits for the outermost section only to end', async () => {
    const { k } = boot();
    k.x.rcuReadLock();
    k.x.rcuReadLock();
    const run = k.threads(1, (w) => w.x.synchronizeRcu(), 0);
    await until(() => waitersOf(k, SUBSYS_SYNC) === 1);
    k.x.rcuReadUnlock();
    expect(waitersOf(k, SUBSYS_SYNC)).toBe(1);
    k.x.rcuReadUnlock();
    await run;
    expect(waitersOf(k, SUBSYS_SYNC)).toBe(0);
  });

  it('kfree_rcu keeps objects while a reader may see them; rcu_barrier returns when those of all tasks are free', async () => {
    const { k } = boot();
    k.x.rcuReadLock();
    await k.threads(
      2,
      (w) => {
        for (let n = 0; n < 150; n++) w.x.kfreeRcu(w.x.kmalloc(64), 64);
      },
      0,
    );
    expect(live(k)).toBe(300);
    const run = k.threads(1, (w) => w.x.rcuBarrier(), 0);
    await until(() => waitersOf(k, SUBSYS_SYNC) === 1);
    expect(live(k)).toBe(300);
    k.x.rcuReadUnlock();
    await run;
    expect(live(k)).toBe(0);
  });

  it('kfree_rcu under a lock frees nothing: rcuReclaim does, behind the critical section', () => {
    const { k } = boot();
    for (let n = 0; n < 126; n++) k.x.kfreeRcu(k.x.kmalloc(64), 64);
    expect(live(k)).toBe(126);
    k.x.rcuReclaim();
    expect(live(k)).toBe(0);
  });

  it('rcuReclaim leaves what a reader may still see', async () => {
    const { k } = boot();
    k.x.rcuReadLock();
    await k.threads(
      1,
      (w) => {
        for (let n = 0; n < 126; n++) w.x.kfreeRcu(w.x.kmalloc(64), 64);
        w.x.rcuReclaim();
      },
      0,
    );
    expect(live(k)).toBe(126);
    k.x.rcuReadUnlock();
    k.x.rcuBarrier();
    expect(live(k)).toBe(0);
  });

  it('kfree_rcu frees by itself as it goes on, when no reader is in the way', () => {
    const { k } = boot();
    for (let n = 0; n < 1000; n++) k.x.kfreeRcu(k.x.kmalloc(64), 64);
    expect(live(k)).toBeLessThan(260);
    k.x.rcuBarrier();
    expect(live(k)).toBe(0);
  });
});
