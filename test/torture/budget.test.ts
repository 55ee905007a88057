// A budget of operations for a whole run, shared by all threads; and bugs that only actors beside the guest meet.
import { describe, expect, it } from 'vitest';
import { Host, runTorture, workload, type TortureResult } from '#src/index.js';
import { profileSchema } from '#src/torture/schema.js';

const BASE = {
  host: { memory: '64MiB' },
  vms: [{ name: 'g', vcpus: 2, memory: '4MiB' }],
  duration: '1h',
};

function torture(profile: object, workers?: number): Promise<TortureResult> {
  const parsed = profileSchema.parse({ ...BASE, ...profile });
  const options = { profile: parsed, profilePath: 'p.yaml', seed: 3n, again: '' };
  return runTorture(workers === undefined ? options : { ...options, workers });
}

const made = ({ operations }: TortureResult): number =>
  Object.values(operations).reduce((sum, { count }) => sum + count, 0);

describe('operations of a whole run', () => {
  const actors = [
    { kind: 'vcpu', threads: 2, touch: { batch: 7, validate: 0.1 } },
    { kind: 'invalidator', range: { pages: [1, 8] } },
    { kind: 'rebinder' },
    { kind: 'device', range: { pages: [1, 8] } },
    { kind: 'lifecycle', range: { pages: [1, 8] } },
    { kind: 'converter', rate: '500/s', range: { pages: [1, 8] } },
  ];

  it.each([
    ['with a thread each', 5003, undefined],
    ['with several actors on a thread', 5003, 2],
    ['when there are fewer than threads', 3, undefined],
  ])('are made to the last one and no more, %s', async (_, operations, workers) => {
    const result = await torture({ actors, operations }, workers);
    expect(result).toMatchObject({ verdict: 'passed', partial: false, violations: [] });
    expect(made(result)).toBe(operations);
    expect(result.actors.reduce((sum, actor) => sum + actor.operations, 0)).toBe(operations);
  });

  it('are made to the last whole step where no actor can make a part of one', async () => {
    const result = await torture({ actors: [{ kind: 'device', touch: { batch: 8 } }], operations: 105 });
    expect(made(result)).toBe(100);
  });

  it('do not count those of the warm-up', async () => {
    const result = await torture({ actors: [{ kind: 'vcpu' }], operations: 100, warmup: '20ms' });
    expect(made(result)).toBe(100);
    expect(result.durationMs).toBeGreaterThan(0);
  });

  it('are dealt out over the shards of a large host', async () => {
    const host = { memory: '2GiB', shardMemory: '1GiB' };
    const vms = [{ name: 'g', count: 2, vcpus: 1, memory: '4MiB' }];
    const result = await torture({ host, vms, actors: [{ kind: 'vcpu', threads: 2 }], operations: 1001 });
    expect(made(result)).toBe(1001);
    expect(result.actors.map(({ operations }) => operations).toSorted((a, b) => a - b)).toEqual([500, 501]);
  });

  it('end a workload of the library, too', async () => {
    const host = await Host.create({ memory: '64MiB', workers: 2 });
    const file = host.createRestrictedMem({ size: '1MiB' });
    const vm = host.createVm({ vcpus: 1, process: true, irqchip: true });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file, startIndex: 0, hva: 0x7f0000000000 });
    const load = { vms: [vm], actors: [{ kind: 'reclaimer' as const }, { kind: 'interrupter' as const }] };
    const result = await host.run(workload({ ...load, duration: '1h', operations: 500 }));
    expect(Object.values(result.operations).reduce((sum, { count }) => sum + count, 0)).toBe(500);
    for (const { errors } of Object.values(result.operations)) expect(errors).toEqual({});
    expect(() => workload({ ...load, duration: '1s', operations: 0 })).toThrow('workload: operations: ');
    vm.destroy();
    file.close();
    await host.close();
  });
});

describe('a mistake brought back is met by the actor that can meet it', () => {
  it.each([
    // The page is free by then, or a guest's.
    ['unpinned-dma', /^stale-mapping: .* a device writes to|^host-page: .* host write to/, ['device', 'discarder']],
    ['B46', /^host-page: RMP violation: host write to pfn/, ['interrupter', 'invalidator']],
    ['B41', /^kernel-bug: use after free/, ['mmio-device', 'page-state']],
  ])('%s, by its oracle', async (variant, failure, kinds) => {
    const guest = [
      { kind: 'vcpu', threads: 2, touch: { distribution: 'zipf' } },
      { kind: 'rebinder', rate: '100/s' },
    ];
    const others = kinds.map((kind) => ({ kind, range: { pages: [1, 16] } }));
    const { verdict, violations } = await torture({ actors: [...guest, ...others], variants: [variant] });
    expect(verdict).toBe('violated');
    expect(`${violations[0]!.oracle}: ${violations[0]!.message}`).toMatch(failure);
  });
});
