// Short torture runs: what each build reports, how the verdict is reached. Their guests: guests.test.ts.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runTorture, UsageError, type TortureResult } from '#src/index.js';
import { profileSchema, type Profile } from '#src/torture/schema.js';

const folder = mkdtempSync(join(tmpdir(), 'torture-'));
const profilePath = join(folder, 'profile.yaml');

// One slot in a restrictedmem file and one that is only shared memory: what the discarder works on.
const SEQUENCE = `
name: mixed
files:
  - { id: 3, size: 4MiB }
steps:
  - { slot: 0, flags: 4, gpa: 0, size: 0x400000, hva: 0x7f0000000000, file: 3, ret: 0 }
  - { slot: 1, flags: 0, gpa: 0x400000, size: 0x100000, hva: 0x7f0000400000, ret: 0 }
`;
writeFileSync(join(folder, 'mixed.yaml'), SEQUENCE);

const RANGE = { pages: [1, 32] };
// Each thread has as much to do as takes some tenths of a second, so that all are at work for most of a run.
const EVERY_ACTOR = {
  host: { memory: '64MiB', partitions: 2 },
  vms: [{ name: 'g', count: 2, vcpus: 1, memslots: 'mixed.yaml' }],
  actors: [
    { kind: 'vcpu', threads: 2, touch: { distribution: 'zipf', validate: 0.05 }, operations: 50_000 },
    { kind: 'invalidator', range: RANGE, operations: 2000 },
    { kind: 'populator', range: RANGE, operations: 30_000 },
    { kind: 'converter', range: RANGE, operations: 700 },
    { kind: 'rebinder', rate: '400/s', operations: 200 },
    { kind: 'memory-failure', rate: '100/s', operations: 40 },
    { kind: 'discarder', range: RANGE, operations: 20_000 },
    { kind: 'rmp-stormer', touch: { distribution: 'zipf' }, operations: 2000 },
    { kind: 'lifecycle', range: RANGE, operations: 6000 },
  ],
  duration: '1h',
};
const BESIDE_THE_GUEST = {
  ...EVERY_ACTOR,
  host: { memory: '64MiB', partitions: 2, inUseWritable: true },
  actors: [
    { kind: 'vcpu', threads: 2, touch: { distribution: 'zipf' }, operations: 250_000 },
    { kind: 'mix', mix: { invalidator: 1, converter: 1 }, range: RANGE, rate: '500/s', operations: 250 },
    { kind: 'discarder', range: RANGE, rate: '200/s', operations: 100 },
    { kind: 'rebinder', rate: '50/s', operations: 40 },
    { kind: 'host-writer', rate: '2k/s', astray: 0.5, operations: 1000 },
    { kind: 'device', rate: '100/s', range: RANGE, operations: 900 },
    { kind: 'reclaimer', rate: '100/s', range: RANGE, operations: 50 },
    { kind: 'reaper', rate: '100/s', range: RANGE, operations: 50 },
    { kind: 'interrupter', rate: '500/s', operations: 250 },
    { kind: 'page-state', rate: '100/s', range: { pages: [1, 8] }, operations: 50 },
    { kind: 'cache-writer', rate: '500/s', operations: 250 },
    { kind: 'mmio-device', rate: '50/s', touch: { batch: 4 }, operations: 150 },
    { kind: 'region', rate: '100/s', range: RANGE, operations: 100 },
  ],
};
const SMALL = {
  ...EVERY_ACTOR,
  vms: [{ name: 'g', memory: '4MiB' }],
  actors: [
    { kind: 'vcpu', operations: 2000 },
    { kind: 'invalidator', range: { pages: [1, 16] }, operations: 100 },
  ],
};

function torture(profile: unknown, signal?: AbortSignal): Promise<TortureResult> {
  const parsed: Profile = profileSchema.parse(profile);
  const options = { profile: parsed, profilePath, seed: 0x2an, again: 'again' };
  return runTorture(signal === undefined ? options : { ...options, signal });
}

