// Guests of a profile: files, VMs, vCPUs, and the memslots of a real VMM's log replayed with the logged return value compared with ours.
import { dirname, resolve } from 'node:path';
import { errnoName, UsageError } from '../host/errors.js';
import type { Log } from '../host/log.js';
import type { Shard } from '../host/shard.js';
import { parseSize } from '../host/units.js';
import * as errno from '../kernel/abi/errno.js';
import * as kvm from '../kernel/abi/kvm.js';
import { PROTOCOL_GUEST_MEMFD, SH_PROTOCOL } from '../kernel/abi/layout.js';
import { readDocument } from './document.js';
import { memslotsSchema, type MemslotSequence, type VmProfile } from './schema.js';

const PAGE = 4096;
const WINDOW_BYTES = 4 << 20;
const WINDOW_ALIGN = 2 << 20;
/** Second pieces of split slots get ids that no VMM's sequence comes near to. */
const LEAST_SPARE_ID = 64;

/** One area of a guest that actors may work on: a memslot that the sequence left in place. */
export interface Area {
  slotId: number;
  flags: number;
  gpa: number;
  size: number;
  hva: number;
  /** restrictedmem file (kernel address), 0 for a shared slot. */
  file: number;
  offset: number;
  /** Of a shared slot: another guest address with room for it, above everything else. A rebinder moves it there and back. */
  moveGpa?: number;
}

export interface Guest {
  name: string;
  /** Number of the shard it lives in. */
  shard: number;
  /** struct kvm (kernel address). */
  vm: number;
  vcpus: number[];
  areas: Area[];
  files: number[];
  highestGfn: number;
  /** Slot ids from here on are free. */
  spareId: number;
}

export interface GuestOptions {
  /** A guest with private slots only gets a shared one besides. */
  window?: boolean;
  /** Its VMM is a process of its own, which can be swapped. */
  process?: boolean;
  /** It has an interrupt controller in the kernel. */
  irqchip?: boolean;
  log?: Log;
}

/** A step of a memslot sequence whose return value differs from the logged one. */
export interface ReplayDifference {
  guest: string;
  step: number;
  expected: number;
  actual: number;
}

/** The sequence of a VM: its file, or one private slot when the profile gives only a size. Throws UsageError for a file that is wrong, and a size that cannot be. */
export function memslotSequence(vm: VmProfile, profilePath: string): MemslotSequence {
  if (vm.memslots !== undefined) return readDocument(resolve(dirname(profilePath), vm.memslots), memslotsSchema);
  const size = parseSize(vm.memory ?? '1GiB');
  if (size % PAGE !== 0)
    throw new UsageError('profile', `${size} bytes are no whole pages; expected a multiple of 4096`);
  const step = { slot: 0, flags: kvm.KVM_MEM_PRIVATE, gpa: 0, size, hva: 0x7f0000000000, file: 0, offset: 0, ret: 0 };
  return { name: vm.name, files: [{ id: 0, size }], steps: [step] };
}

/**
 * Creates one guest and replays its memslots; differences from the log are added to `differences`. With `window`, a guest that has private slots only
 * gets a shared one besides: private slots cannot be moved.
 */
export function createGuest(
  shards: readonly Shard[],
  shardNumber: number,
  name: string,
  profile: VmProfile,
  sequence: MemslotSequence,
  home: number,
  differences: ReplayDifference[],
  { window = false, process = false, irqchip = false, log }: GuestOptions = {},
): Guest {
  const shard = shards[shardNumber]!;
  const files = createFiles(shard, sequence, home);
  const vm = createVm(shard, profile.asid, home);
  if (process) handle('create process', shard.x.processCreate(vm));
  if (irqchip) shard.x.kvmCreateIrqchip(vm);
  const kept = replaySteps(shard, vm, name, sequence, files, differences, log);
  if (kept.length === 0) throw new UsageError('memslots', 'its memslots leave no memory');
  const highestId = Math.max(...sequence.steps.map((step) => step.slot));
  if (window && kept.length > 0 && kept.every((area) => area.file !== 0)) {
    kept.push(addWindow(shard, vm, kept, highestId + 1));
  }
  placeMoves(kept);
  const highestGfn = Math.max(...kept.map((area) => (area.gpa + area.size) / PAGE));
  check('shadow memory', shard.x.sysGuestShadow(vm, highestGfn));
  for (const area of kept.filter((each) => each.file !== 0)) {
    check(
      'make private',
      shard.x.sysSetMemoryAttributes(vm, area.gpa / PAGE, area.size / PAGE, kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE),
    );
  }
  const vcpus = Array.from({ length: profile.vcpus }, () => handle('create vCPU', shard.x.sysCreateVcpu(vm)));
  log?.info(
    { guest: name, shard: shardNumber, home, vcpus: vcpus.length, slots: kept.map(describeSlot) },
    'guest created',
  );
  const spareId = Math.max(LEAST_SPARE_ID, highestId + 2);
  return { name, shard: shardNumber, vm, vcpus, areas: kept, files: [...files.values()], highestGfn, spareId };
}

