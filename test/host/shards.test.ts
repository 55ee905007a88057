// Hosts of several shards: the memory map cut into kernels of their own, and everything that concerns the whole host.
import { existsSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { Host } from '#src/host/host.js';
import { MAX_SHARD_PFNS, MAX_SHARDS, splitLayout } from '#src/host/shards.js';
import { KC_RM_ERRORS, KVM_COUNTERS } from '#src/kernel/abi/kvm.js';
import { SH_STOP } from '#src/kernel/abi/layout.js';
import { readDocument } from '#src/torture/document.js';
import { profileSchema } from '#src/torture/schema.js';
import { runTorture } from '#src/torture/run.js';

const GIB = 262_144; // pages
let host: Host;
afterEach(() => host?.close());

const twoShards = async (): Promise<Host> => (host = await Host.create({ memory: '2GiB', shardMemory: '1GiB' }));

/** Resident memory of this process in MiB; 0 where the system does not say. */
function residentMiB(): number {
  if (!existsSync('/proc/self/status')) return 0;
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;
}

describe('a memory map', () => {
  it('is cut at multiples of 1 GiB, PFNs counting from each cut, and shards without memory are left out', () => {
    const map = {
      name: 'm',
      usable: [
        { start: 256, end: GIB + 512 },
        { start: 3 * GIB, end: 3 * GIB + 1024 },
      ],
      rmp: { start: 3 * GIB + 512, end: 3 * GIB + 640 },
      pfnCount: 3 * GIB + 1024,
    };
    expect(splitLayout(map, GIB)).toEqual([
      { base: 0, pfnCount: GIB, usable: [{ start: 256, end: GIB }], rmp: undefined },
      { base: GIB, pfnCount: GIB, usable: [{ start: 0, end: 512 }], rmp: undefined },
      { base: 3 * GIB, pfnCount: 1024, usable: [{ start: 0, end: 1024 }], rmp: { start: 512, end: 640 } },
    ]);
    expect(splitLayout(map)).toHaveLength(1);
    expect(MAX_SHARD_PFNS / GIB).toBe(514);
  });

  it('that no host can have is cut no further than is needed to see that', () => {
    const far = {
      name: 'm',
      usable: [{ start: 2 ** 52, end: 2 ** 52 + 512 }],
      rmp: undefined,
      pfnCount: 2 ** 52 + 512,
    };
    expect(splitLayout(far, GIB)).toEqual([
      { base: 2 ** 52, pfnCount: 512, usable: [{ start: 0, end: 512 }], rmp: undefined },
    ]);
    const all = { ...far, usable: [{ start: 0, end: 2 ** 52 }] };
    expect(splitLayout(all, GIB)).toHaveLength(MAX_SHARDS + 1);
  });
});

describe('a host of two shards', () => {
  it('puts guests and files where they are wanted, or where most room is, and keeps their memory apart', async () => {
    const { shards } = await twoShards();
    expect(shards).toHaveLength(2);
    const fill = host.createRestrictedMem({ size: '64MiB' });
    fill.allocate({ startIndex: 0, pageCount: 16_384 });
    expect(fill.shard).toBe(0);
    const file = host.createRestrictedMem({ size: '4MiB' });
    const vm = host.createVm();
    expect([file.shard, vm.shard, host.createVm({ shard: 0 }).shard]).toEqual([1, 1, 0]);
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 1024, file });
    expect(vm.vcpu(0).touch(5, { write: true, value: 77 })).toEqual({ value: 0, error: 0 });
    expect(vm.vcpu(0).touch(5).value).toBe(77);
    expect(host.stats().pages).toMatchObject({ allocated: 16_385, assigned: 1 });
    host.audit();
  });

  it('refuses a file of another shard before anything happens', async () => {
    await twoShards();
    const vm = host.createVm({ shard: 0 });
    const file = host.createRestrictedMem({ size: '4MiB', shard: 1 });
    const region = { slot: 0, flags: 4, gpa: 0, size: 4096, hva: 0x7f0000000000, file };
    expect(() => vm.setMemslot({ id: 0, startGfn: 0, pageCount: 1, file })).toThrow(
      /lives in shard 1, the guest in shard 0/,
    );
    expect(() => vm.setUserMemoryRegion(region)).toThrow(/create one of them with \{ shard \}/);
    expect(() => host.createVm({ shard: 2 })).toThrow('shard: 2 is not a whole number from 0 to 1');
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 1, file: host.createRestrictedMem({ size: '1MiB', shard: 0 }) });
  });

  it('takes memory errors by the PFNs of the whole host', async () => {
    await twoShards();
    const vm = host.createVm({ shard: 1 });
    const file = host.createRestrictedMem({ size: '1MiB', shard: 1 });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
    vm.vcpu(0).touch(3, { write: true });
    const errors = (): number => host.shards[1]!.words[(vm.address + KVM_COUNTERS) / 4 + KC_RM_ERRORS]!;
    for (let pfn = 0; pfn < 2048; pfn++) host.memoryFailure(pfn);
    expect(errors()).toBe(0);
    for (let pfn = 0; pfn < 2048; pfn++) host.memoryFailure(GIB + pfn);
    expect(errors()).toBe(1);
  });

  it('is stopped as a whole, and says in which shard an invariant broke', async () => {
    await twoShards();
    const [first, second] = host.shards;
    host.stop();
    expect([first, second].map((shard) => shard!.words[SH_STOP / 4])).toEqual([1, 1]);
    await host.close();
    host = await Host.create({ memory: '2GiB', shardMemory: '1GiB', variants: ['B01'] });
    const vm = host.createVm({ shard: 1 });
    const file = host.createRestrictedMem({ size: '1MiB', shard: 1 });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
    vm.vcpu(0).touch(3, { write: true });
    vm.deleteMemslot(0);
    expect(() => file.punchHole({ startIndex: 0, pageCount: 256 })).toThrow(/still assigned/);
    const [violation] = host.violations();
    expect(violation!.message).toMatch(/^shard 1 \(pfns from 0x40000\): free of pfn/);
    expect(violation!.details).toMatchObject({ shard: 1 });
  });

  it('is joined by other threads as a whole', async () => {
    await twoShards();
    const file = host.createRestrictedMem({ size: '1MiB', shard: 1 });
    const vm = host.createVm({ shard: 1 });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.library).then(({ attachHost }) => {
        const joined = attachHost(workerData.handle);
        joined.vm(workerData.vm).vcpu(0).touch(9, { write: true, value: 4 });
        const before = joined.file(workerData.file).pageCount;
        joined.detach();
        parentPort.postMessage(before);
      });`;
    const library = new URL('../../dist/src/host/attach.js', import.meta.url).href;
    const workerData = { library, handle: host.handle(), vm: vm.handle(), file: file.handle() };
    const worker = new Worker(source, { eval: true, workerData });
    expect(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))).toBe(1);
    expect(vm.vcpu(0).touch(9).value).toBe(4);
  });
});

it('a profile spreads its guests over the shards, and each actor over those with guests', async () => {
  const profile = readDocument('config/quickstart.yaml', profileSchema, [
    'host={ memory: 4GiB, shardMemory: 2GiB }',
    'vms=[{ name: g, count: 2, vcpus: 1, memory: 256MiB }]',
    'actors=[{ kind: vcpu, threads: 2 }, { kind: invalidator, threads: 2, range: { pages: [1, 64] } }]',
    'duration=300ms',
  ]);
  const options = { profilePath: 'config/quickstart.yaml', seed: 5n, again: '' };
  const result = await runTorture({ ...options, profile });
  expect(result).toMatchObject({ verdict: 'passed', violations: [], workers: 4 });
  expect(result.operations['touch']!.count).toBeGreaterThan(0);
  const few = { ...profile, actors: profile.actors.map((actor) => ({ ...actor, threads: 1 })) };
  await expect(runTorture({ ...options, profile: few })).rejects.toThrow(
    /vcpu has 1 threads, and the guests live in 2 shards/,
  );
});

it('a host of 1 TiB boots, and its first and last page are taken and given back, in little memory', async () => {
  const before = residentMiB();
  host = await Host.create({ memory: '1TiB', partitions: 1, build: 'fast' });
  expect(host.shards).toHaveLength(2);
  expect(host.stats().pages.total).toBe(2 ** 28 - 256);
  for (const [n] of host.shards.entries()) {
    const vm = host.createVm({ shard: n });
    const file = host.createRestrictedMem({ size: '2MiB', shard: n });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 512, file });
    for (const gfn of [0, 511]) expect(vm.vcpu(0).touch(gfn, { write: true }).error).toBe(0);
    file.punchHole({ startIndex: 0, pageCount: 512 });
    expect(file.pageCount).toBe(0);
  }
  expect(residentMiB() - before).toBeLessThan(400);
});

it('the memory map of the real 512 GiB host boots, with the RMP table as firmware pages', async () => {
  host = await Host.create({ layout: 'config/layouts/snp-host-512g.yaml', build: 'fast', partitions: 4 });
  // The sum of the usable ranges of that log, in pages, without the 255 behind the table's end, which share a 2M region with it (B47).
  expect(host.stats().pages.total).toBe(547_187_208_192 / 4096 - 255);
  const { x } = host.shard;
  expect(x.rmpAssigned(0x7ffe800)).toBeTruthy();
  expect(x.rmpAssigned(0x807f0ff)).toBeTruthy();
  expect(x.rmpAssigned(0x807f100)).toBeFalsy();
  const vm = host.createVm();
  const file = host.createRestrictedMem({ size: '1GiB' });
  vm.setMemslot({ id: 0, startGfn: 0, pageCount: 262_144, file });
  expect(vm.vcpu(0).touch(262_143, { write: true }).error).toBe(0);
  file.punchHole({ startIndex: 0, pageCount: 262_144 });
  expect(host.stats().pages.allocated).toBe(0);
});
