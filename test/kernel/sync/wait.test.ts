// rcuwait and barrier: no wake-up is lost, whoever comes first.
import { expect, it } from 'vitest';
import { bootKernel } from '../harness.js';

it('rcuwait: the waiter sees every condition that was made true before the wake-up', async () => {
  const k = bootKernel({ perturbMeanPoints: 20, perturbNs: 20_000 });
  const w = k.alloc(16);
  const turn = k.alloc(64);
  k.x.rcuwaitInit(w);
  const rounds = 300;
  const runs = await k.threads(
    2,
    (t, index, arg) => {
      const at = arg.turn / 4;
      for (let n = 1; n <= arg.rounds; n++) {
        if (index === 0) {
          t.x.prepareToRcuwait(arg.w);
          while (Atomics.load(t.words, at) < n) t.x.rcuwaitSleep(arg.w);
          t.x.finishRcuwait(arg.w);
          Atomics.store(t.words, at + 1, n);
        } else {
          Atomics.store(t.words, at, n);
          t.x.rcuwaitWakeUp(arg.w);
          while (Atomics.load(t.words, at + 1) < n) Atomics.wait(t.words, at + 1, n - 1, 1);
        }
      }
      return Atomics.load(t.words, at + 1);
    },
    { w, turn, rounds },
  );
  expect(runs).toEqual([rounds, rounds]);
  expect(k.u32(w)).toBe(0);
});

it('rcuwait: a wake-up without a waiter does nothing', () => {
  const k = bootKernel();
  const w = k.alloc(16);
  k.x.rcuwaitInit(w);
  k.x.rcuwaitWakeUp(w);
  expect(k.u32(w)).toBe(0);
});

it('barrier: nobody leaves a generation before all have come, and all leave with its number', async () => {
  const k = bootKernel({ perturbMeanPoints: 20, perturbNs: 20_000 });
  const b = k.alloc(64);
  const shadow = k.alloc(64);
  const parties = 4;
  k.x.barrierInit(b, parties);
  const bad = await k.threads(
    parties,
    (t, _, arg) => {
      let wrong = 0;
      for (let n = 1; n <= 100; n++) {
        Atomics.add(t.words, arg.shadow / 4, 1);
        if (t.x.barrierWait(arg.b) !== 2 * n - 1) wrong++;
        if (Atomics.load(t.words, arg.shadow / 4) !== n * arg.parties) wrong++;
        t.x.barrierWait(arg.b);
      }
      return wrong;
    },
    { b, shadow, parties },
  );
  expect(bad).toEqual([0, 0, 0, 0]);
});
