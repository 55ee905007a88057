// An arena: a shared memory with the kernel's locks and tables in it, for programs of one's own. It stands where a package of SharedArrayBuffer
// utilities would: nothing here is a second version of anything, every call goes to the engine's compiled code.
import type { KernelExports } from '#kernel-exports';
import { z } from 'zod';
import { LC_MAX, LC_NONE, LC_USER } from '../kernel/abi/classes.js';
import * as layout from '../kernel/abi/layout.js';
import { KernelError, KernelOops, RmpTortureError, UsageError } from '../host/errors.js';
import { readViolations } from '../host/oops.js';
import { boolean, checkOptions, shown, sizeLike, whole } from '../host/options.js';
import { attachShard, createShard, isShardHandle, type Shard, type ShardHandle } from '../host/shard.js';
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

const arenaOptions = z.strictObject({
  bytes: sizeLike.optional(),
  maxThreads: whole(1, 1024).optional(),
  checked: boolean.optional(),
} satisfies Record<keyof ArenaOptions, z.ZodType>);

// Before what alloc() gives lies a line that says what it is: who frees something else is told so, on whatever thread. Freed memory has another word there.
const HEADER_BYTES = 64;
const HEADER_SIZE = 8; // the first 8 bytes are the heap's own in freed memory
const HEADER_MARK = 12;

/** What the header of an allocation holds, and nothing else is likely to. */
function markOf(address: number, bytes: number): number {
  return Math.imul(address ^ 0x5bd1e995, 0x9e3779b1) ^ Math.imul(bytes + 1, 0x85ebca6b) || 1;
}

/** What stands in place of the functions once the thread has left: a check at each call would cost as much as some of the calls. */
const LEFT = new Proxy({} as KernelExports, {
  get(): never {
    throw new UsageError('arena', 'arena: this thread has left it by detach(); join it again by Arena.attach()');
  },
});

/** Where a thread goes that meets a stop: out of the call, by an error. */
function leave(buffer: SharedArrayBuffer): never {
  const violations = readViolations(buffer);
  if (violations.length > 0) throw new KernelOops(violations);
  throw new RmpTortureError('wait', 'ECANCELED', 'the arena was stopped');
}

/** One thread's view of an arena. */
export class Arena {
  /** @internal The compiled functions. */
  x: KernelExports;
  /** @internal 8 bytes that belong to this thread. */
  readonly scratch: number;
  readonly #shard: Shard;

  private constructor(shard: Shard) {
    this.#shard = shard;
    this.x = shard.x;
    this.scratch = shard.x.kmalloc(SCRATCH_BYTES) >>> 0;
    if (this.scratch !== 0) return;
    shard.x.taskDetach();
    throw new KernelError('attach', 12);
  }

