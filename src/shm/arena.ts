// An arena: a shared memory with the kernel's locks and tables in it, for programs of one's own. It stands where a package of SharedArrayBuffer
// utilities would: nothing here is a second version of anything, every call goes to the engine's compiled code.
import type { KernelExports } from '#kernel-exports';
import { LC_MAX, LC_NONE, LC_USER } from '../kernel/abi/classes.js';
import * as layout from '../kernel/abi/layout.js';
import { within } from '../host/arguments.js';
import { KernelError, KernelOops, RmpTortureError, UsageError } from '../host/errors.js';
import { readViolations } from '../host/oops.js';
import { attachShard, createShard, type Shard, type ShardHandle } from '../host/shard.js';
import { parseSize } from '../host/units.js';
import { stuckTasks } from '../host/watchdog.js';

const PAGE_BYTES = 65536;
const OVERHEAD_BYTES = 3 << 20; // header, task table, name table, lock statistics and lock-order chains
const SCRATCH_BYTES = 32;

/** Size of an arena, and how many threads may attach to it. */
export interface ArenaOptions {
  /** Memory for your own structs, `16MiB` or bytes; committed by the system when touched. */
  bytes?: number | string;
  /** Threads that may be attached at the same time. */
  maxThreads?: number;
  /** Check lock order, recursion and unlocking by the wrong thread at every call; about ten times slower. */
  checked?: boolean;
}

/** What another thread needs to join an arena; post it with postMessage or workerData. */
export interface ArenaHandle {
  shard: ShardHandle;
}

/** Where a thread goes that meets a stop: out of the call, by an error. */
function leave(buffer: SharedArrayBuffer): never {
  const violations = readViolations(buffer);
  if (violations.length > 0) throw new KernelOops(violations);
  throw new RmpTortureError('wait', 'ECANCELED', 'the arena was stopped');
}

/** One thread's view of an arena. */
export class Arena {
  /** @internal The compiled functions. */
  readonly x: KernelExports;
  /** @internal 8 bytes that belong to this thread. */
  readonly scratch: number;
  readonly #shard: Shard;

  private constructor(shard: Shard) {
    this.#shard = shard;
    this.x = shard.x;
    this.scratch = shard.x.kmalloc(SCRATCH_BYTES) >>> 0;
    if (this.scratch === 0) throw new KernelError('attach', 12);
  }

  /** Makes an arena; the calling thread is attached to it. Throws UsageError for options that make no sense. */
  static create(options: ArenaOptions = {}): Arena {
    const bytes = parseSize(options.bytes ?? '16MiB');
    const maxThreads = within('maxThreads', options.maxThreads ?? 64, 1, 1024);
    const memoryPages = Math.ceil((bytes + OVERHEAD_BYTES + maxThreads * 16384) / PAGE_BYTES);
    if (memoryPages > 65536)
      throw new UsageError('bytes', `bytes: ${bytes} is more than one arena holds; at most 4000MiB`);
    const build = options.checked === true ? 'perturbed' : 'fast';
    const shard: Shard = createShard(
      { build, pfnCount: 512, maxTasks: maxThreads, memoryPages, oracles: false },
      { stopped: () => leave(shard.buffer) },
    );
    return new Arena(shard);
  }

  /** Joins an arena from another thread. Pairs with detach. */
  static attach(handle: ArenaHandle): Arena {
    const buffer = handle.shard.memory.buffer as unknown as SharedArrayBuffer;
    return new Arena(attachShard(handle.shard, { stopped: () => leave(buffer) }));
  }

  /** The memory as an ordinary SharedArrayBuffer. */
  get buffer(): SharedArrayBuffer {
    return this.#shard.buffer;
  }

  /** Number of the calling thread in this arena. Reports call it `task<n>`. */
  get thread(): number {
    return this.#shard.taskId;
  }

  /** Post it to another thread and call Arena.attach() there. */
  handle(): ArenaHandle {
    return { shard: this.#shard.handle };
  }

  /** Gives this thread's place back. No lock may be held; the arena object is of no use afterwards. */
  detach(): void {
    this.x.kfree(this.scratch, SCRATCH_BYTES);
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

  /**
   * Lets every thread leave its waits by an error (`ECANCELED`), within 100 ms or so. For when a thread has died: what it held stays held, so the arena
   * is of no further use.
   */
  stop(): void {
    Atomics.store(this.#shard.words, layout.SH_STOP / 4, layout.STOP_OOPS);
  }

  /** A line for each thread that has waited for at least `ms` milliseconds: for what, who holds it, what it holds itself. */
  waiting(ms = 0): string[] {
    return stuckTasks(this.#shard, ms).map(({ text }) => text);
  }
}

/** Options of every lock. */
export interface LockOptions {
  /**
   * Kind of lock, 0 to 31, for a checked arena: locks of two kinds must always nest in the same order, locks of one kind must not nest. A lock without
   * a kind is not ordered.
   */
  lockClass?: number;
}

/** The kernel's lock class for a user's. */
export function lockClassOf({ lockClass }: LockOptions): number {
  return lockClass === undefined ? LC_NONE : LC_USER + within('lockClass', lockClass, 0, LC_MAX - LC_USER - 1);
}

/** Nanoseconds of a time limit in milliseconds; without a limit a negative number. */
export function limitNs(timeoutMs: number | undefined): number {
  if (timeoutMs === undefined) return -1;
  if (!(timeoutMs >= 0)) throw new UsageError('timeoutMs', `timeoutMs: ${timeoutMs} is not a number of at least 0`);
  return Math.min(timeoutMs * 1e6, Number.MAX_VALUE);
}

/** Something that lives at an address of an arena. */
export abstract class Shared {
  readonly arena: Arena;
  /** Pass it to other threads: `X.at(arena, address)` is the same object there. */
  readonly address: number;

  protected constructor(arena: Arena, address: number) {
    if (!Number.isInteger(address) || address < layout.SH_END || address >= arena.buffer.byteLength || address % 64 > 0)
      throw new UsageError('address', `address: ${address} is not the address of an object in this arena`);
    this.arena = arena;
    this.address = address;
  }
}
