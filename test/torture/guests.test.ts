// Guests of the shipped memslot sequences, and short torture runs.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { PROTOCOL_GUEST_MEMFD, PROTOCOL_RFC_V8 } from '#src/kernel/abi/layout.js';
import { createGuest, memslotSequence, type ReplayDifference } from '#src/torture/guests.js';
import { runTorture, type TortureResult } from '#src/torture/run.js';
import { profileSchema } from '#src/torture/schema.js';
import { bootHost } from '../oracle/guest.js';

const CONFIG = fileURLToPath(new URL('../../config/', import.meta.url));

describe.each(readdirSync(`${CONFIG}memslots`))('the memslot sequence %s', (file) => {
  it.each([
    ['rfc-v8', 'what the real machine returned', PROTOCOL_RFC_V8],
    ['guest-memfd', 'what KVM says since 6.8', PROTOCOL_GUEST_MEMFD],
  ])('returns step by step, by %s, %s', (_, __, protocol) => {
    const k = bootHost({ memoryPages: 4096, protocol });
    const vm = profileSchema.shape.vms.element.parse({ name: 'guest', vcpus: 1, memslots: `memslots/${file}` });
    const differences: ReplayDifference[] = [];
    const guest = createGuest([k], 0, 'guest', vm, memslotSequence(vm, `${CONFIG}quickstart.yaml`), 0, differences);
    expect(differences).toEqual([]);
    expect(guest.areas.length).toBeGreaterThan(0);
    expect(k.x.sysAudit()).toBe(0);
  });
});

const ACTORS = [
  { kind: 'vcpu', threads: 2, touch: { write: 0.5 } },
  { kind: 'invalidator' },
  { kind: 'populator' },
  { kind: 'converter' },
  { kind: 'rebinder', rate: '50/s' },
  { kind: 'memory-failure', rate: '100/s' },
];
/** What each of them does in some tenths of a second, so that all are at work for most of a run. */
const OPERATIONS = [15_000, 500, 2000, 500, 30, 30];
/** Until a violation ends the run. */
const ENDLESS = { actors: ACTORS };

async function torture(overrides: object, signal?: AbortSignal): Promise<TortureResult> {
  const profile = profileSchema.parse({
    host: { memory: '1GiB', partitions: 2 },
    vms: [{ name: 'guest', count: 2, vcpus: 2, memory: '32MiB' }],
    actors: ACTORS.map((actor, n) => ({ ...actor, operations: OPERATIONS[n] })),
    duration: '1h',
    ...overrides,
  });
  const options = { profile, profilePath: `${CONFIG}test.yaml`, seed: 7n, again: 'again' };
  return runTorture(signal === undefined ? options : { ...options, signal });
}

describe('a torture run', () => {
  it('of rfc-v8 passes with every kind of actor at work', async () => {
    const result = await torture({});
    expect(result.violations).toEqual([]);
    expect(result.verdict).toBe('passed');
    expect(result.seed).toBe('0x7');
    const ran = Object.entries(result.operations).filter(([, operation]) => operation.count > 0);
    expect(ran.map(([name]) => name)).toEqual(
      expect.arrayContaining([
        'touch',
        'punch_hole',
        'allocate',
        'to_private',
        'to_shared',
        'slot_delete',
        'slot_create',
        'slot_move',
      ]),
    );
    expect(result.pages.total).toBe(result.pages.free + result.pages.allocated + result.pages.leaked);
    expect(result.locks['mmu']!.acquisitions).toBeGreaterThan(0);
  });

  it('passes in the fast build, too', async () => {
    expect((await torture({ build: 'fast' })).verdict).toBe('passed');
  });

  it.each(['B01', 'B05', 'no-retry-check', 'skip-zap'])('finds %s', async (variant) => {
    const result = await torture({ ...ENDLESS, variants: [variant] });
    expect(result.verdict).toBe('violated');
    // Which oracle meets the mistake first is a matter of the interleaving; all of these are its consequences.
    expect(['host-page', 'stale-mapping', 'one-owner', 'guest-data']).toContain(result.violations[0]!.oracle);
  });

  it('of rfc-v7 fails where the patch says it does: pages go back assigned', async () => {
    const result = await torture({ ...ENDLESS, protocol: 'rfc-v7' });
    expect(result.verdict).toBe('violated');
    expect(result.violations[0]!.oracle).toBe('host-page');
    expect(result.violations[0]!.message).toMatch(/^free of pfn .* which is still assigned to a guest /);
  });

  it('fails a threshold that it misses, and names it', async () => {
    const result = await torture({ thresholds: { 'touch.p50': '< 1ns' } });
    expect(result.verdict).toBe('threshold');
    expect(result.missedThresholds).toEqual([expect.stringMatching(/^touch\.p50: < 1ns, but it was \d/)]);
  });

  it('that is interrupted ends at once with a partial result', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    const result = await torture(ENDLESS, controller.signal);
    expect(result.partial).toBe(true);
    expect(result.durationMs).toBeLessThan(60_000);
  });
});