  /** Makes an arena; the calling thread is attached to it. Throws UsageError for options that make no sense. */
  static create(options: ArenaOptions = {}): Arena {
    checkOptions('Arena.create', arenaOptions, options);
    const bytes = parseSize(options.bytes ?? '16MiB');
    const { maxThreads = 64 } = options;
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
    if (!isShardHandle((handle as Partial<ArenaHandle> | null | undefined)?.shard))
      throw new UsageError('Arena.attach', `Arena.attach: ${shown(handle)} is not what handle() of an arena gives`);
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

  /** Gives this thread's place back. No lock may be held; the arena object is of no use afterwards (UsageError). */
  detach(): void {
    this.x.kfree(this.scratch, SCRATCH_BYTES);
    this.x.taskDetach();
    this.x = LEFT;
  }

  /** `bytes` of zeroed memory, 64-byte aligned. Returns its address, which is the byte offset into `buffer`. Throws KernelError (ENOMEM) when there is no room. */
  alloc(bytes: number): number {
    if (!Number.isSafeInteger(bytes) || bytes <= 0)
      throw new UsageError('alloc', `alloc: ${shown(bytes)} is not a positive whole number`);
    const header = this.x.vmalloc(BigInt(bytes + HEADER_BYTES)) >>> 0;
    if (header === 0) throw new KernelError('alloc', 12, { bytes });
    const address = header + HEADER_BYTES;
    const { words } = this.#shard;
    words[(header + HEADER_SIZE) / 4] = bytes;
    Atomics.store(words, (header + HEADER_MARK) / 4, markOf(address, bytes));
    return address;
  }

  /** Frees memory of alloc; `bytes` as it was asked for. Throws UsageError for anything else, and for what has been freed. */
  free(address: number, bytes: number): void {
    const { vfree } = this.x;
    const size = this.sizeOf(address);
    if (size === undefined) {
      const text = `free: ${shown(address)} is not an address that alloc() gave, or it has been freed`;
      throw new UsageError('free', text);
    }
    if (size !== bytes)
      throw new UsageError('free', `free: ${address} was allocated with ${size} bytes, not ${shown(bytes)}`);
    const header = address - HEADER_BYTES;
    const mark = markOf(address, size);
    // Of two threads that free it at once, one is late.
    if (Atomics.compareExchange(this.#shard.words, (header + HEADER_MARK) / 4, mark, 0) !== mark)
      throw new UsageError('free', `free: ${address} has been freed`);
    vfree(header, BigInt(size + HEADER_BYTES));
  }

  /** @internal Bytes that were asked for at an address of alloc(); undefined for any other address, and once they are freed. */
  sizeOf(address: number): number | undefined {
    const least = layout.SH_END + HEADER_BYTES;
    if (!Number.isInteger(address) || address < least || address >= this.buffer.byteLength || address % 64 > 0)
      return undefined;
    const { words } = this.#shard;
    const size = words[(address - HEADER_BYTES + HEADER_SIZE) / 4]! >>> 0;
    const mark = Atomics.load(words, (address - HEADER_BYTES + HEADER_MARK) / 4);
    return mark === markOf(address, size) ? size : undefined;
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
    if (typeof ms !== 'number' || !(ms >= 0))
      throw new UsageError('waiting', `waiting: ${shown(ms)} is not a number of milliseconds`);
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

const lockOptions = z.strictObject({
  lockClass: whole(0, LC_MAX - LC_USER - 1).optional(),
} satisfies Record<keyof LockOptions, z.ZodType>);

/** The kernel's lock class for a user's. */
export function lockClassOf(operation: string, options: LockOptions): number {
  checkOptions(operation, lockOptions, options);
  return options.lockClass === undefined ? LC_NONE : LC_USER + options.lockClass;
}

/** Nanoseconds of a time limit in milliseconds; without a limit a negative number. */
export function limitNs(timeoutMs: number | undefined): number {
  if (timeoutMs === undefined) return -1;
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0))
    throw new UsageError('timeoutMs', `timeoutMs: ${shown(timeoutMs)} is not a number of at least 0`);
  return Math.min(timeoutMs * 1e6, Number.MAX_VALUE);
}

/** The arena, if it is one. */
export function arenaOf(operation: string, arena: Arena): Arena {
  if (arena instanceof Arena) return arena;
  throw new UsageError(operation, `${operation}: ${shown(arena)} stands where an Arena is wanted`);
}

/** Something that lies at an address of an arena, in memory of alloc(). */
export abstract class Shared {
  readonly arena: Arena;
  /** Pass it to other threads: `X.at(arena, address)` is the same object there. */
  readonly address: number;
  readonly #bytes: number;

  /** The `bytes` of it lie at an address already. */
  protected constructor(arena: Arena, address: number, bytes: number) {
    if (arenaOf('at', arena).sizeOf(address) !== bytes) {
      const text = `address: ${shown(address)} is not the address of an object in this arena`;
      throw new UsageError('address', text);
    }
    this.arena = arena;
    this.address = address;
    this.#bytes = bytes;
  }

  /** Throws UsageError once its memory has been given back. */
  protected checkLive(operation: string): void {
    if (this.arena.sizeOf(this.address) !== this.#bytes)
      throw new UsageError(operation, `${operation}: the object at ${this.address} has been freed`);
  }
}
