// Guests and files as objects: thin wrappers that check arguments, call the kernel on this very thread, and turn errno into errors.
import * as kvm from '../kernel/abi/kvm.js';
import { count, flag, handle, keysOf, must, partition, within } from './arguments.js';
import { UsageError } from './errors.js';
import {
  checkHandle,
  checkMemslot,
  checkRegion,
  guestMemfdSize,
  restrictedMemSize,
  type FileHandle,
  type FileOptions,
  type GuestMemfdOptions,
  type MemoryRegion,
  type MemslotOptions,
  type PageRange,
  type VmHandle,
} from './object-options.js';
import { object, shown } from './options.js';
import { joined, type Shard } from './shard.js';
import { Slot } from './slot.js';
import { Vcpu } from './vcpu.js';
import { checkVmOptions, equipVm, type VmOptions } from './vm-options.js';

const PAGE = 4096;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;

/** The shards of a host as the calling thread sees them, by number. */
export type Shards = readonly Shard[];

/** A restrictedmem file: memory that guests see and the host does not map. */
export class File {
  readonly address: number;
  /** Number of the shard it lives in. */
  readonly shard: number;
  readonly #shard: Shard;
  #closed = false;

  private constructor(shards: Shards, shard: number, address: number) {
    this.#shard = shards[shard]!;
    this.shard = shard;
    this.address = address;
  }

  /** Made by createRestrictedMem() of a host. */
  static create(shards: Shards, n: number, options: FileOptions): File {
    const shard = joined(shards[n]!);
    const size = restrictedMemSize(options);
    const { interleave = false, homePartition = 0, huge = false } = options;
    const created = shard.x.sysCreateFile(interleave ? 1 : 0, partition(shard, homePartition), huge ? 1 : 0);
    const address = handle('memfd_restricted', created, { ...options });
    const error = shard.x.sysFileSetSize(address, size);
    if (error < 0) shard.x.sysFilePut(address);
    must('ftruncate', error, { size });
    return new File(shards, n, address);
  }

  /** KVM_CREATE_GUEST_MEMFD: a file that belongs to a guest from the start. */
  static ofGuest(shards: Shards, vm: Vm, options: GuestMemfdOptions): File {
    const shard = vm.live();
    const { interleave = false, homePartition = 0, huge = false, flags = 0 } = options;
    const size = guestMemfdSize(options);
    const home = partition(shard, homePartition);
    const bits = [flags, interleave ? 1 : 0, home, huge ? 1 : 0] as const;
    const created = shard.x.sysCreateGuestMemfd(vm.address, size, ...bits);
    return new File(shards, vm.shard, handle('KVM_CREATE_GUEST_MEMFD', created, { ...options }));
  }

  /** The file that another thread has made. */
  static at(shards: Shards, posted: FileHandle): File {
    checkHandle('file', posted);
    const { address, shard } = posted;
    within('shard', shard, 0, shards.length - 1);
    return new File(shards, shard, address);
  }

