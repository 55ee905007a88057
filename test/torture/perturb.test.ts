// Trouble that a profile asks for: each kind comes about, is counted, breaks nothing, and leaves the operations of an actor as its seed has them. What the swarm
// draws: swarm.test.ts.
import { describe, expect, it } from 'vitest';
import {
  Host,
  runTorture,
  workload,
  type ActorOptions,
  type TortureResult,
  type Trouble,
  type WorkloadResult,
} from '#src/index.js';
import { heapLive } from './heap.js';
import { profileComplaints } from '#src/torture/complaints.js';
import { profileSchema } from '#src/torture/schema.js';

const RANGE = { pages: [1, 32] };
const BASE = {
  host: { memory: '64MiB', partitions: 2 },
  build: 'perturbed',
  vms: [{ name: 'g', count: 2, vcpus: 1, memory: '4MiB' }],
  actors: [
    { kind: 'vcpu', threads: 2, touch: { distribution: 'zipf' }, operations: 10_000 },
    { kind: 'invalidator', range: RANGE, touch: { distribution: 'zipf' }, operations: 300 },
    { kind: 'mix', mix: { populator: 1, converter: 1 }, range: RANGE, operations: 300 },
    // Some 60 steps: it takes 300 ms at least, what comes about with time has come about by then.
    { kind: 'rebinder', rate: '200/s', operations: 200 },
  ],
  duration: '1h',
};

function torture(more: object): Promise<TortureResult> {
  const profile = profileSchema.parse({ ...BASE, ...more });
  return runTorture({ profile, profilePath: '.', seed: 12n, again: 'again' });
}

/** Of which only the beginning and the end matter. */
const SHORT = { duration: '1ms' };

/** Lets actors work on two guests until `enough` holds. Nothing breaks, and no page is leaked. */
async function runUntil(
  enough: (host: Host) => boolean,
  pageCount: number,
  actors: ActorOptions[],
  trouble: Trouble = {},
): Promise<WorkloadResult> {
  const host = await Host.create({
    memory: '64MiB',
    workers: 4,
    perturb: { meanPoints: 2000, delayNs: 20_000, ...trouble },
  });
  const vms = [0, 1].map(() => {
    const vm = host.createVm({ vcpus: 1 });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount, file: host.createRestrictedMem({ size: pageCount * 4096 }) });
    return vm;
  });
  const end = new AbortController();
  const onProgress = (): void => (enough(host) ? end.abort() : undefined);
  const result = await host.run(workload({ vms, actors, duration: '1h', signal: end.signal, onProgress }));
  expect(host.auditAll()).toEqual([]);
  expect(host.stats().pages.leaked).toBe(0);
  await host.close();
  return result;
}

describe('trouble', () => {
  it.each([
    ['longHolds', { meanPoints: 100, longHold: { chance: 0.2, length: '1ms' } }],
    ['pauses', { meanPoints: 100, victim: { threads: 5, every: '5ms', pause: ['1ms', '20ms'] } }],
    ['slowHooks', { slowHook: { chance: 0.5, length: '100us' } }],
    ['leaves', { leave: { every: '10ms', away: '2ms' } }],
    ['allocationFailures', { allocationFailure: 0.05 }],
  ] as const)('%s come about, and nothing breaks', async (name, perturb) => {
    const { perturbation, violations, verdict, operations, pages } = await torture({ perturb });
    expect(violations).toEqual([]);
    expect(verdict).toBe('passed');
    expect(perturbation!.injected[name]).toBeGreaterThan(0);
    const others = Object.entries(perturbation!.injected).filter(([other]) => other !== name);
    expect(Object.fromEntries(others.filter(([, count]) => count !== 0))).toEqual({});
    expect(operations['touch']!.count).toBeGreaterThan(0);
    expect(pages.leaked).toBe(0);
  });

  it('is not spoken of without any', async () => {
    expect((await torture(SHORT)).perturbation).toBeUndefined();
  });

  it('meets an IPI on its way: the guest goes on, and whoever waits for its exit waits', async () => {
    const actors: ActorOptions[] = [
      { kind: 'vcpu', threads: 2, touch: { distribution: 'zipf' } },
      { kind: 'invalidator', range: { pages: [1, 4] }, touch: { distribution: 'zipf' } },
    ];
    const slowIpi = { chance: 0.05, lengthNs: 500_000 };
    await runUntil((host) => host.injected().slowIpis > 10, 1024, actors, { slowIpi });
  });

  it('of a stormer makes RMPUPDATE find entries in use, which it tries again until they are free', async () => {
    const touch = { distribution: 'zipf' as const, theta: 0.99 };
    const actors: ActorOptions[] = [
      { kind: 'vcpu', threads: 2, touch: { ...touch, write: 1 } },
      { kind: 'invalidator', range: { pages: [1, 4] }, touch },
      { kind: 'rmp-stormer', hold: '5ms', touch },
    ];
    const { operations } = await runUntil((host) => host.stats().rmp['inUse']! > 10, 16, actors);
    expect(operations['rmp_lock']!.count).toBeGreaterThan(0);
  });

  it('chooses its victims by the seed', async () => {
    const perturb = { victim: { threads: 2 } };
    const { perturbation } = await torture({ ...SHORT, perturb });
    expect(perturbation!.victims).toHaveLength(2);
    expect((await torture({ ...SHORT, perturb })).perturbation!.victims).toEqual(perturbation!.victims);
  });
});

