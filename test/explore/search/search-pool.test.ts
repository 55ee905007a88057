// The search over states on several threads, and in several goes: the same states and the same steps as in one go on one thread, whoever makes them.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { frontierOf, readCheckpoint, writeCheckpoint } from '#src/explore/checkpoint.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { SCENARIOS } from '#src/explore/scenarios/index.js';
import { exploreStates, StateExploration } from '#src/explore/search/explore-states.js';
import { joinLocality, type LocalityTable } from '#src/explore/search/locality.js';
import { type Frontier, type PoolSearch, searchOnPool } from '#src/explore/search/search-pool.js';
import { resultOfSearch, wholeSearch } from '#src/explore/search/search-result.js';
import { decodePart, encodePart, type Part } from '#src/explore/search/way.js';
import type { Target } from '#src/explore/target.js';

const OPTIONS = { frozenClock: true, stepLimit: 5000 };
const LOADER = new URL('../../../dist/src/cli/target.js', import.meta.url).href;
const targetOf = (name: string, variants: readonly string[] = []): Target =>
  scenarioTarget({ ...SCENARIOS.find((each) => each.name === name)!, variants }, OPTIONS);

const never = (): boolean => false;
const search = (
  name: string,
  workers: number,
  from: Frontier,
  { over = never, variants = [] }: { over?: () => boolean; variants?: readonly string[] } = {},
): Promise<PoolSearch> =>
  searchOnPool({ loader: LOADER, what: name, target: OPTIONS, overrides: { variants } }, from, {
    workers,
    states: 1e7,
    depth: 5000,
    bytes: 1 << 24,
    over,
    progress: () => {},
  });

const folder = mkdtempSync(path.join(tmpdir(), 'search-'));
afterAll(() => rmSync(folder, { recursive: true }));

const ONE_GO = { states: 1e7, depth: 5000, bytes: 1 << 24, stop: never };

/** What a stopped search goes on from: through its checkpoint. */
async function keptFrontier(
  target: Target,
  { rest, visited }: Pick<PoolSearch, 'rest' | 'visited'>,
  name: string,
): Promise<Frontier> {
  const done = { executions: rest.executions, steps: rest.transitions, longest: rest.deepest };
  const how = { what: target.name, strategy: 'states', seed: 0, overrides: {} };
  const options = { ...OPTIONS, spuriousWakeups: 0, earlyTimeouts: 0 };
  const progress = { ...how, target: options, done: { ...done, stepLimitHits: 0, wallMs: 0 } };
  const into = path.join(folder, name);
  await writeCheckpoint(into, target, progress, { search: { rest, visited } });
  return frontierOf(readCheckpoint(into), target);
}

describe('a search over states on several threads', () => {
  it.each(['bind-punch', 'allocate-allocate-free'])('%s: sees what one thread sees', async (name) => {
    const target = targetOf(name);
    const alone = exploreStates(target, ONE_GO);
    for (const workers of [1, 3]) {
      const { found } = await search(name, workers, wholeSearch(target));
      expect(found).toMatchObject({ complete: true, states: alone.states, executions: alone.executions });
    }
  });

  it('finds a violation, which is made again on another machine', async () => {
    const target = targetOf('fault-punch-hole', ['B05']);
    const { found } = await search('fault-punch-hole', 2, wholeSearch(target), { variants: ['B05'] });
    expect(found.complete).toBe(false);
    const { violation, loops } = resultOfSearch(target, found, false);
    expect(violation?.kind).toMatch(/stale-mapping|host-page|one-owner/);
    expect(loops).toBe(false);
  });

  it('that is stopped again and again, and goes on from its checkpoint, ends where one in one go does', async () => {
    const target = targetOf('allocate-allocate-free');
    const alone = exploreStates(target, ONE_GO);
    let from = wholeSearch(target);
    for (let go = 0; ; go++) {
      let looks = 0;
      // The first goes end at the first look at the clock, the last ones have time.
      const { found, rest, visited } = await search(target.name, 2, from, { over: () => go < 3 && looks++ > 0 });
      if (found.complete) {
        expect(found).toMatchObject({ states: alone.states, executions: alone.executions });
        break;
      }
      expect(found.limits).toEqual(['stop']);
      from = await keptFrontier(target, { rest, visited }, `go${go}`);
    }
  });

  it('that is stopped when it has found out late what is shared, goes on from the start, and sees all', async () => {
    const target = targetOf('convert-punch');
    const { states, executions } = exploreStates(target, ONE_GO);
    for (const looks of [4, 10]) {
      let left = looks;
      const stopped = await search(target.name, 2, wholeSearch(target), { over: () => left-- <= 0 });
      if (stopped.found.complete) continue;
      const from = await keptFrontier(target, stopped, `late${looks}`);
      const { found } = await search(target.name, 2, from);
      expect(found, `after ${looks} looks`).toMatchObject({ complete: true, states, executions });
    }
  });

  it('on one thread keeps what is left at every moment', async () => {
    const target = targetOf('convert-punch');
    const { states, executions } = exploreStates(target, ONE_GO);
    const exploration = new StateExploration(target, ONE_GO);
    const kept = [];
    while (!exploration.run(2000)) kept.push(exploration.left());
    exploration.finish();
    expect(kept.filter((left) => left === undefined)).toEqual([]);
    // Where it has found out late what is shared, it would begin anew.
    const anew = kept.findLastIndex((left) => left!.rest.parts[0]!.ways.length === 0);
    expect(anew).toBeGreaterThan(0);
    const from = await keptFrontier(target, kept[anew]!, 'anew');
    expect((await search(target.name, 2, from)).found).toMatchObject({ complete: true, states, executions });
  });
});

