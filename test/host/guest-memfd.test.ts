// The protocol guest-memfd through the public API: files of a guest, who keeps whom, and every kind of actor on it.
import { afterEach, describe, expect, it } from 'vitest';
import { Host, type HostOptions, KernelError, workload } from '#src/index.js';

const open: Host[] = [];

async function create(options: HostOptions = {}): Promise<Host> {
  const host = await Host.create({ memory: '64MiB', protocol: 'guest-memfd', ...options });
  open.push(host);
  return host;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((host) => host.close()));
});

function errorOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error instanceof KernelError ? error.code : error;
  }
  return undefined;
}

describe('a guest_memfd', () => {
  it('belongs to its guest, serves its faults, and is empty after a hole punch', async () => {
    const host = await create();
    const vm = host.createVm();
    const file = vm.createGuestMemfd({ size: '1MiB' });
    vm.setMemslot({ id: 0, startGfn: 256, pageCount: 256, file });
    expect(vm.vcpu(0).touch(300, { write: true, value: 7 }).error).toBe(0);
    expect(vm.vcpu(0).touch(300).value).toBe(7);
    file.punchHole({ startIndex: 0, pageCount: 256 });
    expect(file.pageCount).toBe(0);
    expect(vm.vcpu(0).touch(300).value).toBe(0);
    expect(errorOf(() => host.createVm().setMemslot({ id: 0, startGfn: 0, pageCount: 1, file }))).toBe('EINVAL');
    host.audit();
  });

  it('takes no flags, and exists by no other protocol', async () => {
    const vm = (await create()).createVm();
    expect(errorOf(() => vm.createGuestMemfd({ size: 4096, flags: 1 }))).toBe('EINVAL');
    expect(errorOf(() => vm.createGuestMemfd({ size: 4095 }))).toBe('EINVAL');
    const before = (await create({ protocol: 'rfc-v8' })).createVm();
    expect(errorOf(() => before.createGuestMemfd({ size: 4096 }))).toBe('ENOTTY');
  });

  it('is released while memslots are bound to it: their faults leave to user space', async () => {
    const host = await create();
    const vm = host.createVm();
    const file = vm.createGuestMemfd({ size: '1MiB' });
    vm.setMemslot({ id: 0, startGfn: 256, pageCount: 256, file });
    vm.vcpu(0).touch(300, { write: true, value: 7 });
    file.close();
    expect(vm.vcpu(0).touch(300)).toMatchObject({ exit: { reason: 'memory-fault', gfn: 300, private: true } });
    expect(host.stats().pages).toMatchObject({ allocated: 0, assigned: 0 });
    vm.destroy();
    host.audit();
  });

  it('keeps its guest until it is closed', async () => {
    const host = await create();
    const vm = host.createVm();
    const file = vm.createGuestMemfd({ size: '1MiB' });
    vm.setMemslot({ id: 0, startGfn: 256, pageCount: 256, file });
    vm.vcpu(0).touch(300, { write: true });
    vm.destroy();
    expect(host.stats().pages.assigned).toBe(1);
    host.audit();
    file.close();
    expect(host.stats().pages).toMatchObject({ allocated: 0, assigned: 0 });
    host.audit();
  });
});

describe.each(['fast', 'perturbed'] as const)('the build %s', (build) => {
  it('runs every kind of actor on it, and nothing is violated', async () => {
    const host = await create({ build, workers: 7 });
    const vms = [0, 1].map(() => {
      const vm = host.createVm({ vcpus: 1 });
      vm.setMemslot({ id: 0, startGfn: 512, pageCount: 512, file: vm.createGuestMemfd({ size: '2MiB' }) });
      return vm;
    });
    const range = { pages: [1, 32] as [number, number] };
    const result = await host.run(
      workload({
        vms,
        duration: '1h',
        actors: [
          { kind: 'vcpu', threads: 2, operations: 20_000 },
          { kind: 'invalidator', range, operations: 500 },
          { kind: 'populator', range, operations: 2000 },
          { kind: 'converter', range, operations: 300 },
          { kind: 'rebinder', rate: '100/s', operations: 40 },
          { kind: 'memory-failure', rate: '100/s', operations: 15 },
        ],
      }),
    );
    expect(result.violations).toEqual([]);
    for (const name of ['touch', 'punch_hole', 'allocate', 'to_shared', 'slot_delete'])
      expect(result.operations[name]!.count, name).toBeGreaterThan(0);
    expect(host.auditAll()).toEqual([]);
  });
});
