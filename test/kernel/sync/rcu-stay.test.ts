// RCU during a stay in the kernel: the end of a section leaves its number published, so that the next one costs no barrier. Grace periods still wait for all
// sections that began before, and for nothing else: the end of a section, a look (rcuAllQs), a sleep and the end of the stay let them go on.
import { describe, expect, it } from 'vitest';
import { SUBSYS_SYNC, TASK_RCU_CTR } from '#src/kernel/abi/layout.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { until, waitersOf } from './support.js';

const BUILDS = ['fast', 'perturbed'] as const;
const published = (k: TestKernel): number => k.u32(k.x.taskAddress(0) + TASK_RCU_CTR);
const newest = (k: TestKernel): number => k.u32(SUBSYS_SYNC);
const waiting = (k: TestKernel): number => k.u32(SUBSYS_SYNC + 4);

/** A stay with a section behind it, and a thread that waits for a grace period. */
async function heldUp(k: TestKernel): Promise<{ over: boolean; run: Promise<unknown> }> {
  k.x.rcuUserExit();
  k.x.rcuReadLock();
  k.x.rcuReadUnlock();
  const state = { over: false, run: Promise.resolve() as Promise<unknown> };
  state.run = k.threads(1, (w) => w.x.synchronizeRcu(), 0).then(() => (state.over = true));
  await until(() => waiting(k) === 1 && waitersOf(k, SUBSYS_SYNC) === 1);
  return state;
}

describe.each(BUILDS)('a stay in the kernel (%s)', (build) => {
  it('leaves the number of the section published, and the next section renews it when a grace period has begun', () => {
    const k = bootKernel({ build });
    k.x.rcuUserExit();
    expect(published(k)).toBe(0);
    k.x.rcuReadLock();
    k.x.rcuReadUnlock();
    const first = published(k);
    expect(first).toBe(newest(k));
    // 126 frees close a block, which begins a grace period.
    for (let n = 0; n < 125; n++) k.x.kfreeRcu(k.x.kmalloc(64), 64);
    k.x.rcuReadLock();
    k.x.kfreeRcu(k.x.kmalloc(64), 64);
    expect([published(k), newest(k)]).toEqual([first, first + 1]);
    k.x.rcuReadUnlock();
    k.x.rcuReadLock();
    expect(published(k)).toBe(first + 1);
    k.x.rcuReadUnlock();
    k.x.rcuUserEnter();
    expect(published(k)).toBe(0);
  });

  it('nests: the number goes with the outermost stay', () => {
    const k = bootKernel({ build });
    k.x.rcuUserExit();
    k.x.rcuUserExit();
    k.x.rcuReadLock();
    k.x.rcuReadUnlock();
    k.x.rcuUserEnter();
    expect(published(k)).not.toBe(0);
    k.x.rcuUserEnter();
    expect(published(k)).toBe(0);
    k.x.rcuReadLock();
    k.x.rcuReadUnlock();
    expect(published(k)).toBe(0);
  });

  it.each<[string, (k: TestKernel) => void]>([
    [
      'the end of a section',
      (k) => {
        k.x.rcuReadLock();
        k.x.rcuReadUnlock();
      },
    ],
    ['a look', (k) => k.x.rcuAllQs()],
    ['a sleep', (k) => k.x.nap(50_000n)],
    ['a grace period of its own', (k) => k.x.synchronizeRcu()],
    ['the end of the stay', (k) => k.x.rcuUserEnter()],
  ])('holds a grace period up until %s', async (_, letGo) => {
    const k = bootKernel({ build });
    const state = await heldUp(k);
    expect(state.over).toBe(false);
    letGo(k);
    await state.run;
    expect(published(k)).toBe(0);
  });

  it('does not end a section that has begun: neither a look nor a sleep does', async () => {
    const k = bootKernel({ build });
    const state = await heldUp(k);
    k.x.rcuReadLock();
    k.x.rcuAllQs();
    k.x.rcuNoteContextSwitch();
    expect([state.over, published(k) === 0]).toEqual([false, false]);
    k.x.rcuReadUnlock();
    await state.run;
  });

  it('does not hold up the frees of its own task', () => {
    const k = bootKernel({ build });
    k.x.rcuUserExit();
    k.x.rcuReadLock();
    k.x.rcuReadUnlock();
    for (let n = 0; n < 126; n++) k.x.kfreeRcu(k.x.kmalloc(64), 64);
    k.x.rcuReclaim();
    expect(k.x.heapLive(k.x.taskAddress(0), 1)).toBe(0);
    k.x.rcuUserEnter();
  });
});

it('there is none in a kernel that injects delays: a section ends when it ends, so that a missing one shows', () => {
  const k = bootKernel({ perturbMeanPoints: 40, perturbNs: 1000 });
  k.x.rcuUserExit();
  k.x.rcuReadLock();
  k.x.rcuReadUnlock();
  expect(published(k)).toBe(0);
  k.x.rcuUserEnter();
});