describe('a short run with every kind of actor', () => {
  it('passes, does every operation, and repeats its seed', async () => {
    const result = await torture(EVERY_ACTOR);
    expect(result.violations).toEqual([]);
    expect(result.verdict).toBe('passed');
    expect(result).toMatchObject({ schema: 'rmptorture/torture/1', seed: '0x2a', again: 'again', partial: false });
    expect(result).toMatchObject({ guests: 2, workers: 10 });
    const { touch, punch_hole, allocate, to_private, to_shared, slot_delete, slot_create, slot_move, memory_failure } =
      result.operations;
    const { discard, slot_flags, pvalidate, rmp_lock, vm_create, launch_finish, vm_destroy } = result.operations;
    const { own_slot, shadow_root } = result.operations;
    for (const each of [slot_move, slot_flags, vm_create, launch_finish, vm_destroy]) expect(each?.errors).toEqual({});
    const done = {
      touch,
      punch_hole,
      allocate,
      to_private,
      to_shared,
      slot_delete,
      slot_create,
      slot_move,
      memory_failure,
      discard,
      slot_flags,
      pvalidate,
      rmp_lock,
      vm_create,
      launch_finish,
      vm_destroy,
      own_slot,
      shadow_root,
    };
    for (const [name, operation] of Object.entries(done)) {
      expect(operation?.count, name).toBeGreaterThan(0);
      const { min, p50, p90, p99, p999, max } = operation!.latencyNs;
      expect([min, p50, p90, p99, p999, max], name).toEqual([min, p50, p90, p99, p999, max].toSorted((a, b) => a - b));
    }
    const { total, free, allocated, leaked } = result.pages;
    expect(free + allocated + leaked).toBe(total);
    expect(result.pagesBefore).toMatchObject({ total, allocated: 0, assigned: 0 });
  });

  it('beside the guest passes, too: what belongs to the guest is refused, what belongs to the VMM never', async () => {
    const result = await torture(BESIDE_THE_GUEST);
    expect(result.violations).toEqual([]);
    expect(result.verdict).toBe('passed');
    const free = ['host_write', 'dma_map', 'dma_write', 'dma_unmap', 'reclaim', 'interrupt', 'mmio_write'];
    const others = ['device_register', 'device_unregister', 'region_register', 'region_unregister'];
    for (const name of [...free, ...others]) expect(result.operations[name]?.errors, name).toEqual({});
    // A notifier may have to sleep, the guest may rewrite its GHCB meanwhile, a slot may be on its way.
    const refused = { reap: ['EAGAIN'], page_state: ['EINVAL'], cached_write: ['EFAULT'] };
    for (const [name, errors] of Object.entries(refused)) {
      expect(result.operations[name]?.count, name).toBeGreaterThan(0);
      expect(errors, name).toEqual(expect.arrayContaining(Object.keys(result.operations[name]!.errors)));
    }
    const astray = result.operations['host_write_private']!.errors['EFAULT'];
    expect(astray).toBeGreaterThan(0);
    expect(result.rmp['hostFaults']).toBeGreaterThanOrEqual(astray!);
  });

  it('reports locks only where the build keeps them', async () => {
    const kept = await torture({ ...SMALL, build: 'fast-stat' });
    const none = await torture({ ...SMALL, build: 'fast' });
    expect(kept.locks['mmu']?.acquisitions).toBeGreaterThan(0);
    expect(none.locks).toEqual({});
  });
});

describe('the verdict', () => {
  it('is threshold when one is missed, with the measured value in the notes', async () => {
    const result = await torture({ ...SMALL, thresholds: { 'touch.min': '< 0.001ns', violations: '== 0' } });
    expect(result.verdict).toBe('threshold');
    expect(result.missedThresholds).toHaveLength(1);
    expect(result.notes.join()).toMatch(/touch\.min: < 0\.001ns, but it was \d+/);
  });

  it('is passed when all thresholds hold', async () => {
    const thresholds = { 'touch.count': '> 0', 'punch_hole.rate': '> 0', violations: '== 0' };
    expect(await torture({ ...SMALL, thresholds })).toMatchObject({
      verdict: 'passed',
      missedThresholds: [],
    });
  });

  it('is inconclusive, never passed, when the run is interrupted before anything ran', async () => {
    const result = await torture(SMALL, AbortSignal.abort());
    expect(result).toMatchObject({ verdict: 'inconclusive', partial: true });
  });

  it('of a mistaken profile is an error that names the place', async () => {
    await expect(torture({ ...SMALL, thresholds: { touch: 'fast' } })).rejects.toThrow(UsageError);
    await expect(torture({ ...SMALL, actors: [{ kind: 'discarder' }] })).rejects.toThrow(
      'actors: no actor has anything to work on',
    );
    await expect(torture({ ...SMALL, vms: [{ name: 'g', memory: '5000' }] })).rejects.toThrow(
      'vms.0.memory: 5000 bytes are no whole pages; expected a multiple of 4096',
    );
  });
});

describe("a VMM's memslot log", () => {
  it('that says something else than the model is told step by step, and the run is not passed', async () => {
    const log = fileURLToPath(new URL('../../config/memslots/qemu-smram-v10.yaml', import.meta.url));
    writeFileSync(join(folder, 'wrong.yaml'), readFileSync(log, 'utf8').replace('ret: -22', 'ret: 0'));
    const result = await torture({ ...SMALL, vms: [{ name: 'g', memslots: 'wrong.yaml' }] });
    expect(result.verdict).toBe('violated');
    expect(result.replayDifferences).toEqual([{ guest: 'g', step: 2, expected: 0, actual: -22 }]);
    expect(result.notes).toEqual(["g: memslot step 2 returned -22, the real machine's log says 0"]);
  });
});
