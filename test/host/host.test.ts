// The public API: what a library user writes, the mistakes it answers for, and other people's threads.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { Host, KernelError, UsageError, type HostOptions } from '#src/index.js';
import * as errno from '#src/kernel/abi/errno.js';
import * as layout from '#src/kernel/abi/layout.js';
import * as snp from '#src/kernel/abi/snp.js';

const folder = mkdtempSync(join(tmpdir(), 'host-'));
const open: Host[] = [];

async function create(options: HostOptions = {}): Promise<Host> {
  const host = await Host.create({ memory: '64MiB', ...options });
  open.push(host);
  return host;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((host) => host.close()));
});

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** RMPUPDATEs that one task made. */
function rmpUpdates(host: Host, task: number): bigint {
  const at = (host.shard.words[layout.SH_TASKS / 4]! >>> 0) + task * layout.TASK_SIZE;
  return new DataView(host.shard.buffer).getBigUint64(at + snp.SNP_COUNTERS + snp.SNPC_RMPUPDATES, true);
}

describe('a host is refused with one line that names the option', () => {
  const refused: [string, HostOptions, RegExp][] = [
    ['no partitions', { partitions: 0 }, /^partitions: 0 is not a whole number from 1 to 64$/],
    ['half a worker', { workers: 1.5 }, /^workers: 1\.5 is not a whole number from 1 to 256$/],
    ['memory that is no size', { memory: '64 bananas' }, /^"64 bananas" is not a size; write for example 64GiB/],
    ['memory below the least', { memory: '1MiB' }, /^memory: 1048576 bytes are too few; at least 2MiB$/],
    ['memory beyond all shards', { memory: '9TiB' }, /^memory: 9TiB is more than 16 shards of 514GiB hold$/],
    ['memory beyond counting', { memory: '99999999TiB' }, /^memory: 99999999TiB is more than 16 shards of 514GiB /],
    [
      'memory beyond counting in small shards',
      { memory: '99999999TiB', shardMemory: '1GiB' },
      /^memory: 99999999TiB is more than 16 shards of 1GiB hold$/,
    ],
    ['a hook that does not exist', { hook: '/nowhere/hook.js' }, /^hook: \/nowhere\/hook\.js: /],
    ['a hook that exports no function', { hook: write('data.mjs', 'export default 7;\n') }, /^hook: .*default export/],
    ['an unknown variant', { variants: ['B99'] }, /^variants: 'B99' is unknown; known are as-posted, B01, /],
    ['variants without their build', { variants: ['B05'], build: 'fast' }, /^variants: the fast build has none/],
    ['an unknown build', { build: 'quick' as never }, /^build: 'quick' is unknown; known are fast, fast-stat/],
    ['an unknown protocol', { protocol: 'rfc-v9' as never }, /^protocol: 'rfc-v9' is unknown; known are rfc-v7/],
    ['a debug glob that matches nothing', { debug: 'schedule_*' }, /^debug: no pr_debug site matches 'schedule_\*'/],
    ['an unknown log level', { logLevel: 'loud' as never }, /^logLevel: 'loud' is unknown; known are trace, debug,/],
    ['a time that is none', { stuckAfter: 'soon' }, /^"soon" is not a duration; write for example 250ms/],
    ['no time to make progress in', { stuckAfter: 0 }, /^stuckAfter: 0 is too short; at least 1ms$/],
    ['a layout that does not exist', { layout: '/nowhere.yaml' }, /^\/nowhere\.yaml: no such layout file$/],
    ['a layout that is no YAML', { layout: write('bad.yaml', 'name: [\n') }, /bad\.yaml: /],
  ];
  it.each(refused)('%s', async (_, options, message) => {
    const error: unknown = await create(options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).code).toBe('EUSAGE');
    expect((error as UsageError).message).toMatch(message);
    expect((error as UsageError).message).not.toContain('\n');
  });
});

