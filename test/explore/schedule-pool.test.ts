// Searches through schedules on several threads, and in several goes: the same executions as in one go on one thread, whoever makes them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readCheckpoint, writeCheckpoint } from '#src/explore/checkpoint.js';
import { explore } from '#src/explore/explore.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { SCENARIOS } from '#src/explore/scenarios/index.js';
import { allSchedules, type Schedules, searchSchedules } from '#src/explore/schedule-pool.js';
import { DelayBounding } from '#src/explore/strategies/delay-bounding.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import type { Target } from '#src/explore/target.js';

const LOADER = new URL('../../dist/src/cli/target.js', import.meta.url).href;
const folder = mkdtempSync(path.join(tmpdir(), 'schedules-'));
afterAll(() => rmSync(folder, { recursive: true }));

const targetOf = (name: string, variants: readonly string[] = []): Target =>
  scenarioTarget({ ...SCENARIOS.find((each) => each.name === name)!, variants });

const search = (
  what: string,
  strategy: string,
  from: Schedules,
  { executions = 1e6, variants = [] as string[] } = {},
): ReturnType<typeof searchSchedules> =>
  searchSchedules({ loader: LOADER, what, target: {}, overrides: { variants }, strategy, seed: 1 }, from, {
    workers: 2,
    executions,
    over: () => false,
    progress: (_, __, share) => {
      expect(share).toBeGreaterThanOrEqual(0);
      expect(share).toBeLessThanOrEqual(1);
    },
  });

describe('a search through schedules on several threads', () => {
  it.each(['delays', 'dpor'])('%s: makes the executions that one thread makes', async (strategy) => {
    const options = { executions: 1e6, seed: 1, countTraces: true };
    const alone = explore(targetOf('allocate-last'), strategyNamed(strategy), options);
    expect(alone.exhausted).toBe(true);
    const { result, left } = await search('allocate-last', strategy, allSchedules(strategy));
    const { executions, steps, distinctTraces, exhausted, complete, verdict } = alone;
    expect(result).toMatchObject({ executions, steps, distinctTraces, exhausted, complete, verdict });
    expect(left).toMatchObject({ parts: [], next: undefined });
  });

  it('finds a violation, and then is not complete', async () => {
    const { result } = await search('punch-punch', 'preemptions', allSchedules('preemptions'), {
      variants: ['lose-page'],
    });
    expect(result).toMatchObject({ verdict: 'violation', exhausted: false, complete: false });
    expect(result.violation?.kind).toBe('conservation');
  });

  it('that is stopped again and again, and goes on from its checkpoint, makes each execution once', async () => {
    const target = targetOf('allocate-last');
    const alone = explore(target, new DelayBounding(3), { executions: 1e6, seed: 1 });
    let [from, made, goes] = [allSchedules('delays'), 0, 0];
    for (let exhausted = false; !exhausted; goes++) {
      const { result, left } = await search('allocate-last', 'delays', from, { executions: 600 });
      made += result.executions;
      exhausted = result.exhausted;
      const done = { executions: made, steps: 0, longest: 0, stepLimitHits: 0, wallMs: 0 };
      const how = { what: target.name, strategy: 'delays', seed: 1, overrides: {}, done };
      const options = { stepLimit: 20_000, spuriousWakeups: 0, earlyTimeouts: 0, frozenClock: false };
      const into = path.join(folder, `go${goes}`);
      await writeCheckpoint(into, target, { ...how, target: options, schedules: left });
      from = readCheckpoint(into).checkpoint.schedules!;
    }
    expect(made).toBe(alone.executions);
    expect(goes).toBeGreaterThan(2);
  });
});
