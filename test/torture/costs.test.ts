// The cost model: what an operation costs is spent, inline or from a file; what is wrong is told.
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Host, runTorture, type TortureResult, UsageError } from '#src/index.js';
import { COST_NAMES, parseCosts, readCosts } from '#src/host/costs.js';
import { profileSchema } from '#src/torture/schema.js';

const folder = mkdtempSync(join(tmpdir(), 'costs-'));
const file = (text: string): string => {
  const path = join(folder, 'costs.yaml');
  writeFileSync(path, text);
  return path;
};

function torture(build: string, costs: unknown): Promise<TortureResult> {
  const profile = profileSchema.parse({
    host: { memory: '64MiB' },
    build,
    vms: [{ name: 'g', memory: '1MiB' }],
    actors: [
      { kind: 'vcpu', touch: { batch: 1, write: 1, distribution: 'sequential' }, operations: 256 },
      {
        kind: 'invalidator',
        range: { pages: [256, 256] },
        touch: { distribution: 'zipf' },
        operations: 5,
        think: '20ms',
      },
    ],
    costs,
    warmup: '0s',
    duration: '1h',
  });
  return runTorture({ profile, profilePath: join(folder, 'profile.yaml'), seed: 1n, again: 'again' });
}

describe('a cost', () => {
  // Lower bounds only: the clock itself says when the time is up.
  it.each(['fast', 'fast-stat', 'perturbed'])('is spent where the operation takes place (%s)', async (build) => {
    const { operations, costs, violations } = await torture(build, { rmpupdate: '1ms', vmrun: '20us' });
    expect(violations).toEqual([]);
    expect(costs).toEqual({ rmpupdate: 1e6, vmrun: 20_000 });
    // The first touch of a page assigns it; none costs less than a guest entry.
    expect(operations['touch']!.latencyNs.max).toBeGreaterThanOrEqual(1e6);
    expect(operations['touch']!.latencyNs.min).toBeGreaterThanOrEqual(20_000);
    // A hole punch gives back the pages that are there.
    expect(operations['punch_hole']!.latencyNs.max).toBeGreaterThanOrEqual(2e6);
  });

  it('of less than the clock can tell is spent by a loop of known speed', async () => {
    const host = await Host.create({ memory: '64MiB', costs: { rmpupdate: 400 } });
    const turns = new DataView(host.shard.buffer).getFloat64(
      (await import('#src/kernel/abi/costs.js')).COST_TURNS_PER_NS,
      true,
    );
    // A locked operation takes from a fraction of a nanosecond to some hundred.
    expect(turns).toBeGreaterThan(0.001);
    expect(turns).toBeLessThan(10);
    await host.close();
  });

  it('is nothing when it is not set', async () => {
    const { operations, costs } = await torture('fast', undefined);
    expect(costs).toBeUndefined();
    expect(operations['touch']!.latencyNs.min).toBeLessThan(20_000);
  });

  it('comes from a file beside the profile, too', async () => {
    file('name: mine\ncosts:\n  vmrun: { time: 20us, basis: measured, source: my machine }\n');
    const { operations, costs } = await torture('fast', 'costs.yaml');
    expect(costs).toEqual({ vmrun: 20_000 });
    expect(operations['touch']!.latencyNs.min).toBeGreaterThanOrEqual(20_000);
  });
});

describe('what is wrong with costs', () => {
  it.each([
    [{ psmsh: 3 }, "costs: 'psmsh' is no operation; known are rmpupdate, "],
    [{ psmash: -1 }, 'costs: psmash: -1 is no time from 0 to 4s'],
    [{ psmash: '3 parsecs' }, '"3 parsecs" is not a duration'],
  ])('%j is told', async (costs, message) => {
    expect(() => parseCosts(costs as never)).toThrow(message);
    await expect(Host.create({ memory: '64MiB', costs: costs as never })).rejects.toThrow(UsageError);
  });

  it.each([
    ['costs: {}\n', 'costs.yaml: name: '],
    ['name: x\ncosts: { psmash: 3us }\n', 'costs.yaml: costs.psmash: '],
    ['name: x\ncosts: { psmash: { time: 3us, basis: rumour, source: x } }\n', 'costs.yaml: costs.psmash.basis: '],
    ['name: [\n', 'costs.yaml: '],
  ])('in a file is told with its place: %j', (text, message) => {
    expect(() => readCosts(file(text))).toThrow(message);
  });

  it('is told of a file that is not there', () => {
    expect(() => readCosts('/nowhere/c.yaml')).toThrow('/nowhere/c.yaml: no such file of costs');
  });
});

describe('the shipped files of costs', () => {
  const costs = fileURLToPath(new URL('../../config/costs/', import.meta.url));

  it('are valid and have every operation', () => {
    const names = readdirSync(costs);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(Object.keys(readCosts(join(costs, name)))).toEqual(COST_NAMES);
  });
});