describe('the outline of the library', () => {
  it('binds a file to a guest, maps a page on touch, gives it back on a hole punch, and audits clean', async () => {
    const host = await create({ partitions: 2 });
    const before = host.stats().pages;
    const file = host.createRestrictedMem({ size: '4MiB' });
    const vm = host.createVm({ vcpus: 2 });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 1024, file, startIndex: 0 });
    expect(vm.vcpu(0).touch(5, { write: true, value: 41 }).error).toBe(0);
    expect(vm.vcpu(1).touch(5)).toEqual({ value: 41, error: 0 });
    expect(file.pageCount).toBe(1);
    expect(host.stats().pages).toMatchObject({ assigned: before.assigned + 1 });
    file.punchHole({ startIndex: 0, pageCount: 512 });
    expect(file.pageCount).toBe(0);
    expect(host.stats().pages).toMatchObject({ assigned: before.assigned });
    expect(vm.vcpu(1).touch(5)).toEqual({ value: 0, error: 0 });
    vm.deleteMemslot(0);
    host.audit();
    vm.destroy();
    file.close();
    host.audit();
    expect(host.stats().pages).toEqual(before);
  });

  it('allocates ahead of the first use', async () => {
    const host = await create();
    const file = host.createRestrictedMem({ size: '1MiB' });
    file.allocate({ startIndex: 3, pageCount: 7 });
    expect(file.pageCount).toBe(7);
  });

  it('throws the errno of a refused call with its values', async () => {
    const host = await create();
    const file = host.createRestrictedMem({ size: '1MiB' });
    const vm = host.createVm();
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 16, file });
    let error: unknown;
    try {
      vm.setMemslot({ id: 1, startGfn: 8, pageCount: 16 });
    } catch (reason) {
      error = reason;
    }
    expect(error).toBeInstanceOf(KernelError);
    expect(error).toMatchObject({
      code: 'EEXIST',
      operation: 'KVM_SET_USER_MEMORY_REGION',
      values: { id: 1, startGfn: 8, pageCount: 16 },
    });
  });

  it('answers for arguments that are no numbers of pages, and for a vCPU that is not there', async () => {
    const host = await create();
    const file = host.createRestrictedMem({ size: '1MiB' });
    expect(() => file.punchHole({ startIndex: -1, pageCount: 1 })).toThrow('startIndex: -1 is not a whole number');
    expect(() => host.createRestrictedMem({ size: 100 })).toThrow('size: 100 bytes is not a multiple of 4096');
    expect(() => host.createVm({ vcpus: 2 }).vcpu(2)).toThrow('vcpu: 2: this guest has vCPUs 0 to 1');
  });

  it('refuses homes, vCPUs and ASIDs that cannot be, before anything is made', async () => {
    const host = await create({ partitions: 2 });
    const before = host.stats().pages;
    expect(() => host.createVm({ vcpus: -1 })).toThrow('vcpus: -1 is not a whole number from 0 to 1024');
    expect(() => host.createVm({ homePartition: 2 })).toThrow('homePartition: 2 is not a whole number from 0 to 1');
    expect(() => host.createVm({ asid: 0.5 })).toThrow('asid: 0.5 is not a whole number');
    expect(() => host.createRestrictedMem({ size: '1MiB', homePartition: 7 })).toThrow('homePartition: 7');
    const vm = host.createVm();
    expect(() => vm.setMemslot({ id: 0, startGfn: Number.NaN, pageCount: 1 })).toThrow('startGfn: NaN');
    expect(() => vm.setAttributes({ startGfn: 0, pageCount: -1, private: true })).toThrow('pageCount: -1');
    vm.destroy();
    expect(host.stats().pages).toEqual(before);
    host.audit();
  });

  it('takes the regions of a VMM as they are, and answers with errno', async () => {
    const host = await create();
    const vm = host.createVm();
    const ram = { slot: 0, gpa: 0, size: 0x100000, hva: 0x7f0000000000 };
    expect(vm.setUserMemoryRegion(ram)).toBe(0);
    expect(vm.setUserMemoryRegion({ ...ram, slot: 1 })).toBe(-errno.EEXIST);
    expect(vm.setUserMemoryRegion({ ...ram, size: 100 })).toBe(-errno.EINVAL);
    expect(vm.setUserMemoryRegion({ ...ram, addressSpace: 7 })).toBe(-errno.EINVAL);
    expect(vm.setUserMemoryRegion({ ...ram, size: 0 })).toBe(0);
    expect(vm.setUserMemoryRegion({ ...ram, size: 0 })).toBe(-errno.EINVAL);
    expect(() => vm.setUserMemoryRegion({ ...ram, gpa: -4096 })).toThrow('gpa: -4096 is not a whole number');
  });

  it('says why a vCPU left to user space', async () => {
    const host = await create();
    const file = host.createRestrictedMem({ size: '1MiB' });
    const vm = host.createVm();
    vm.setMemslot({ id: 0, startGfn: 16, pageCount: 256, file });
    const exit = { reason: 'memory-fault', gfn: 18, private: false };
    expect(vm.vcpu(0).touch(18, { write: true, private: false })).toMatchObject({ error: -errno.EFAULT, exit });
    expect(vm.vcpu(0).touch(18, { write: true })).toEqual({ value: 0, error: 0 });
    expect(vm.vcpu(0).touch(4096, { private: false }).exit).toEqual({ reason: 'mmio' });
  });

  it('runs nothing after close', async () => {
    const host = await create();
    await host.close();
    await expect(host.runActors([])).rejects.toThrow('the host is closed');
  });
});

