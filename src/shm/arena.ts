// An arena: a shared memory with the kernel's locks and tables in it, for programs of one's own. It stands where a package of SharedArrayBuffer
// utilities would: nothing here is a second version of anything, every call goes to the engine's compiled code.
import type { KernelExports } from '#kernel-exports';
import { KernelError, UsageError } from '../host/errors.js';
import { attachShard, createShard, type Shard, type ShardHandle } from '../host/shard.js';
import { parseSize } from '../host/units.js';

const PAGE_BYTES = 65536;
const OVERHEAD_BYTES = 2 << 20; // header, task table, name table

export interface ArenaOptions {
  /** Memory for your own structs, `16MiB` or bytes; committed by the system when touched. */
  bytes?: number | string;
  /** Threads that may be attached at the same time. */
  maxThreads?: number;
}

/** What another thread needs to join an arena; post it with postMessage or workerData. */
export interface ArenaHandle {
  shard: ShardHandle;
}

/** One thread's view of an arena. */
export class Arena {
  /** @internal */
  readonly x: KernelExports;
  readonly #shard: Shard;

  private constructor(shard: Shard) {
    this.#shard = shard;
    this.x = shard.x;
  }

  /** Makes an arena; the calling thread is attached to it. Throws UsageError for options that make no sense. */
  static create(options: ArenaOptions = {}): Arena {
    const bytes = parseSize(options.bytes ?? '16MiB');
    const maxThreads = options.maxThreads ?? 64;
    if (!Number.isInteger(maxThreads) || maxThreads < 1 || maxThreads > 1024) {
      throw new UsageError('maxThreads', `maxThreads: ${maxThreads} is not a whole number from 1 to 1024`);
    }
    const memoryPages = Math.ceil((bytes + OVERHEAD_BYTES + maxThreads * 16384) / PAGE_BYTES);
    if (memoryPages > 65536)
      throw new UsageError('bytes', `bytes: ${bytes} is more than one arena holds; at most 4000MiB`);
    return new Arena(createShard({ build: 'fast', pfnCount: 512, maxTasks: maxThreads, memoryPages, oracles: false }));
  }

  /** Joins an arena from another thread. Pairs with detach. */
  static attach(handle: ArenaHandle): Arena {
    return new Arena(attachShard(handle.shard));
  }

  /** The memory as an ordinary SharedArrayBuffer. */
  get buffer(): SharedArrayBuffer {
    return this.#shard.buffer;
  }

  handle(): ArenaHandle {
    return { shard: this.#shard.handle };
  }

  /** Gives this thread's place back. No lock may be held; the arena object is of no use afterwards. */
  detach(): void {
    this.x.taskDetach();
  }

  /** `bytes` of zeroed memory, 64-byte aligned. Returns its address, which is the byte offset into `buffer`. */
  alloc(bytes: number): number {
    if (!Number.isInteger(bytes) || bytes <= 0)
      throw new UsageError('alloc', `alloc: ${bytes} is not a positive whole number`);
    const address = this.x.vmalloc(BigInt(bytes)) >>> 0;
    if (address === 0) throw new KernelError('alloc', 12, { bytes });
    return address;
  }

  /** Frees memory of alloc; `bytes` as it was asked for. */
  free(address: number, bytes: number): void {
    this.x.vfree(address, BigInt(bytes));
  }
}

/** Something that lives at an address of an arena. */
export abstract class Shared {
  readonly arena: Arena;
  /** Pass it to other threads: `X.at(arena, address)` is the same object there. */
  readonly address: number;

  protected constructor(arena: Arena, address: number) {
    this.arena = arena;
    this.address = address;
  }
}
