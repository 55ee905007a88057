// What taking pages back costs by RFC v8 and by guest_memfd, side by side: faults with their hole punch, a large hole, conversions, and a memslot that goes and comes.
import { PROTOCOL_GUEST_MEMFD, PROTOCOL_RFC_V8 } from '../../src/kernel/abi/layout.js';
import type { Shard } from '../../src/host/shard.js';
import { bootShard, closeShard, createGuest, type Guest, punch } from '../machine.js';
import { WrongResult, type Benchmark, type Runner } from '../runner.js';
import { timed } from '../timing.js';

const SLOT_PAGES = 2048;
const PRIVATE_SLOT = 4; // KVM_MEM_PRIVATE
const PRIVATE = 8; // KVM_MEMORY_ATTRIBUTE_PRIVATE
const HVA = 0x7f00_0000_0000;

interface Machine {
  protocol: string;
  shard: Shard;
  guest: Guest;
}

function boot(protocol: string, number: number, pages: number): Machine {
  const shard = bootShard(2 * pages, { protocol: number });
  return { protocol, shard, guest: createGuest(shard, pages) };
}

function fill({ shard, guest, protocol }: Machine, pages: number): void {
  const mapped = shard.x.benchFaults(guest.vcpu, 0, pages);
  if (mapped !== pages) throw new WrongResult(`${protocol}: ${mapped} of ${pages} pages could be mapped`);
}

/** Shared and private again: errors. */
function convert({ shard, guest }: Machine, pages: number): number {
  const shared = shard.x.sysSetMemoryAttributes(guest.kvm, 0, pages, 0);
  return shared | shard.x.sysSetMemoryAttributes(guest.kvm, 0, pages, PRIVATE);
}

/** Deleted and created: errors. */
function rebind({ shard, guest }: Machine): number {
  const deleted = shard.x.sysSetMemslot(guest.kvm, 0, 0, 0, 0, 0, 0, 0, 0);
  return deleted | shard.x.sysSetMemslot(guest.kvm, 0, 0, PRIVATE_SLOT, 0, SLOT_PAGES * 4096, HVA, guest.file, 0);
}

export async function protocols(runner: Runner): Promise<void> {
  const large = runner.count(65_536, 65_536, 4096);
  const make = (pages: number): Machine[] => [
    boot('rfc-v8', PROTOCOL_RFC_V8, pages),
    boot('guest-memfd', PROTOCOL_GUEST_MEMFD, pages),
  ];
  const small = make(SLOT_PAGES);
  const group = (machines: readonly Machine[], of: (machine: Machine) => Benchmark): Promise<unknown> =>
    runner.group(machines.map(of));
  for (const pages of [1, 512]) {
    const rounds = runner.count(Math.max(4, Math.ceil(4096 / pages)));
    await group(small, ({ protocol, shard, guest }) => ({
      name: `protocols/faults and hole of ${pages}, ${protocol}`,
      operations: rounds,
      expected: pages * rounds,
      run: () => timed(() => shard.x.benchCycles(guest.vcpu, guest.file, 0, pages, rounds)),
    }));
  }
  await group(small, (machine) => ({
    name: `protocols/512 pages shared and private again, ${machine.protocol}`,
    operations: 1,
    expected: 0,
    prepare: () => fill(machine, 512),
    run: () => timed(() => convert(machine, 512)),
  }));
  await group(small, (machine) => ({
    name: `protocols/memslot of 512 pages deleted and created, ${machine.protocol}`,
    operations: 1,
    expected: 0,
    prepare: () => fill(machine, 512),
    run: () => timed(() => rebind(machine)),
  }));
  for (const { shard } of small) closeShard(shard);
  const machines = make(large);
  await group(machines, (machine) => ({
    name: `protocols/hole of ${large} pages, per page, ${machine.protocol}`,
    operations: large,
    expected: 0,
    prepare: () => fill(machine, large),
    run: () => timed(() => punch(machine.shard, machine.guest, large)),
  }));
  for (const { shard } of machines) closeShard(shard);
}