describe('a thread that leaves', () => {
  it('owes what falls due while it is away, and makes it when it is back', async () => {
    const { actors, perturbation, durationMs } = await torture({
      duration: '500ms',
      actors: [{ kind: 'populator', rate: '2000/s', range: { pages: [1, 1] } }],
      perturb: { leave: { every: '30ms', away: '5ms' } },
    });
    expect(perturbation!.injected.leaves).toBeGreaterThan(0);
    expect(Math.round((actors[0]!.pacing!.intendedPerSecond * durationMs) / 1000)).toBe(1000);
  });

  it('does the same operations as one that stays, as its seed has them', async () => {
    const run = async (perturb: object): Promise<unknown> => {
      const mix = { invalidator: 1, populator: 2, 'memory-failure': 1 };
      const { operations } = await torture({
        actors: [{ kind: 'mix', mix, operations: 3000, think: '10us' }],
        perturb,
        warmup: '0s',
        duration: '1h',
      });
      return Object.entries(operations).map(([name, { count, pages, errors }]) => [name, count, pages, errors]);
    };
    const trouble = {
      meanPoints: 100,
      leave: { every: '5ms', away: '1ms' },
      longHold: { length: '100us' },
      victim: { every: '5ms', pause: ['1ms', '3ms'] },
    };
    expect(await run(trouble)).toEqual(await run({ meanPoints: 0 }));
  });
});

describe('an allocation that fails', () => {
  it.each(['rfc-v8', 'guest-memfd'])('is reported as ENOMEM and leaves nothing behind (%s)', async (protocol) => {
    const host = await Host.create({
      memory: '64MiB',
      protocol: protocol as 'rfc-v8',
      workers: 2,
      perturb: { meanPoints: 0, delayNs: 0, allocationFailure: 0.03 },
    });
    try {
      const vm = host.createVm({ vcpus: 1 });
      const file = host.createRestrictedMem({ size: '64KiB' });
      vm.setMemslot({ id: 0, startGfn: 0, pageCount: 16, file, startIndex: 0 });
      const load = (operations: number) =>
        workload({
          vms: [vm],
          actors: [{ kind: 'lifecycle', threads: 2, range: { pages: [1, 64] }, operations }],
          duration: '1h',
          warmup: '0s',
        });
      const before = heapLive(host.shard);
      const { operations, violations } = await host.run(load(4000));
      expect(violations).toEqual([]);
      expect(operations['vm_create']!.errors['ENOMEM']).toBeGreaterThan(0);
      expect(operations['touch']!.errors['ENOMEM']).toBeGreaterThan(0);
      expect(host.injected().allocationFailures).toBeGreaterThan(100);
      expect(heapLive(host.shard)).toEqual(before);
      host.audit();
    } finally {
      await host.close();
    }
  });
});

describe('a profile that asks for impossible trouble', () => {
  const complaints = (more: object): string[] =>
    profileComplaints(profileSchema.parse({ ...BASE, ...more })).map(({ message }) => message);

  it.each([
    [{ build: 'fast', perturb: 'swarm' }, 'perturb: the fast build injects nothing; use build: perturbed'],
    [{ build: 'fast', perturb: { slowHook: {} } }, 'perturb: the fast build injects nothing; use build: perturbed'],
    [{ perturb: { meanPoints: 0, victim: {} } }, /^perturb\.meanPoints: long holds and pauses happen at perturbations/],
    [{ perturb: { victim: { pause: ['2ms', '1ms'] } } }, /^perturb\.victim\.pause: the first duration/],
    [
      { perturb: { victim: { pause: ['2ms', '11s'] } } },
      /^perturb\.victim\.pause\.1: 11s is more than half of stuckAfter/,
    ],
    [{ perturb: { longHold: { length: '1m' } } }, /^perturb\.longHold\.length: 1m is more than half/],
    [
      { actors: [{ kind: 'rmp-stormer', hold: '1s' }] },
      'actors.0.hold: 1s is too long for an instruction; at most 50ms',
    ],
  ])('%j is told what is wrong', (more, message) => {
    expect(complaints(more)).toEqual([
      typeof message === 'string' ? message : (expect.stringMatching(message) as unknown as string),
    ]);
  });

  it('of the default kind has nothing to complain of', () => expect(complaints({ build: 'fast' })).toEqual([]));
});
