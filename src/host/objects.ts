// Guests and files as objects: thin wrappers that check arguments, call the kernel on this very thread, and turn errno into errors.
import * as kvm from '../kernel/abi/kvm.js';
import * as vcpus from '../kernel/abi/vcpu.js';
import { count, handle, must, partition, within, word } from './arguments.js';
import { object } from './options.js';
import { UsageError } from './errors.js';
import { joined, type Shard } from './shard.js';
import { Slot } from './slot.js';
import { parseSize } from './units.js';
import { equipVm, type VmOptions } from './vm-options.js';

const PAGE = 4096;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const MAX_VCPUS = 1024;

/** The shards of a host as the calling thread sees them, by number. */
export type Shards = readonly Shard[];

/** How a file for private memory is made. */
export interface FileOptions {
  size: number | string;
  /** Spread 2M chunks over all partitions. */
  interleave?: boolean;
  homePartition?: number;
  /** Fill holes with 2M folios where they fit. */
  huge?: boolean;
  /** The shard it lives in; the one whose memory is least used if not said. */
  shard?: number;
}

export interface GuestMemfdOptions extends Omit<FileOptions, 'shard'> {
  /** Of the call: there are none yet, so anything but 0 is EINVAL. */
  flags?: number;
}

/** Pages of a file, from the first one on. */
export interface PageRange {
  startIndex: number;
  pageCount: number;
}

/** A file for `attachHost(...).file()` in another thread. */
export interface FileHandle {
  address: number;
  shard: number;
}

