// What `perturb: swarm` draws: the same from the same seed, each kind of trouble in about half of the runs, always a profile that is valid and runs again as it is.
import { describe, expect, it } from 'vitest';
import { runTorture } from '#src/index.js';
import { profileComplaints } from '#src/torture/complaints.js';
import { profileSchema, type Profile } from '#src/torture/schema.js';
import { drawSwarm } from '#src/torture/swarm.js';

const PROFILE = {
  host: { memory: '64MiB' },
  build: 'perturbed',
  perturb: 'swarm',
  vms: [{ name: 'g', memory: '4MiB' }],
  actors: [
    { kind: 'vcpu', touch: { distribution: 'zipf' } },
    { kind: 'invalidator', range: { pages: [1, 16] } },
  ],
  duration: '200ms',
};
const parsed: Profile = profileSchema.parse(PROFILE);
const SEEDS = Array.from({ length: 300 }, (_, n) => BigInt(n));
const drawn = SEEDS.map((seed) => drawSwarm(parsed, seed));

describe('the swarm', () => {
  it('draws the same from the same seed, and other things from others', () => {
    expect(SEEDS.map((seed) => drawSwarm(parsed, seed))).toEqual(drawn);
    expect(new Set(drawn.map((each) => JSON.stringify(each))).size).toBe(SEEDS.length);
  });

  it.each(['longHold', 'victim', 'allocationFailure', 'leave', 'slowHook', 'slowIpi'] as const)(
    'has %s in half of the runs',
    (kind) => {
      const share = drawn.filter(({ perturb }) => perturb[kind] !== undefined).length / SEEDS.length;
      expect(Math.abs(share - 0.5)).toBeLessThan(0.15); // five standard deviations
    },
  );

  it('adds a stormer and pauses for all, each to half of the runs, and leaves pauses alone that are there', () => {
    const share = (has: (profile: Profile) => boolean): number => drawn.filter(has).length / SEEDS.length;
    expect(Math.abs(share(({ actors }) => actors.at(-1)!.kind === 'rmp-stormer') - 0.5)).toBeLessThan(0.15);
    expect(Math.abs(share(({ stutter }) => stutter !== undefined) - 0.5)).toBeLessThan(0.15);
    const stutter = { run: '1s', pause: '1ms' };
    for (const seed of SEEDS) expect(drawSwarm({ ...parsed, stutter }, seed).stutter).toEqual(stutter);
  });

  it('draws profiles that are valid, and explicit: they run again as they are', () => {
    for (const profile of drawn) {
      expect(profileComplaints(profile)).toEqual([]);
      expect(profileSchema.parse(profile)).toEqual(profile);
      expect(drawSwarm(profile, 7n)).toEqual(profile);
    }
  });

  it('is in the result of a run as it was drawn', async () => {
    const seed = SEEDS.find((_, n) => drawn[n]!.perturb.slowHook !== undefined)!;
    const result = await runTorture({ profile: parsed, profilePath: '.', seed, again: 'again' });
    expect(result.violations).toEqual([]);
    expect(result.profile).toEqual(drawSwarm(parsed, seed));
    expect(result.perturbation).toBeDefined();
  });

  it('leaves other profiles as they are', () => {
    const profile = profileSchema.parse({ ...PROFILE, perturb: {} });
    expect(drawSwarm(profile, 1n)).toEqual(profile);
  });
});
