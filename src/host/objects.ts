// Guests and files as objects: thin wrappers that check arguments, call the kernel on this very thread, and turn errno into errors.
import * as kvm from '../kernel/abi/kvm.js';
import * as layout from '../kernel/abi/layout.js';
import * as vcpus from '../kernel/abi/vcpu.js';
import { KernelError, UsageError } from './errors.js';
import type { Shard } from './shard.js';
import { Slot } from './slot.js';
import { parseSize } from './units.js';

const PAGE = 4096;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const MAX_VCPUS = 1024;

/** The shards of a host as the calling thread sees them, by number. */
export type Shards = readonly Shard[];

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

export interface PageRange {
  startIndex: number;
  pageCount: number;
}

/** Object handles are addresses; the last 4096 values are negative errno. */
function handle(operation: string, value: number, values: Record<string, unknown>): number {
  const address = value >>> 0;
  if (address >= 0xfffff000) throw new KernelError(operation, value | 0, values);
  return address;
}

function must(operation: string, error: number, values: Record<string, unknown>): void {
  if (error < 0) throw new KernelError(operation, error, values);
}

function count(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new UsageError(name, `${name}: ${value} is not a whole number of at least 0`);
  return value;
}

function within(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new UsageError(name, `${name}: ${value} is not a whole number from ${least} to ${most}`);
  return value;
}

function partition(shard: Shard, value: number): number {
  return within('homePartition', value, 0, shard.words[layout.SH_PARTITION_COUNT / 4]! - 1);
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

  private constructor(shards: Shards, shard: number, address: number) {
    this.#shard = shards[shard]!;
    this.shard = shard;
    this.address = address;
  }

  static create(shards: Shards, n: number, options: FileOptions): File {
    const shard = shards[n]!;
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

  /** The file that another thread has made. */
  static at(shards: Shards, { address, shard }: FileHandle): File {
    return new File(shards, shard, address);
  }

  /** Post it to another thread. */
  handle(): FileHandle {
    return { address: this.address, shard: this.shard };
  }

  /** Frees pages [startIndex, startIndex + pageCount): invalidate, hook, free, end. `fanout` spreads it over the home workers. */
  punchHole({ startIndex, pageCount, fanout = false }: PageRange & { fanout?: boolean }): void {
    const offset = count('startIndex', startIndex) * PAGE;
    const length = count('pageCount', pageCount) * PAGE;
    const { x } = this.#shard;
    const error = fanout
      ? x.sysPunchHoleFanout(this.address, offset, length)
      : x.sysFileFallocate(this.address, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, length);
    must('punch hole', error, { startIndex, pageCount });
  }

  /** Allocates pages ahead of their first use. */
  allocate({ startIndex, pageCount }: PageRange): void {
    const offset = count('startIndex', startIndex) * PAGE;
    const error = this.#shard.x.sysFileFallocate(
      this.address,
      FALLOC_KEEP_SIZE,
      offset,
      count('pageCount', pageCount) * PAGE,
    );
    must('fallocate', error, { startIndex, pageCount });
  }

  /** Pages the file holds now. */
  get pageCount(): number {
    return this.#shard.x.sysFilePages(this.address);
  }

  /** Drops this reference; the file goes when no memslot is bound to it any more. */
  close(): void {
    this.#shard.x.sysFilePut(this.address);
  }
}

export interface VmOptions {
  vcpus?: number;
  /** An SNP guest (default) or an ordinary one. */
  snp?: boolean;
  asid?: number;
  homePartition?: number;
  /** The shard it lives in; the one whose memory is least used if not said. */
  shard?: number;
}

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

export class Vm {
  readonly address: number;
  /** Number of the shard it lives in. */
  readonly shard: number;
  readonly #shard: Shard;
  readonly #vcpus: Vcpu[] = [];
  readonly #slots = new Map<string, Slot>();

  private constructor(shards: Shards, shard: number, address: number) {
    this.#shard = shards[shard]!;
    this.shard = shard;
    this.address = address;
  }

  static create(shards: Shards, at: number, options: VmOptions): Vm {
    const shard = shards[at]!;
    const { vcpus: vcpuCount = 1, snp = true, asid = 0, homePartition = 0 } = options;
    within('vcpus', vcpuCount, 0, MAX_VCPUS);
    const created = shard.x.sysCreateVm(snp ? 1 : 0, count('asid', asid), partition(shard, homePartition));
    const vm = new Vm(shards, at, handle('KVM_CREATE_VM', created, { ...options }));
    try {
      for (let n = 0; n < vcpuCount; n++)
        vm.#vcpus.push(new Vcpu(shard, handle('KVM_CREATE_VCPU', shard.x.sysCreateVcpu(vm.address), { n })));
    } catch (error) {
      vm.destroy();
      throw error;
    }
    return vm;
  }