describe("a user's hook", () => {
  it('is called with the VM, the slot and the guest frames [start, end) of each invalidation', async () => {
    const hook = write(
      'hook.mjs',
      'globalThis.hookCalls = [];\nexport default (...args) => { globalThis.hookCalls.push(args); };\n',
    );
    const host = await create({ hook });
    const calls = (): number[][] => (globalThis as unknown as { hookCalls: number[][] }).hookCalls;
    const file = host.createRestrictedMem({ size: '1MiB' });
    const other = host.createVm({ snp: false });
    const vm = host.createVm({ snp: false });
    vm.setMemslot({ id: 3, startGfn: 100, pageCount: 32, file, startIndex: 16 });
    other.setMemslot({ id: 0, startGfn: 0, pageCount: 16, file, startIndex: 0 });
    calls().length = 0;
    file.punchHole({ startIndex: 20, pageCount: 4 });
    expect(calls()).toEqual([[1, 3, 104, 108]]);
    file.punchHole({ startIndex: 12, pageCount: 6 });
    expect(calls().slice(1)).toEqual([
      [0, 0, 12, 16],
      [1, 3, 100, 102],
    ]);
  });
});

const ATTACHED = `
const { workerData, parentPort } = require('node:worker_threads');
(async () => {
  const { attachHost } = await import(workerData.library);
  const host = attachHost(workerData.handle);
  const vm = host.vm(workerData.vm);
  const touched = vm.vcpu(0).touch(9, { write: true, value: 77 });
  host.file(workerData.file).punchHole({ startIndex: 20, pageCount: 4 });
  const own = host.createRestrictedMem({ size: '1MiB' });
  own.allocate({ startIndex: 0, pageCount: 3 });
  const pages = own.pageCount;
  own.close();
  host.detach();
  parentPort.postMessage({ task: host.taskId, touched, pages });
})();
`;

describe('a thread of the user', () => {
  it('attaches by a posted handle and is a task of its own: its calls run on that thread', async () => {
    const host = await create();
    const file = host.createRestrictedMem({ size: '1MiB' });
    const vm = host.createVm({ vcpus: 2 });
    vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
    vm.vcpu(1).touch(20);
    const ownUpdates = rmpUpdates(host, 0);
    const worker = new Worker(ATTACHED, {
      eval: true,
      workerData: {
        library: new URL('../../dist/src/index.js', import.meta.url).href,
        handle: host.handle(),
        vm: vm.handle(),
        file: file.handle(),
      },
    });
    const reply = await new Promise<{ task: number; touched: unknown; pages: number }>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    expect(reply.task).toBeGreaterThan(0);
    expect(reply.touched).toMatchObject({ error: 0 });
    expect(reply.pages).toBe(3);
    expect(rmpUpdates(host, reply.task)).toBe(2n); // assigned one page, gave one back
    expect(rmpUpdates(host, 0)).toBe(ownUpdates);
    expect(vm.vcpu(1).touch(9)).toEqual({ value: 77, error: 0 });
    host.audit();
  });
});
