// Whether a run is to be believed: what the threads and the open loops say, against the limits of the profile.
import { describe, expect, it } from 'vitest';
import { runTorture } from '#src/index.js';
import { tortureText } from '#src/report/torture.js';
import { profileComplaints } from '#src/torture/complaints.js';
import { profileSchema } from '#src/torture/schema.js';
import { judgeTrust } from '#src/torture/trust.js';

const reply = (runDelayShare?: number): Parameters<typeof judgeTrust>[1][number] => ({
  name: 'a',
  taskId: 1,
  verdict: 1,
  ...(runDelayShare === undefined ? {} : { runDelayShare }),
});
const paced = (missedShare: number): Parameters<typeof judgeTrust>[0][number] => ({
  name: 'a',
  kind: 'populator',
  operations: 1,
  steps: 1,
  pacing: { intendedPerSecond: 1, achievedPerSecond: 1, missedShare, lateMaxNs: 0 },
});

describe('trust', () => {
  it('takes the worst thread and the worst open loop', () => {
    const trust = judgeTrust([paced(0), paced(0.005)], [reply(0.02), reply(0.07)]);
    expect(trust).toEqual({ runDelayShare: 0.07, missedShare: 0.005, doubts: [], untrustworthy: false });
  });

  it('without limits only says what is much', () => {
    const { doubts, untrustworthy } = judgeTrust([paced(0.5)], [reply(0.34)]);
    expect(doubts).toEqual([
      'a thread waited 34 % of its time for a CPU',
      'an open loop had no time for 50 % of its steps',
    ]);
    expect(untrustworthy).toBe(false);
  });

  it('is gone beyond a limit of the profile, and not at it', () => {
    expect(judgeTrust([paced(0.02)], [], { missed: 0.02 }).untrustworthy).toBe(false);
    expect(judgeTrust([paced(0.021)], [], { missed: 0.02 })).toMatchObject({
      untrustworthy: true,
      doubts: ['an open loop had no time for 2.1 % of its steps; trust.missed allows 2.0 %'],
    });
  });

  it('is gone when the profile asks for what the system does not tell', () => {
    expect(judgeTrust([], [reply()], { runDelay: 0.5 }).untrustworthy).toBe(true);
    expect(judgeTrust([], [reply()]).untrustworthy).toBe(false);
  });
});

describe('a run that cannot keep its rate', () => {
  // No machine makes a billion hole punches a second.
  const profile = profileSchema.parse({
    host: { memory: '64MiB' },
    build: 'fast',
    vms: [{ name: 'g', memory: '4MiB' }],
    actors: [{ kind: 'invalidator', rate: 1e7 }],
    warmup: '0s',
    duration: '50ms',
    trust: { missed: 0.01 },
    thresholds: { 'punch_hole.count': '> 0' },
  });

  it('is inconclusive, though its thresholds hold, and says why', async () => {
    const result = await runTorture({ profile, profilePath: '.', seed: 1n, again: '' });
    expect(result.verdict).toBe('inconclusive');
    expect(result.missedThresholds).toEqual([]);
    expect(tortureText(result)).toMatch(/note: an open loop had no time for \d+ % of its steps; trust\.missed allows/);
    expect(tortureText(result)).toMatch(/\nEnd of test: FAILURE: inconclusive\n$/);
  });
});

describe('a CPU that is not there', () => {
  it('is a mistake of the profile, with its place', () => {
    const profile = profileSchema.parse({ vms: [{ name: 'g' }], actors: [{ kind: 'vcpu', cpus: [0, 99_999] }] });
    expect(profileComplaints(profile)).toEqual([
      {
        path: ['actors', 0, 'cpus', 1],
        inKey: false,
        message: expect.stringMatching(/^actors\.0\.cpus\.1: no CPU 99999; this machine has 0 to \d+$/) as string,
      },
    ]);
  });

  it('and one that is there takes the thread', async () => {
    const actors = [{ kind: 'vcpu', cpus: [0] }];
    const small = { host: { memory: '64MiB' }, build: 'fast', vms: [{ name: 'g', memory: '4MiB' }], duration: '20ms' };
    const result = await runTorture({
      profile: profileSchema.parse({ ...small, actors }),
      profilePath: '.',
      seed: 1n,
      again: '',
    });
    expect(result.trust.doubts.filter((doubt) => doubt.includes('bound') && process.platform === 'linux')).toEqual([]);
  });
});
