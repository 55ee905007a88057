// The cost model: what an operation costs is spent, inline or from a file; what is wrong is told.
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  Host,
  runTorture,
  workload,
  type ActorOptions,
  type OperationResult,
  type TortureResult,
  UsageError,
} from '#src/index.js';
import { COST_NAMES, parseCosts, readCosts } from '#src/host/costs.js';
import * as abi from '#src/kernel/abi/costs.js';
import { profileSchema, type Profile } from '#src/torture/schema.js';
import { costsOf } from '#src/torture/trouble.js';

/** Of the guest's memory. */
const PAGES = 16;
const folder = mkdtempSync(join(tmpdir(), 'costs-'));
const file = (text: string): string => {
  const path = join(folder, 'costs.yaml');
  writeFileSync(path, text);
  return path;
};

function profileWith(costs: unknown): Profile {
  return profileSchema.parse({
    host: { memory: '64MiB' },
    build: 'fast',
    vms: [{ name: 'g', memory: '1MiB' }],
    actors: [{ kind: 'vcpu', touch: { batch: 1 }, operations: 16 }],
    costs,
    warmup: '0s',
    duration: '1h',
  });
}

function torture(costs: unknown): Promise<TortureResult> {
  const profilePath = join(folder, 'profile.yaml');
  return runTorture({ profile: profileWith(costs), profilePath, seed: 1n, again: 'again' });
}

describe('a cost', () => {
  // Lower bounds only: the clock itself says when the time is up.
  it.each(['fast', 'fast-stat', 'perturbed'] as const)(
    'is spent where the operation takes place (%s)',
    async (build) => {
      const host = await Host.create({
        memory: '64MiB',
        workers: 1,
        build,
        costs: { rmpupdate: '1ms', vmrun: '20us' },
      });
      const vm = host.createVm();
      vm.setMemslot({ id: 0, startGfn: 0, pageCount: PAGES, file: host.createRestrictedMem({ size: PAGES * 4096 }) });
      const operation = async (actor: ActorOptions): Promise<OperationResult> => {
        const { operations, violations } = await host.run(
          workload({ vms: [vm], actors: [actor], warmup: '0s', duration: '1h' }),
        );
        expect(violations).toEqual([]);
        return Object.values(operations)[0]!;
      };
      // The first touch of a page assigns it; none costs less than a guest entry.
      const touched = await operation({
        kind: 'vcpu',
        touch: { batch: 1, distribution: 'sequential' },
        operations: PAGES,
      });
      expect(touched.latencyNs.max).toBeGreaterThanOrEqual(1e6);
      expect(touched.latencyNs.min).toBeGreaterThanOrEqual(20_000);
      // A hole punch gives back the pages that are there: all of them.
      const punched = await operation({ kind: 'invalidator', range: { pages: [PAGES, PAGES] }, operations: 1 });
      expect(punched.latencyNs.min).toBeGreaterThanOrEqual(PAGES * 1e6);
      await host.close();
    },
  );

  it('of less than the clock can tell is spent by a loop of known speed', async () => {
    const host = await Host.create({ memory: '64MiB', costs: { rmpupdate: 400 } });
    const turns = new DataView(host.shard.buffer).getFloat64(abi.COST_TURNS_PER_NS, true);
    // A locked operation takes from a fraction of a nanosecond to some hundred.
    expect(turns).toBeGreaterThan(0.001);
    expect(turns).toBeLessThan(10);
    await host.close();
  });

  it('is nothing when it is not set', async () => {
    expect((await torture(undefined)).costs).toBeUndefined();
    const host = await Host.create({ memory: '64MiB', costs: { vmrun: '20us' } });
    const bytes = new DataView(host.shard.buffer);
    const spent = [abi.COST_RMPUPDATE, abi.COST_PSMASH, abi.COST_VMRUN].map((cost) => bytes.getUint32(cost, true));
    expect(spent).toEqual([0, 0, 20_000]);
    await host.close();
  });

  it('stands in the profile', () => {
    const costs = costsOf(profileWith({ rmpupdate: '1ms', vmrun: '20us' }), 'profile.yaml');
    expect(costs).toEqual({ rmpupdate: 1e6, vmrun: 20_000 });
  });

  it('comes from a file beside the profile, too', async () => {
    file('name: mine\ncosts:\n  vmrun: { time: 20us, basis: measured, source: my machine }\n');
    const { operations, costs } = await torture('costs.yaml');
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
