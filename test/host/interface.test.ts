// The library as its outline promises it, from the package's own exports, typed as a stranger would type it.
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { Host, KernelError, RmpTortureError, Slot, workload } from '#src/index.js';

it('does what the outline of the library says', async () => {
  const host = await Host.create({ memory: '64GiB', partitions: 4, workers: 4, protocol: 'rfc-v8', hook: 'snp' });
  const file = host.createRestrictedMem({ size: '2GiB' });
  const vm = host.createVm({ vcpus: 2 });
  const slot = vm.setMemslot({ id: 0, startGfn: 0, pageCount: 524_288, file, startIndex: 0 });
  expect(slot).toBeInstanceOf(Slot);
  expect(slot).toMatchObject({ id: 0, startGfn: 0, pageCount: 524_288 });
  expect(vm.vcpu(0).touch(5, { write: true }).error).toBe(0);
  file.punchHole({ startIndex: 0, pageCount: 512 });
  expect(file.pageCount).toBe(0);
  const result = await host.run(
    workload({
      vms: [vm],
      actors: [
        { kind: 'vcpu', threads: 2, touch: { distribution: 'zipf', write: 0.3 }, operations: 4000 },
        { kind: 'invalidator', range: { pages: [1, 64] }, rate: '500/s', operations: 100 },
        { kind: 'converter', operations: 100 },
      ],
      duration: '1h',
    }),
  );
  expect(result).toMatchObject({ violations: [], partial: false });
  expect(result.operations['touch']!.count).toBe(8000);
  expect(result.operations['punch_hole']!.count).toBe(100);
  host.audit();
  await host.close();
});

it('runs a workload again and again on one host, and stops one early', async () => {
  const host = await Host.create({ memory: '1GiB', workers: 1, build: 'fast' });
  const vm = host.createVm();
  vm.setMemslot({ id: 3, startGfn: 16, pageCount: 1024, file: host.createRestrictedMem({ size: '4MiB' }) });
  const load = { vms: [vm], actors: [{ kind: 'vcpu' as const }], duration: '1h' };
  const counts: number[] = [];
  for (const operations of [1000, 2000]) {
    const { operations: done } = await host.run(workload({ ...load, operations }));
    counts.push(done['touch']!.count);
  }
  expect(counts).toEqual([1000, 2000]);
  const stopper = new AbortController();
  setTimeout(() => stopper.abort(), 50);
  const stopped = await host.run(workload({ ...load, signal: stopper.signal }));
  expect(stopped.partial).toBe(true);
  await host.close();
});

it('hands a slot out that can be moved and deleted as KVM allows', async () => {
  const host = await Host.create({ memory: '64MiB' });
  const vm = host.createVm();
  const shared = vm.setMemslot({ id: 1, startGfn: 0x1000, pageCount: 16 });
  const moved = shared.move(0x2000);
  expect(vm.slots.map(({ startGfn }) => startGfn)).toEqual([0x2000]);
  const own = vm.setMemslot({ id: 2, startGfn: 0, pageCount: 16, file: host.createRestrictedMem({ size: '1MiB' }) });
  expect(() => own.move(0x3000)).toThrow(KernelError);
  moved.delete();
  own.delete();
  expect(vm.slots).toEqual([]);
  expect(() => own.delete()).toThrow(RmpTortureError);
  host.audit();
  await host.close();
});

it.each([
  [{ actors: [] }, /actors: /],
  [{ actors: [{ kind: 'vcpus' }] }, /actors\.0\.kind: /],
  [{ actors: [{ kind: 'vcpu', threads: 0 }] }, /actors\.0\.threads: /],
  [{ duration: 'soon' }, /duration: /],
] as [object, RegExp][])('refuses a workload that makes no sense: %j', (wrong, message) => {
  const options = { vms: [], actors: [{ kind: 'vcpu' }], duration: '1s', ...wrong } as never;
  expect(() => workload(options)).toThrow(message);
});

it('refuses a workload on a guest without memslots', async () => {
  const host = await Host.create({ memory: '64MiB' });
  const empty = workload({ vms: [host.createVm()], actors: [{ kind: 'vcpu' }], duration: '1s' });
  await expect(host.run(empty)).rejects.toThrow('vms[0] has no memslots');
  await host.close();
});

it('lets another thread join by the posted handle, under the package’s own name', async () => {
  const host = await Host.create({ memory: '64MiB' });
  const file = host.createRestrictedMem({ size: '1MiB' });
  const vm = host.createVm();
  vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
  const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    import('rmptorture').then(({ attachHost }) => {
      const joined = attachHost(workerData.handle);
      parentPort.postMessage(joined.vm(workerData.vm).vcpu(0).touch(7, { write: true, value: 9 }).error);
      joined.detach();
    });`;
  const worker = new Worker(source, { eval: true, workerData: { handle: host.handle(), vm: vm.handle() } });
  expect(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))).toBe(0);
  expect(vm.vcpu(0).touch(7).value).toBe(9);
  await host.close();
});
