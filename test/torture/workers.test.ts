// `--workers N`: as many threads as asked for, in the profile's proportions, and none that would find no work.
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readDocument } from '#src/torture/document.js';
import { runTorture, type TortureResult } from '#src/index.js';
import { memslotSequence } from '#src/torture/guests.js';
import { profileSchema, type Profile } from '#src/torture/schema.js';
import { scaleWorkers } from '#src/torture/workers.js';

const QUICKSTART = fileURLToPath(new URL('../../config/quickstart.yaml', import.meta.url));
const quickstart = readDocument(QUICKSTART, profileSchema);

const sequences = quickstart.vms.map((vm) => memslotSequence(vm, QUICKSTART));

function threads(profile: Profile, workers: number): number[] {
  const own = profile.vms.map((vm) => memslotSequence(vm, QUICKSTART));
  return scaleWorkers(profile, workers, own).actors.map((actor) => actor.threads);
}

describe('scaling the threads of a profile', () => {
  it.each([
    [1, [1, 1, 1, 1, 1]],
    [5, [1, 1, 1, 1, 1]],
    [6, [2, 1, 1, 1, 1]],
    [7, [3, 1, 1, 1, 1]],
    [9, [4, 2, 1, 1, 1]],
    [18, [8, 4, 2, 2, 2]],
  ])('gives %i of the quickstart profile (4, 2, 1, 1, 1) out as %j', (workers, expected) => {
    expect(threads(quickstart, workers)).toEqual(expected);
  });

  it('gives what a full actor cannot use to the others: 8 vCPUs take 8 threads, 17 memslots as many rebinders', () => {
    expect(threads(quickstart, 217)).toEqual([8, 64, 64, 17, 64]);
    expect(threads(quickstart, 36)[0]).toBe(8);
  });

  it('is exact, leaves nobody out and never gives more threads to the smaller share', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 48 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(weights, fc.nat(100), (wanted, more) => {
        const actors = wanted.map((count) => ({ kind: 'invalidator', threads: count }));
        const profile = profileSchema.parse({ vms: [{ name: 'g' }], actors });
        const workers = Math.min(wanted.length + more, wanted.length * 64);
        const given = threads(profile, workers);
        expect(given.reduce((a, b) => a + b)).toBe(workers);
        expect(Math.min(...given)).toBeGreaterThanOrEqual(1);
        for (const [i, a] of wanted.entries()) {
          for (const [j, b] of wanted.entries()) if (a > b) expect(given[i]).toBeGreaterThanOrEqual(given[j]!);
        }
      }),
      { seed: 5, numRuns: 100 },
    );
  });

  it('counts the vCPUs once when several actors share them', () => {
    const actors = [
      { kind: 'vcpu', threads: 2 },
      { kind: 'vcpu', threads: 1 },
    ];
    const profile = profileSchema.parse({ vms: [{ name: 'g', vcpus: 4 }], actors });
    expect(threads(profile, 4)).toEqual([3, 1]);
    expect(() => threads(profile, 5)).toThrow('--workers 5: at most 4 threads find work here (vcpu 4)');
  });

  it('gives each actor a thread in each shard that guests live in, and refuses fewer threads than shards', () => {
    const twice = (workers: number): number[] =>
      scaleWorkers(quickstart, workers, sequences, 2).actors.map((actor) => actor.threads);
    expect(twice(10)).toEqual([2, 2, 2, 2, 2]);
    expect(twice(3)).toEqual([2, 2, 2, 2, 2]);
    expect(twice(12)).toEqual([4, 2, 2, 2, 2]);
    expect(() => twice(1)).toThrow('--workers 1: at least 2, one for each shard that guests live in');
  });

  it('refuses more than find work', () => {
    expect(() => threads(quickstart, 218)).toThrow(
      '--workers 218: at most 217 threads find work here (vcpu 8, invalidator 64, converter 64, rebinder 17, memory-failure 64)',
    );
  });
});

describe('fewer threads than actors', () => {
  const actors = [
    { kind: 'vcpu' },
    { kind: 'invalidator', rate: '500/s', range: { pages: [1, 16] } },
    { kind: 'converter', rate: '300/s', burst: 3, range: { pages: [1, 16] } },
    { kind: 'populator', think: '1ms', range: { pages: [1, 16] } },
    { kind: 'memory-failure', rate: '10/s', operations: 1 },
  ];
  const small = { host: { memory: '64MiB' }, vms: [{ name: 'g', memory: '4MiB' }], actors, duration: '1h' };
  const run = (workers: number, more = {}): Promise<TortureResult> =>
    runTorture({ profile: profileSchema.parse({ ...small, ...more }), profilePath: '.', seed: 3n, again: '', workers });

  it('run all actors, in turn: the run ends when each has done its part', async () => {
    const parts = [160, 30, 30, 20, 1];
    const result = await run(1, { actors: actors.map((actor, n) => ({ ...actor, operations: parts[n] })) });
    expect(result).toMatchObject({ verdict: 'passed', workers: 1 });
    expect(result.actors.map(({ name }) => name)).toEqual(actors.map(({ kind }) => `${kind}0`));
    expect(result.actors.map(({ operations }) => operations)).toEqual(parts);
  });

  it('owe the steps of an open loop that were due: what a busy machine had no time for counts as missed', async () => {
    const { actors: done } = await run(1, { duration: '200ms' });
    const [, invalidator, converter] = done;
    expect(invalidator!.pacing!.intendedPerSecond).toBeGreaterThan(490);
    expect(invalidator!.pacing!.intendedPerSecond).toBeLessThan(510);
    expect(converter!.pacing!.intendedPerSecond).toBeGreaterThan(285);
    expect(converter!.pacing!.intendedPerSecond).toBeLessThan(315);
  });

  it('draw the same operations as with a thread each: what is due depends on the seed alone', async () => {
    const populator = { kind: 'populator', operations: 40, range: { pages: [1, 16] } };
    // No warm-up: what is done in it depends on the time.
    const limited = { actors: [populator, { kind: 'vcpu', operations: 1600 }], warmup: '1ns' };
    const [one, two] = [await run(1, limited), await run(2, limited)];
    expect(one.operations['allocate']!.count).toBe(40);
    expect(one.operations['allocate']!.pages).toBe(two.operations['allocate']!.pages);
  });

  it('tell the operations of a failed run by actor', async () => {
    const { recent, verdict } = await run(2, { variants: ['B05'] });
    expect(verdict).toBe('violated');
    const kinds: Record<string, string> = { vcpu: 'touch', invalidator: 'punch_hole', populator: 'allocate' };
    for (const { kind, operations } of recent!.threads) {
      const expected = kinds[kind];
      if (expected !== undefined) expect(new Set(operations.map(({ op }) => op))).toEqual(new Set([expected]));
    }
  });
});