describe('a checkpoint', () => {
  const progress = {
    what: 'bind-punch',
    strategy: 'pos',
    seed: 1,
    target: { ...OPTIONS, spuriousWakeups: 0, earlyTimeouts: 0 },
    overrides: {},
    done: { executions: 1, steps: 2, longest: 3, stepLimitHits: 0, wallMs: 4 },
  };

  it('of another scenario, and a damaged one, are refused in one line', async () => {
    const into = path.join(folder, 'other');
    const target = targetOf('bind-punch');
    const { rest, visited } = await search('bind-punch', 1, wholeSearch(target), { over: () => true });
    await writeCheckpoint(into, target, progress, { search: { rest, visited } });
    const stopped = readCheckpoint(into);
    expect(stopped.checkpoint.done).toEqual(progress.done);
    expect(() => frontierOf(stopped, targetOf('bind-fault'))).toThrow(/no longer what it was/);
    writeFileSync(path.join(into, 'visited.bin'), Buffer.alloc(7));
    expect(() => frontierOf(stopped, target)).toThrow(/damaged/);
    const file = path.join(into, 'checkpoint.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"seed":1', '"seed":"x"'));
    expect(() => readCheckpoint(into)).toThrow(/not a checkpoint of this version: seed/);
    expect(() => readCheckpoint(folder)).toThrow(/no checkpoint\.json there/);
  });
});

const list = fc.array(fc.nat({ max: 255 }), { maxLength: 3 });
const way = fc.record({
  ways: fc.nat({ max: 24 }),
  todo: fc.nat({ max: 0xffffff }),
  chosen: fc.integer({ min: -1, max: 23 }),
  steps: fc.nat({ max: 300 }),
  answers: list,
  again: fc.option(list, { nil: undefined }),
});

describe('what threads tell one another', () => {
  it('of a part of a search is what was meant', () => {
    fc.assert(
      fc.property(fc.array(way, { maxLength: 5 }), fc.nat({ max: 2 ** 20 }), (ways, weight) => {
        const part: Part = { weight: weight / 2 ** 20, ways };
        expect(decodePart(encodePart(part))).toEqual(part);
      }),
      { seed: 20261123, numRuns: 200 },
    );
  });

  it('of who touches what adds up to what one thread that saw all would know', () => {
    // Words: nobody, thread 0 reads, thread 0 writes, thread 1 reads, read by several, shared.
    const [NONE, R0, W0, R1, W1, READ, SHARED] = [0, 1, 0x41, 2, 0x42, 0x80, 0xff];
    const table = (word: number, spinners = 0): LocalityTable => ({ words: Uint8Array.of(word), spinners });
    const cases: [a: number, b: number, both: number, isNews: boolean][] = [
      [NONE, W0, W0, false],
      [R0, W0, W0, false],
      [R0, R1, READ, false],
      [READ, R1, READ, false],
      [R0, W1, SHARED, true],
      [W0, W1, SHARED, true],
      [READ, W0, SHARED, true],
      [NONE, SHARED, SHARED, false],
      [SHARED, SHARED, SHARED, false],
      [R0, SHARED, SHARED, true],
    ];
    for (const [a, b, both, isNews] of cases)
      for (const tables of [
        [table(a), table(b)],
        [table(b), table(a)],
      ])
        expect(joinLocality(tables)).toEqual({ words: Uint8Array.of(both), spinners: 0, isNews });
    expect(joinLocality([table(NONE, 1), table(NONE, 2)])).toMatchObject({ spinners: 3, isNews: true });
  });
});
