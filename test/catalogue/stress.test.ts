// Bugs of the catalogue on real threads: what fails under every schedule fails in the first attempts, and a fixed scenario does not.
import { expect, it } from 'vitest';
import { scenarioOf } from '#src/catalogue/bug.js';
import { BUGS } from '#src/catalogue/index.js';
import { nowNs } from '#src/host/clock.js';
import { stress, type StressOptions } from '#src/catalogue/stress.js';

const options: StressOptions = {
  seed: 1,
  executions: 50,
  milliseconds: Infinity,
  stuckMs: 60_000,
  nowMs: () => nowNs() / 1e6,
  stop: () => false,
};
const scenario = (id: string, buggy: boolean) =>
  scenarioOf(
    BUGS.find((bug) => bug.id === id)!,
    buggy,
  );

it.each(['B01', 'B05', 'B12', 'B30'])('%s fails', async (id) => {
  const { attempts, failure } = await stress(scenario(id, true), options);
  const verdicts = BUGS.find((bug) => bug.id === id)!.verdicts;
  // A livelock is seen as a fault without progress here.
  expect([...verdicts, 'progress']).toContain(failure?.kind);
  expect(attempts).toBeLessThanOrEqual(options.executions);
});

it('an expectation that is not met is a failure', async () => {
  const { failure } = await stress(scenario('B04', true), options);
  expect(failure).toEqual({ kind: 'expectation', message: "gfn 0x10 of guest 'guest' is not mapped at the end" });
});

it.each(['B03', 'B05', 'B61'])('%s does not fail without the mistake', async (id) => {
  expect(await stress(scenario(id, false), options)).toMatchObject({ attempts: 50 });
  expect((await stress(scenario(id, false), { ...options, seed: 2 })).failure).toBeUndefined();
});

it('threads that do not come to an end are stuck, and can be left', async () => {
  const { attempts, failure } = await stress(scenario('B03', false), { ...options, stuckMs: 0 });
  expect([attempts, failure?.kind]).toEqual([1, 'stuck']);
});

it('ends when its time is over, and when it is told to', async () => {
  expect((await stress(scenario('B03', false), { ...options, milliseconds: 0 })).attempts).toBe(1);
  let asked = 0;
  const stop = (): boolean => ++asked > 5;
  expect((await stress(scenario('B03', false), { ...options, stop })).attempts).toBe(6);
});
