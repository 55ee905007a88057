// `--workers N`: as many threads as asked for, in the profile's proportions, and none that would find no work.
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readDocument } from '#src/torture/document.js';
import { memslotSequence } from '#src/torture/guests.js';
import { profileSchema, type Profile } from '#src/torture/schema.js';
import { scaleWorkers } from '#src/torture/workers.js';

const QUICKSTART = fileURLToPath(new URL('../../config/quickstart.yaml', import.meta.url));
const quickstart = readDocument(QUICKSTART, profileSchema);

function threads(profile: Profile, workers: number): number[] {
  const sequences = profile.vms.map((vm) => memslotSequence(vm, QUICKSTART));
  return scaleWorkers(profile, workers, sequences).actors.map((actor) => actor.threads);
}

describe('scaling the threads of a profile', () => {
  it.each([
    [5, [1, 1, 1, 1, 1]],
    [6, [2, 1, 1, 1, 1]],
    [7, [3, 1, 1, 1, 1]],
    [9, [4, 2, 1, 1, 1]],
    [18, [8, 4, 2, 2, 2]],
  ])('gives %i of the quickstart profile (4, 2, 1, 1, 1) out as %j', (workers, expected) => {
    expect(threads(quickstart, workers)).toEqual(expected);
  });

  it('gives what a full actor cannot use to the others: 8 vCPUs take 8 threads, 17 memslots as many rebinders', () => {
    expect(threads(quickstart, 169)).toEqual([8, 48, 48, 17, 48]);
    expect(threads(quickstart, 36)[0]).toBe(8);
  });

  it('is exact, leaves nobody out and never gives more threads to the smaller share', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 48 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(weights, fc.nat(100), (wanted, more) => {
        const actors = wanted.map((count) => ({ kind: 'invalidator', threads: count }));
        const profile = profileSchema.parse({ vms: [{ name: 'g' }], actors });
        const workers = Math.min(wanted.length + more, wanted.length * 48);
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

  it('refuses fewer threads than actors, and more than find work', () => {
    expect(() => threads(quickstart, 4)).toThrow(
      '--workers 4: at least 5, one thread an actor (vcpu, invalidator, converter, rebinder, memory-failure)',
    );
    expect(() => threads(quickstart, 170)).toThrow(
      '--workers 170: at most 169 threads find work here (vcpu 8, invalidator 48, converter 48, rebinder 17, memory-failure 48)',
    );
  });
});