/** A guest for `attachHost(...).vm()` in another thread. */
export interface VmHandle {
  address: number;
  vcpus: number[];
  shard: number;
}

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
    const size = parseSize(options.size);
    if (size % PAGE !== 0) throw new UsageError('size', `size: ${size} bytes is not a multiple of ${PAGE}`);
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
    const size = parseSize(options.size);
    const home = partition(shard, homePartition);
    const bits = [word('flags', flags), interleave ? 1 : 0, home, huge ? 1 : 0] as const;
    const created = shard.x.sysCreateGuestMemfd(vm.address, size, ...bits);
    return new File(shards, vm.shard, handle('KVM_CREATE_GUEST_MEMFD', created, { ...options }));
  }

  /** The file that another thread has made. */
  static at(shards: Shards, { address, shard }: FileHandle): File {
    return new File(shards, shard, address);
  }

  /** The file on the calling thread. Throws UsageError once it is closed here, or its host is. */
  #open(): Shard {
    if (this.#closed) throw new UsageError('file', 'file: it has been closed');
    return joined(this.#shard);
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
   * Frees pages [startIndex, startIndex + pageCount): invalidate, hook, free, end. With `fanout` the home workers of the partitions help with hook and freeing, where
   * that takes less time: from 64 MiB on.
   */
  punchHole(range: PageRange & { fanout?: boolean }): void {
    const { startIndex, pageCount, fanout = false } = object('punchHole', range);
    const offset = count('startIndex', startIndex) * PAGE;
    const length = count('pageCount', pageCount) * PAGE;
    const { x } = this.#open();
    const error = fanout
      ? x.sysPunchHoleFanout(this.address, offset, length)
      : x.sysFileFallocate(this.address, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, length);
    must('punch hole', error, { startIndex, pageCount });
  }

  /** Allocates pages ahead of their first use. */
  allocate(range: PageRange): void {
    const { startIndex, pageCount } = object('allocate', range);
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

/** A memslot: guest frames, and the memory behind them. */
export interface MemslotOptions {
  id: number;
  startGfn: number;
  pageCount: number;
  file?: File;
  /** First page of the file. */
  startIndex?: number;
  flags?: number;
  addressSpace?: number;
  /** Host virtual address of the shared half; page-aligned. */
  hva?: number;
}

/** A memory region as user space passes it to KVM, in bytes; nothing is checked before the call. */
export interface MemoryRegion {
  slot: number;
  flags?: number;
  gpa: number;
  /** 0 deletes the slot. */
  size: number;
  hva: number;
  file?: File;
  /** Bytes into the file. */
  offset?: number;
  addressSpace?: number;
}

/** Why a vCPU left to user space. */
export interface VcpuExit {
  reason: 'memory-fault' | 'mmio' | 'shutdown' | 'interrupted' | 'internal-error' | 'unknown';
  /** Of a memory fault: where, and whether the guest wanted the page private. */
  gfn?: number;
  private?: boolean;
}

/** What a guest access gave. */
export interface TouchResult {
  /** The token read (reads only). */
  value: number;
  /** Errno of the exit to user space, if the access did not complete. */
  error: number;
  /** That exit. */
  exit?: VcpuExit;
}

const EXIT_REASONS: Record<number, VcpuExit['reason']> = {
  [kvm.KVM_EXIT_MMIO]: 'mmio',
  [kvm.KVM_EXIT_SHUTDOWN]: 'shutdown',
  [kvm.KVM_EXIT_INTR]: 'interrupted',
  [kvm.KVM_EXIT_INTERNAL_ERROR]: 'internal-error',
  [kvm.KVM_EXIT_MEMORY_FAULT]: 'memory-fault',
};

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
    within('vcpus', vcpuCount, 0, MAX_VCPUS);
    const created = shard.x.sysCreateVm(snp ? 1 : 0, word('asid', asid), partition(shard, homePartition));
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
  static at(shards: Shards, { address, vcpus: addresses, shard }: VmHandle): Vm {
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
    return File.ofGuest(this.#shards, this, object('createGuestMemfd', options));
  }

  /** Post it to another thread. A vCPU may be used by one thread at a time. */
  handle(): VmHandle {
    return { address: this.address, vcpus: this.#vcpus.map((vcpu) => vcpu.address), shard: this.shard };
  }

  /** Creates a memslot, or changes one; binds it to the file. All its pages become private when it has a file. */
  setMemslot(options: MemslotOptions): Slot {
    const { id, startGfn, pageCount, file, startIndex = 0, addressSpace = 0 } = object('setMemslot', options);
    for (const [name, value] of Object.entries({ startGfn, pageCount, startIndex })) count(name, value);
    const { hva = 0x7f0000000000 + startGfn * PAGE, flags = file === undefined ? 0 : kvm.KVM_MEM_PRIVATE } = options;
    count('hva', hva);
    for (const [name, value] of Object.entries({ id, addressSpace, flags })) word(name, value);
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
      file?.addressFor(this, shard) ?? 0,
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
    const {
      slot,
      flags = 0,
      gpa,
      size,
      hva,
      file,
      offset = 0,
      addressSpace = 0,
    } = object('setUserMemoryRegion', region);
    for (const [name, value] of Object.entries({ gpa, size, hva, offset })) count(name, value);
    for (const [name, value] of Object.entries({ slot, flags, addressSpace })) word(name, value);
    const shard = this.live();
    const address = file?.addressFor(this, shard) ?? 0;
    return shard.x.sysSetMemslot(this.address, addressSpace, slot, flags, gpa, size, hva, address, offset);
  }

  /** Deletes a memslot: unbinds its file, which invalidates what the guest has of it. */
  deleteMemslot(id: number, addressSpace = 0): void {
    word('id', id);
    word('addressSpace', addressSpace);
    const error = this.live().x.sysSetMemslot(this.address, addressSpace, id, 0, 0, 0, 0, 0, 0);
    must('KVM_SET_USER_MEMORY_REGION', error, { id });
    this.#slots.delete(`${addressSpace} ${id}`);
  }

  /** Makes pages private or shared. */
  setAttributes(options: { startGfn: number; pageCount: number; private: boolean }): void {
    const { startGfn, pageCount, private: isPrivate } = object('setAttributes', options);
    count('startGfn', startGfn);
    count('pageCount', pageCount);
    const attributes = isPrivate ? kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
    const error = this.live().x.sysSetMemoryAttributes(this.address, startGfn, pageCount, attributes);
    must('KVM_SET_MEMORY_ATTRIBUTES', error, { startGfn, pageCount });
  }

  /** The vCPU of this index. Throws UsageError when there is none. */
  vcpu(index: number): Vcpu {
    const vcpu = this.#vcpus[index];
    if (vcpu === undefined)
      throw new UsageError('vcpu', `vcpu: ${String(index)}: this guest has vCPUs 0 to ${this.#vcpus.length - 1}`);
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

/** A virtual CPU of a guest. One thread at a time may run it. */
export class Vcpu {
  readonly address: number;
  readonly #vm: Vm;

  constructor(vm: Vm, address: number) {
    this.#vm = vm;
    this.address = address;
  }

  /** One guest access: faults, assigns and maps as needed. */
  touch(gfn: number, { write = false, private: isPrivate = true, value: token = 0 } = {}): TouchResult {
    count('gfn', gfn);
    word('value', token);
    const { x, buffer } = this.#vm.live();
    const error = x.sysTouch(this.address, gfn, (write ? 1 : 0) | (isPrivate ? 2 : 0), token);
    const value = x.sysVcpuValue(this.address) >>> 0;
    return error === 0 ? { value, error } : { value, error, exit: this.#exit(buffer) };
  }

  #exit(buffer: SharedArrayBuffer): VcpuExit {
    const view = new DataView(buffer, this.address);
    const reason = EXIT_REASONS[view.getUint32(vcpus.VCPU_EXIT_REASON, true)] ?? 'unknown';
    if (reason !== 'memory-fault') return { reason };
    const gfn = Number(view.getBigUint64(vcpus.VCPU_EXIT_GPA, true) >> 12n);
    const flags = view.getUint32(vcpus.VCPU_EXIT_FLAGS, true);
    return { reason, gfn, private: (flags & kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE) !== 0 };
  }
}
