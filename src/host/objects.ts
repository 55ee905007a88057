// Guests and files as objects: thin wrappers that check arguments, call the kernel on this very thread, and turn errno into errors.
import * as kvm from '../kernel/abi/kvm.js';
import { KernelError, UsageError } from './errors.js';
import type { Shard } from './shard.js';
import { parseSize } from './units.js';

const PAGE = 4096;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;

export interface FileOptions {
  size: number | string;
  /** Spread 2M chunks over all partitions. */
  interleave?: boolean;
  homePartition?: number;
  /** Fill holes with 2M folios where they fit. */
  huge?: boolean;
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

/** A restrictedmem file: memory that guests see and the host does not map. */
export class File {
  readonly address: number;
  readonly #shard: Shard;

  private constructor(shard: Shard, address: number) {
    this.#shard = shard;
    this.address = address;
  }

  static create(shard: Shard, options: FileOptions): File {
    const size = parseSize(options.size);
    if (size % PAGE !== 0) throw new UsageError('size', `size: ${size} bytes is not a multiple of ${PAGE}`);
    const { interleave = false, homePartition = 0, huge = false } = options;
    const created = shard.x.sysCreateFile(interleave ? 1 : 0, count('homePartition', homePartition), huge ? 1 : 0);
    const address = handle('memfd_restricted', created, { ...options });
    must('ftruncate', shard.x.sysFileSetSize(address, size), { size });
    return new File(shard, address);
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

/** What a guest access gave. */
export interface TouchResult {
  /** The token read (reads only). */
  value: number;
  /** Errno of the exit to user space, if the access did not complete. */
  error: number;
}

export class Vm {
  readonly address: number;
  readonly #shard: Shard;
  readonly #vcpus: Vcpu[] = [];

  private constructor(shard: Shard, address: number) {
    this.#shard = shard;
    this.address = address;
  }

  static create(shard: Shard, options: VmOptions): Vm {
    const { vcpus = 1, snp = true, asid = 0, homePartition = 0 } = options;
    const vm = new Vm(
      shard,
      handle('KVM_CREATE_VM', shard.x.sysCreateVm(snp ? 1 : 0, asid, homePartition), { ...options }),
    );
    for (let n = 0; n < vcpus; n++)
      vm.#vcpus.push(new Vcpu(shard, handle('KVM_CREATE_VCPU', shard.x.sysCreateVcpu(vm.address), { n })));
    return vm;
  }

  /** Creates a memslot, or changes one; binds it to the file. All its pages become private when it has a file. */
  setMemslot(options: MemslotOptions): void {
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
    const values = { id, startGfn, pageCount, startIndex };
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
  }

  deleteMemslot(id: number, addressSpace = 0): void {
    const error = this.#shard.x.sysSetMemslot(this.address, addressSpace, id, 0, 0, 0, 0, 0, 0);
    must('KVM_SET_USER_MEMORY_REGION', error, { id });
  }

  /** Makes pages private or shared. */
  setAttributes(options: { startGfn: number; pageCount: number; private: boolean }): void {
    const { startGfn, pageCount } = options;
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
  touch(gfn: number, { write = false, private: isPrivate = true, value = 0 } = {}): TouchResult {
    const error = this.#shard.x.sysTouch(this.address, count('gfn', gfn), (write ? 1 : 0) | (isPrivate ? 2 : 0), value);
    return { value: this.#shard.x.sysVcpuValue(this.address) >>> 0, error };
  }
}
