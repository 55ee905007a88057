// Home workers of a host: from startHomeWorkers() on they do chunks of large hole punches, beside actors and after them, until the host is closed.
import { afterEach, describe, expect, it } from 'vitest';
import { Host, UsageError, workload, type File, type HostOptions, type Vm } from '#src/index.js';
import { taskStates } from '#src/host/watchdog.js';
import * as layout from '#src/kernel/abi/layout.js';
import * as trace from '#src/kernel/abi/trace.js';
import { startTrace } from '#src/torture/trace.js';

/** Just more than the least that is worth a fan-out. */
const PAGES = 17_000;
const ALL = { startIndex: 0, pageCount: PAGES };

const open: Host[] = [];

async function create(options: HostOptions): Promise<Host> {
  const host = await Host.create({ memory: '256MiB', ...options });
  open.push(host);
  startTrace(host.shards, 1024);
  return host;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((host) => host.close()));
});

interface Guest {
  vm: Vm;
  file: File;
}

/** A guest whose memory lies in all partitions of the shard. */
function guestOf(host: Host, shard = 0): Guest {
  const vm = host.createVm({ shard });
  const file = host.createRestrictedMem({ size: PAGES * 4096, interleave: true, shard });
  vm.setMemslot({ id: 0, startGfn: 0, pageCount: PAGES, file });
  return { vm, file };
}

/** Tasks of a shard beside the host's own thread. */
const threadsOf = (host: Host, shard = 0): number[] =>
  taskStates(host.shards[shard]!)
    .map(({ task }) => task)
    .filter((task) => task !== 0);

/** Calls of the platform hook that a thread has made for its chunks, from its ring of events. */
function hooksBy(host: Host, shard: number, task: number): number {
  const { x, buffer } = host.shards[shard]!;
  const view = new DataView(buffer);
  const ring = view.getUint32((x.taskAddress(task) >>> 0) + layout.TASK_TRACE, true);
  const events = Number(view.getBigUint64(ring + trace.TRACE_TOTAL, true));
  const kindOf = (n: number): number =>
    view.getUint32(ring + trace.TRACE_HEADER + n * trace.EVENT_SIZE + trace.EVENT_KIND, true);
  return Array.from({ length: events }, (_, n) => kindOf(n)).filter((kind) => kind === trace.EV_HOOK).length;
}

/** Punches the whole memory of the guest out, full each time, until home workers have done chunks of it: on a busy machine they may come late. How many. */
function chunksServed(host: Host, { vm, file }: Guest): number {
  const homes = threadsOf(host, vm.shard);
  const served = (): number => homes.reduce((sum, task) => sum + hooksBy(host, vm.shard, task), 0);
  const before = served();
  for (let round = 0; round < 100 && served() === before; round++) {
    file.allocate(ALL);
    for (let gfn = 0; gfn < PAGES; gfn += 512) expect(vm.vcpu(0).touch(gfn, { write: true }).error).toBe(0);
    file.punchHole({ ...ALL, fanout: true });
    expect(file.pageCount).toBe(0);
  }
  return served() - before;
}

describe('the home workers of a host', () => {
  it.each([
    ['one shard', {}, [0]],
    ['several shards', { memory: '2GiB', shardMemory: '1GiB', workers: 4 }, [1, 0]],
  ])('do chunks of large hole punches (%s)', async (_, options, shards) => {
    const host = await create({ partitions: 2, ...options });
    const guests = shards.map((shard) => guestOf(host, shard));
    await host.startHomeWorkers();
    for (const guest of guests) {
      expect(threadsOf(host, guest.vm.shard)).toHaveLength(2);
      expect(chunksServed(host, guest)).toBeGreaterThan(0);
    }
    expect(host.stats().pages).toMatchObject({ allocated: 0, assigned: 0, leaked: 0 });
    host.audit();
  });

  it('go on beside actors and after them; no actor gets their threads', async () => {
    const host = await create({ workers: 3 });
    const guest = guestOf(host);
    await host.startHomeWorkers();
    const load = (threads: number) =>
      workload({ vms: [guest.vm], actors: [{ kind: 'invalidator', threads, operations: 50 }], duration: '1h' });
    await expect(host.run(load(2))).rejects.toThrow(
      '2 actors need as many workers; this host has 3, of which 2 are home workers',
    );
    const { operations, violations } = await host.run(load(1));
    expect(violations).toEqual([]);
    expect(operations['punch_hole']!.count).toBe(50);
    expect(chunksServed(host, guest)).toBeGreaterThan(0);
  });

  it('end when the host is closed', async () => {
    const host = await create({});
    await host.startHomeWorkers();
    expect(threadsOf(host)).toHaveLength(2);
    await host.close();
    expect(threadsOf(host)).toEqual([]);
    await expect(host.startHomeWorkers()).rejects.toThrow('the host is closed');
  });

  it('are refused where there are fewer workers than partitions', async () => {
    const host = await create({ partitions: 4, workers: 3 });
    await expect(host.startHomeWorkers()).rejects.toThrow(UsageError);
    expect(threadsOf(host)).toEqual([]);
  });
});