/** Makes the sequence's memslot calls; the areas that they leave. */
function replaySteps(
  shard: Shard,
  vm: number,
  name: string,
  sequence: MemslotSequence,
  files: ReadonlyMap<number, number>,
  differences: ReplayDifference[],
  log: Log | undefined,
): Area[] {
  const areas = new Map<number, Area>();
  sequence.steps.forEach((step, index) => {
    const file = step.file === undefined ? 0 : (files.get(step.file) ?? 0);
    const ret = shard.x.sysSetMemslot(vm, 0, step.slot, step.flags, step.gpa, step.size, step.hva, file, step.offset);
    log?.debug({ guest: name, step: index, ...step, actual: ret }, 'memslot step');
    const expected = expectedOf(shard, step);
    if (ret !== expected) {
      differences.push({ guest: name, step: index, expected, actual: ret });
      log?.warn({ guest: name, step: index, expected, actual: ret }, 'memslot step returned something else');
    }
    if (ret !== 0) return;
    if (step.size === 0) areas.delete(step.slot);
    else
      areas.set(step.slot, {
        slotId: step.slot,
        flags: step.flags,
        gpa: step.gpa,
        size: step.size,
        hva: step.hva,
        file,
        offset: step.offset,
      });
  });
  return [...areas.values()];
}

function expectedOf({ words }: Shard, { ret, retGuestMemfd = ret }: MemslotSequence['steps'][number]): number {
  return words[SH_PROTOCOL / 4] === PROTOCOL_GUEST_MEMFD ? retGuestMemfd : ret;
}

function createVm(shard: Shard, asid: VmProfile['asid'], home: number): number {
  const vm = shard.x.sysCreateVm(1, asid === 'auto' ? 0 : asid, home);
  if (vm !== -errno.EBUSY) return handle('create VM', vm);
  const free = 'set asid: auto, or list this guest before those that have auto';
  throw new UsageError('create VM', `ASID ${asid} is that of another guest already; ${free}`);
}

/** The sequence's files, by its ids. */
function createFiles(shard: Shard, sequence: MemslotSequence, home: number): Map<number, number> {
  const files = new Map<number, number>();
  for (const file of sequence.files) {
    const address = handle('create file', shard.x.sysCreateFile(0, home, 0));
    check('set file size', shard.x.sysFileSetSize(address, parseSize(file.size)));
    files.set(file.id, address);
  }
  return files;
}

function describeSlot({ slotId, gpa, size, file }: Area): string {
  return `${slotId}: 0x${gpa.toString(16)}-0x${(gpa + size).toString(16)} ${file === 0 ? 'shared' : 'private'}`;
}

/** A shared slot above the guest's memory, as a device's memory is. */
function addWindow(shard: Shard, vm: number, areas: readonly Area[], slotId: number): Area {
  const hva = roundUp(Math.max(...areas.map((area) => area.hva + area.size)), WINDOW_ALIGN);
  const area = { slotId, flags: 0, gpa: above(areas), size: WINDOW_BYTES, hva, file: 0, offset: 0 };
  check('shared window', shard.x.sysSetMemslot(vm, 0, slotId, 0, area.gpa, area.size, area.hva, 0, 0));
  return area;
}

/** Gives each shared slot a second place. */
function placeMoves(areas: readonly Area[]): void {
  let free = above(areas);
  for (const area of areas.filter(({ file }) => file === 0)) {
    area.moveGpa = free;
    free = roundUp(free + area.size, WINDOW_ALIGN);
  }
}

function above(areas: readonly Area[]): number {
  return roundUp(Math.max(...areas.map((area) => area.gpa + area.size)), WINDOW_ALIGN);
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

/** Object handles are kernel addresses; the last 4096 values are negative errno. */
function handle(operation: string, value: number): number {
  const address = value >>> 0;
  if (address >= 0xfffff000) throw new UsageError(operation, `${operation}: ${errnoName(value | 0)}`);
  return address;
}

function check(operation: string, error: number): void {
  if (error < 0) throw new UsageError(operation, `${operation}: ${errnoName(error)}`);
}
