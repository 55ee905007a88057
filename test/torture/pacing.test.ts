// Pacing: when steps are due, in an open loop, a closed one with think times, and with pauses for all. Runs of some hundred steps on one thread; what is
// asserted is counted, not timed: an open loop owes a number of steps that follows from its rate alone, made or missed.
import { describe, expect, it } from 'vitest';
import { runTorture, type TortureResult } from '#src/index.js';
import { profileSchema } from '#src/torture/schema.js';

const BASE = { host: { memory: '64MiB' }, build: 'fast', vms: [{ name: 'g', memory: '4MiB' }], duration: '200ms' };

function torture(actor: object, more: object = {}): Promise<TortureResult> {
  const profile = profileSchema.parse({ ...BASE, ...more, actors: [{ kind: 'populator', ...actor }] });
  return runTorture({ profile, profilePath: '.', seed: 5n, again: 'again' });
}

/** Steps that were due in the run, whether the machine had the time for them or not. */
async function due(actor: object, more: object = {}): Promise<number> {
  const { actors, durationMs } = await torture(actor, more);
  return Math.round((actors[0]!.pacing!.intendedPerSecond * durationMs) / 1000);
}

describe('an open loop', () => {
  it('owes rate times duration steps, whatever the machine did', async () => {
    expect(await due({ rate: '1000/s' })).toBe(200);
  });

  it('counts a vCPU by its touches, not by its batches', async () => {
    const { operations, actors } = await torture({ kind: 'vcpu', rate: '8000/s', touch: { batch: 8 } });
    expect(actors[0]!.pacing!.intendedPerSecond * 8).toBeCloseTo(8000, -2);
    expect(operations['touch']!.count).toBe(actors[0]!.steps * 8);
  });

  it('with Poisson arrivals owes about as many, the same from the same seed', async () => {
    const first = await due({ rate: '5k/s', arrival: 'poisson' });
    expect(Math.abs(first - 1000)).toBeLessThan(160); // five standard deviations
    expect(await due({ rate: '5k/s', arrival: 'poisson' })).toBe(first);
  });

  it('follows its stages: a ramp owes the area under its line, and the last rate stays', async () => {
    const stages = [
      { duration: '100ms', rate: '4000/s' },
      { duration: '50ms', rate: '4000/s' },
      { duration: 0.01, rate: 0 },
    ];
    // 100 ms up to 4000/s: 200; 50 ms there: 200; 10 ms down to 0: 20; nothing after it. The step at 0 comes on top.
    expect(await due({ stages })).toBeGreaterThanOrEqual(419);
    expect(await due({ stages })).toBeLessThanOrEqual(421);
    expect(await due({ rate: '1k/s', stages: [{ duration: '0s', rate: '2k/s' }] })).toBe(400);
  });

  it('in bursts keeps its rate', async () => {
    expect(await due({ rate: '1000/s', burst: 20 })).toBe(200);
  });

  it('owes nothing in the pauses of a stutter', async () => {
    expect(await due({ rate: '1000/s' }, { stutter: { run: '20ms', pause: '30ms' } })).toBe(80);
  });

  it('does not count its warm-up', async () => {
    expect(await due({ rate: '1000/s' }, { warmup: '50ms', duration: '100ms' })).toBe(100);
  });

  it('shows latency from the due time, and beside it from the real start, which is never longer', async () => {
    const { operations } = await torture({ rate: '1000/s', burst: 50, range: { pages: [64, 64] } });
    const { latencyNs, serviceNs } = operations['allocate']!;
    for (const at of ['p50', 'p90', 'p99', 'max'] as const)
      expect(serviceNs![at], at).toBeLessThanOrEqual(latencyNs[at]);
    // The last of 50 steps that are due at once waits for 49.
    expect(serviceNs!.p50).toBeLessThan(latencyNs.p50);
  });

  it.each<[string, object, number, object?]>([
    ['a rate', { rate: '1000000M/s' }, 1e12],
    ['a Poisson rate', { rate: '1000000M/s', arrival: 'poisson' }, 1e12],
    ['a ramp', { stages: [{ duration: '1h', rate: '1000000M/s' }] }, 1e12 / 3600 / 10],
    ['a rate with pauses', { rate: '1000000M/s' }, 0.5e12, { stutter: { run: '10ms', pause: '10ms' } }],
  ])('that nobody can keep ends in time, and says how much was due: %s', async (_, actor, perSecond, profile = {}) => {
    const { actors, violations } = await torture(actor, { duration: '200ms', warmup: '0s', ...profile });
    expect(violations).toEqual([]);
    expect(actors[0]!.pacing!.intendedPerSecond / perSecond).toBeCloseTo(1, 1);
    expect(actors[0]!.pacing!.missedShare).toBeGreaterThan(0.9);
  });
});

describe('a closed loop', () => {
  it('has no uncorrected latency and no pacing to show', async () => {
    const { operations, actors } = await torture({});
    expect(operations['allocate']!.serviceNs).toBeUndefined();
    expect(actors[0]!.pacing).toBeUndefined();
  });

  it('that thinks takes its think time between two steps, at least', async () => {
    const { actors, durationMs } = await torture({ think: '5ms', operations: 20 }, { duration: '1h' });
    expect(actors[0]!.steps).toBe(20);
    expect(durationMs).toBeGreaterThanOrEqual(19 * 5);
  });

  it('ends after its operations', async () => {
    const { operations, partial } = await torture({ operations: 7 }, { duration: '1h' });
    expect(operations['allocate']!.count).toBe(7);
    expect(partial).toBe(false);
  });
});

describe('the random stream of an actor', () => {
  it('gives the same operations from the same seed, also when delays are injected', async () => {
    const run = async (perturb: object): Promise<unknown> => {
      const mix = { invalidator: 1, populator: 2, 'memory-failure': 1 };
      const { operations } = await torture(
        { kind: 'mix', mix, operations: 300 },
        { build: 'perturbed', perturb, warmup: '0s', duration: '1h' },
      );
      return Object.entries(operations).map(([name, { count, pages, errors }]) => [name, count, pages, errors]);
    };
    expect(await run({ meanPoints: 50 })).toEqual(await run({ meanPoints: 0 }));
  });
});

describe('a mix', () => {
  it('draws its steps by their weights', async () => {
    const mix = { vcpu: 60, invalidator: 10, populator: 30, converter: 0 };
    const { operations } = await torture(
      { kind: 'mix', mix, touch: { batch: 1 }, operations: 4000 },
      { duration: '1h' },
    );
    const share = (name: string): number => operations[name]!.count / 4000;
    expect(Object.keys(operations)).toEqual(['touch', 'punch_hole', 'allocate']);
    expect(share('touch')).toBeCloseTo(0.6, 1);
    expect(share('punch_hole')).toBeCloseTo(0.1, 1);
    expect(share('allocate')).toBeCloseTo(0.3, 1);
  });
});