  /** The guest that another thread has made. */
  static at(shards: Shards, { address, vcpus: addresses, shard }: VmHandle): Vm {
    const vm = new Vm(shards, shard, address);
    vm.#vcpus.push(...addresses.map((vcpu) => new Vcpu(vm.#shard, vcpu)));
    return vm;
  }

  /** Post it to another thread. A vCPU may be used by one thread at a time. */
  handle(): VmHandle {
    return { address: this.address, vcpus: this.#vcpus.map((vcpu) => vcpu.address), shard: this.shard };
  }

  /** Creates a memslot, or changes one; binds it to the file. All its pages become private when it has a file. */
  setMemslot(options: MemslotOptions): Slot {
    const {
      id,
      startGfn,
      pageCount,
      file,
      startIndex = 0,
      addressSpace = 0,
      hva = 0x7f0000000000 + startGfn * PAGE,
    } = options;
    const flags = options.flags ?? (file === undefined ? 0 : kvm.KVM_MEM_PRIVATE);
    for (const [name, value] of Object.entries({ id, startGfn, pageCount, startIndex, addressSpace, hva, flags }))
      count(name, value);
    const values = { id, startGfn, pageCount, startIndex };
    this.#checkShard(file);
    const error = this.#shard.x.sysSetMemslot(
      this.address,
      addressSpace,
      id,
      flags,
      startGfn * PAGE,
      pageCount * PAGE,
      hva,
      file?.address ?? 0,
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

  get vcpus(): readonly Vcpu[] {
    return this.#vcpus;
  }

  /** A file of another shard is memory that this guest cannot reach. */
  #checkShard(file: File | undefined): void {
    if (file === undefined || file.shard === this.shard) return;
    const text = `file: it lives in shard ${file.shard}, the guest in shard ${this.shard}; create one of them with { shard }`;
    throw new UsageError('file', text, { fileShard: file.shard, vmShard: this.shard });
  }

  /** KVM_SET_USER_MEMORY_REGION as it is: for traces of real VMMs. Returns 0 or -errno, and changes no attributes. */
  setUserMemoryRegion(region: MemoryRegion): number {
    const { slot, flags = 0, gpa, size, hva, file, offset = 0, addressSpace = 0 } = region;
    for (const [name, value] of Object.entries({ slot, flags, gpa, size, hva, offset, addressSpace }))
      count(name, value);
    this.#checkShard(file);
    const address = file?.address ?? 0;
    return this.#shard.x.sysSetMemslot(this.address, addressSpace, slot, flags, gpa, size, hva, address, offset);
  }

  deleteMemslot(id: number, addressSpace = 0): void {
    const error = this.#shard.x.sysSetMemslot(this.address, addressSpace, id, 0, 0, 0, 0, 0, 0);
    must('KVM_SET_USER_MEMORY_REGION', error, { id });
    this.#slots.delete(`${addressSpace} ${id}`);
  }

  /** Makes pages private or shared. */
  setAttributes(options: { startGfn: number; pageCount: number; private: boolean }): void {
    const startGfn = count('startGfn', options.startGfn);
    const pageCount = count('pageCount', options.pageCount);
    const attributes = options.private ? kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
    must(
      'KVM_SET_MEMORY_ATTRIBUTES',
      this.#shard.x.sysSetMemoryAttributes(this.address, startGfn, pageCount, attributes),
      {
        startGfn,
        pageCount,
      },
    );
  }

  vcpu(index: number): Vcpu {
    const vcpu = this.#vcpus[index];
    if (vcpu === undefined)
      throw new UsageError('vcpu', `vcpu: ${index}: this guest has vCPUs 0 to ${this.#vcpus.length - 1}`);
    return vcpu;
  }

  /** Destroys the guest. No vCPU may run. */
  destroy(): void {
    this.#shard.x.sysDestroyVm(this.address);
  }
}

export class Vcpu {
  readonly address: number;
  readonly #shard: Shard;

  constructor(shard: Shard, address: number) {
    this.#shard = shard;
    this.address = address;
  }

  /** One guest access: faults, assigns and maps as needed. */
  touch(gfn: number, { write = false, private: isPrivate = true, value: token = 0 } = {}): TouchResult {
    const error = this.#shard.x.sysTouch(this.address, count('gfn', gfn), (write ? 1 : 0) | (isPrivate ? 2 : 0), token);
    const value = this.#shard.x.sysVcpuValue(this.address) >>> 0;
    return error === 0 ? { value, error } : { value, error, exit: this.#exit() };
  }

  #exit(): VcpuExit {
    const view = new DataView(this.#shard.buffer, this.address);
    const reason = EXIT_REASONS[view.getUint32(vcpus.VCPU_EXIT_REASON, true)] ?? 'unknown';
    if (reason !== 'memory-fault') return { reason };
    const gfn = Number(view.getBigUint64(vcpus.VCPU_EXIT_GPA, true) >> 12n);
    const flags = view.getUint32(vcpus.VCPU_EXIT_FLAGS, true);
    return { reason, gfn, private: (flags & kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE) !== 0 };
  }
}