  /** The file on the calling thread. Throws UsageError once it is closed here, or its host is. */
  #open(): Shard {
    if (this.#closed) throw new UsageError('file', 'file: it has been closed');
    return joined(this.#shard);
  }

  /** The address of a slot's file for its guest; 0 without one. Throws UsageError for what is no file. */
  static addressOf(file: File | undefined, vm: Vm, shard: Shard): number {
    if (file === undefined) return 0;
    if (file instanceof File) return file.addressFor(vm, shard);
    throw new UsageError('file', `file: ${shown(file)} is no file; createRestrictedMem() makes one`);
  }

  /** Its address for a guest of the same shard. Throws UsageError when that guest cannot reach it. */
  addressFor(vm: Vm, shard: Shard): number {
    this.#open();
    if (this.#shard === shard) return this.address;
    const where = this.shard === vm.shard ? 'another host' : `shard ${this.shard}, the guest in shard ${vm.shard}`;
    const text = `file: it lives in ${where}; create one of them with { shard }`;
    throw new UsageError('file', text, { fileShard: this.shard, vmShard: vm.shard });
  }

  /** Post it to another thread. */
  handle(): FileHandle {
    return { address: this.address, shard: this.shard };
  }

  /**
   * Frees pages [startIndex, startIndex + pageCount): invalidate, hook, free, end. What the file does not hold is passed over. With `fanout` the home workers of the
   * partitions help with hook and freeing, where that takes less time: from 64 MiB on. Throws KernelError: EINVAL for a range of no pages.
   */
  punchHole(range: PageRange & { fanout?: boolean }): void {
    const { startIndex, pageCount, fanout = false } = object('punchHole', range);
    keysOf('punchHole', range, 'startIndex', 'pageCount', 'fanout');
    flag('fanout', fanout);
    const offset = count('startIndex', startIndex) * PAGE;
    const length = count('pageCount', pageCount) * PAGE;
    const { x } = this.#open();
    const error = fanout
      ? x.sysPunchHoleFanout(this.address, offset, length)
      : x.sysFileFallocate(this.address, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, length);
    must('punch hole', error, { startIndex, pageCount });
  }

  /** Allocates pages ahead of their first use. Throws KernelError: ENOSPC or ENOMEM when the host has too few, EINVAL for a range of no pages. */
  allocate(range: PageRange): void {
    const { startIndex, pageCount } = object('allocate', range);
    keysOf('allocate', range, 'startIndex', 'pageCount');
    const offset = count('startIndex', startIndex) * PAGE;
    const length = count('pageCount', pageCount) * PAGE;
    const error = this.#open().x.sysFileFallocate(this.address, FALLOC_KEEP_SIZE, offset, length);
    must('fallocate', error, { startIndex, pageCount });
  }

  /** Pages the file holds now. */
  get pageCount(): number {
    return this.#open().x.sysFilePages(this.address);
  }

  /** Drops this reference; the file goes when no memslot is bound to it any more. */
  close(): void {
    const { x } = this.#open();
    this.#closed = true;
    x.sysFilePut(this.address);
  }
}

/** A guest: memslots, memory attributes, vCPUs. */
export class Vm {
  readonly address: number;
  /** Number of the shard it lives in. */
  readonly shard: number;
  readonly #shards: Shards;
  readonly #shard: Shard;
  readonly #vcpus: Vcpu[] = [];
  readonly #slots = new Map<string, Slot>();
  #destroyed = false;
  #process = 0;

  private constructor(shards: Shards, shard: number, address: number) {
    this.#shards = shards;
    this.#shard = shards[shard]!;
    this.shard = shard;
    this.address = address;
  }

  /** Made by createVm() of a host. */
  static create(shards: Shards, at: number, options: VmOptions): Vm {
    const shard = joined(shards[at]!);
    const { vcpus: vcpuCount = 1, snp = true, asid = 0, homePartition = 0 } = options;
    checkVmOptions(options);
    const created = shard.x.sysCreateVm(snp ? 1 : 0, asid, partition(shard, homePartition));
    const vm = new Vm(shards, at, handle('KVM_CREATE_VM', created, { ...options }));
    try {
      vm.#process = equipVm(shard, vm.address, options);
      for (let n = 0; n < vcpuCount; n++)
        vm.#vcpus.push(new Vcpu(vm, handle('KVM_CREATE_VCPU', shard.x.sysCreateVcpu(vm.address), { n })));
    } catch (error) {
      vm.destroy();
      throw error;
    }
    return vm;
  }

  /** The guest that another thread has made. */
  static at(shards: Shards, posted: VmHandle): Vm {
    checkHandle('vm', posted);
    const { address, vcpus: addresses, shard } = posted;
    within('shard', shard, 0, shards.length - 1);
    const vm = new Vm(shards, shard, address);
    vm.#vcpus.push(...addresses.map((vcpu) => new Vcpu(vm, vcpu)));
    return vm;
  }

  /** The guest's shard on the calling thread. Throws UsageError once the guest is destroyed here, or its host closed. */
  live(): Shard {
    if (this.#destroyed) throw new UsageError('vm', 'vm: it has been destroyed');
    return joined(this.#shard);
  }

  /** A guest_memfd of this guest (protocol guest-memfd): it keeps the guest alive, and no memslot keeps it. */
  createGuestMemfd(options: GuestMemfdOptions): File {
    return File.ofGuest(this.#shards, this, options);
  }

  /** Post it to another thread. A vCPU may be used by one thread at a time. */
  handle(): VmHandle {
    return { address: this.address, vcpus: this.#vcpus.map((vcpu) => vcpu.address), shard: this.shard };
  }

  /**
   * Creates a memslot, or changes one: KVM moves shared slots and changes their flags, private ones can only be deleted. Binds it to the file. All its pages become
   * private when it has a file. With `pageCount: 0` the slot goes. Throws KernelError: EINVAL for what KVM does not allow (an unaligned `hva`, unknown flags, a change of a
   * private slot, a range beyond the guest's addresses, pages of the file that another slot has), EEXIST when the frames are another slot's, ENOMEM.
   */
  setMemslot(options: MemslotOptions): Slot {
    checkMemslot(options);
    const { id, startGfn, pageCount, file, startIndex = 0, addressSpace = 0 } = options;
    const { hva = 0x7f0000000000 + startGfn * PAGE, flags = file === undefined ? 0 : kvm.KVM_MEM_PRIVATE } = options;
    const values = { id, startGfn, pageCount, startIndex };
    const shard = this.live();
    const error = shard.x.sysSetMemslot(
      this.address,
      addressSpace,
      id,
      flags,
      startGfn * PAGE,
      pageCount * PAGE,
      hva,
      File.addressOf(file, this, shard),
      startIndex * PAGE,
    );
    must('KVM_SET_USER_MEMORY_REGION', error, values);
    if (file !== undefined && pageCount > 0) this.setAttributes({ startGfn, pageCount, private: true });
    const slot = new Slot(this, { id, startGfn, pageCount, startIndex, addressSpace, hva, flags, file });
    if (pageCount === 0) this.#slots.delete(`${addressSpace} ${id}`);
    else this.#slots.set(`${addressSpace} ${id}`, slot);
    return slot;
  }

  /** The memslots made here by setMemslot, as they are now. */
  get slots(): readonly Slot[] {
    return [...this.#slots.values()];
  }

  /** All vCPUs, by their index. */
  get vcpus(): readonly Vcpu[] {
    return this.#vcpus;
  }

  /** KVM_SET_USER_MEMORY_REGION as it is: for traces of real VMMs. Returns 0 or -errno, and changes no attributes. */
  setUserMemoryRegion(region: MemoryRegion): number {
    checkRegion(region);
    const { slot, flags = 0, gpa, size, hva, file, offset = 0, addressSpace = 0 } = region;
    const shard = this.live();
    const address = File.addressOf(file, this, shard);
    return shard.x.sysSetMemslot(this.address, addressSpace, slot, flags, gpa, size, hva, address, offset);
  }

  /** Deletes a memslot: unbinds its file, which invalidates what the guest has of it. */
  deleteMemslot(id: number, addressSpace = 0): void {
    within('id', id, 0, 0xffff);
    within('addressSpace', addressSpace, 0, 0xffff);
    const error = this.live().x.sysSetMemslot(this.address, addressSpace, id, 0, 0, 0, 0, 0, 0);
    must('KVM_SET_USER_MEMORY_REGION', error, { id });
    this.#slots.delete(`${addressSpace} ${id}`);
  }

  /** Makes pages private or shared. */
  setAttributes(options: { startGfn: number; pageCount: number; private: boolean }): void {
    const { startGfn, pageCount, private: isPrivate } = object('setAttributes', options);
    keysOf('setAttributes', options, 'startGfn', 'pageCount', 'private');
    flag('private', isPrivate);
    count('startGfn', startGfn);
    count('pageCount', pageCount);
    const attributes = isPrivate ? kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
    const error = this.live().x.sysSetMemoryAttributes(this.address, startGfn, pageCount, attributes);
    must('KVM_SET_MEMORY_ATTRIBUTES', error, { startGfn, pageCount });
  }

  /** The vCPU of this index. Throws UsageError when there is none. */
  vcpu(index: number): Vcpu {
    const vcpu = typeof index === 'number' ? this.#vcpus[index] : undefined;
    if (vcpu === undefined)
      throw new UsageError('vcpu', `vcpu: ${shown(index)}: this guest has vCPUs 0 to ${this.#vcpus.length - 1}`);
    return vcpu;
  }

  /** Destroys the guest. No vCPU may run. */
  destroy(): void {
    const { x } = this.live();
    this.#destroyed = true;
    x.sysDestroyVm(this.address);
    if (this.#process !== 0) x.processExit(this.#process);
  }
}
