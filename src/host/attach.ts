// Joining a host from a thread of the user's own: the same objects, and every call runs on that very thread.
import * as layout from '../kernel/abi/layout.js';
import { prDebug } from './debug.js';
import { UsageError } from './errors.js';
import type { FileHandle, FileOptions, VmHandle } from './object-options.js';
import { File, Vm } from './objects.js';
import type { VmOptions } from './vm-options.js';
import { shown } from './options.js';
import { attachShard, isShardHandle, joined, type Shard, type ShardHandle } from './shard.js';
import { failMemory, placeOf } from './shards.js';

/** The arch hook as a function of the user's; gfns are [startGfn, endGfn). */
export type UserHook = (vmId: number, slotId: number, startGfn: number, endGfn: number) => void;

/** A handle that another thread can attach to. */
export interface HostHandle {
  shard: ShardHandle;
  /** All shards, the first one too. */
  shards: readonly ShardHandle[];
}

/** A host as one more of its threads sees it. It is also a view of the host's first shard. */
export class AttachedHost implements Shard {
  readonly handle: ShardHandle;
  readonly x: Shard['x'];
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly taskId: number;
  readonly shards: readonly Shard[];

  constructor(shards: readonly Shard[]) {
    const [shard] = shards as [Shard];
    this.shards = shards;
    this.handle = shard.handle;
    this.x = shard.x;
    this.buffer = shard.buffer;
    this.words = shard.words;
    this.taskId = shard.taskId;
  }

  /** A hidden file for private memory; see Host.createRestrictedMem(). */
  createRestrictedMem(options: FileOptions): File {
    return File.create(this.shards, placeOf('createRestrictedMem', this.shards, options), options);
  }

  /** A guest with its vCPUs; see Host.createVm(). */
  createVm(options: VmOptions = {}): Vm {
    return Vm.create(this.shards, placeOf('createVm', this.shards, options), options);
  }

  /** The file whose handle another thread has posted. */
  file(handle: FileHandle): File {
    return File.at(this.shards, handle);
  }

  /** The guest whose handle another thread has posted. */
  vm(handle: VmHandle): Vm {
    return Vm.at(this.shards, handle);
  }

  /** Reports a hardware memory error on a page; see Host.memoryFailure(). */
  memoryFailure(pfn: number): number {
    return failMemory(this.shards, pfn);
  }

  /** Leaves: the thread's place is free for another. It must hold no lock, and the object is of no use afterwards. */
  detach(): void {
    for (const shard of this.shards) {
      joined(shard).x.taskDetach();
      shard.left = true;
    }
  }
}

/**
 * Joins a host from another thread: the calls run on that very thread, as one more task of the kernel. A host with a hook of yours needs the same
 * function here: each thread calls its own copy.
 */
export function attachHost(handle: HostHandle, hook?: UserHook): AttachedHost {
  const { shards } = (handle ?? {}) as Partial<HostHandle>;
  if (!Array.isArray(shards) || shards.length === 0 || !shards.every(isShardHandle))
    throw new UsageError('attachHost', `attachHost: ${shown(handle)} is not what handle() of a host gives`);
  if (hook !== undefined && typeof hook !== 'function')
    throw new UsageError('attachHost', `attachHost: the hook ${shown(hook)} is not a function`);
  const words = new Int32Array(shards[0]!.memory.buffer);
  if (words[layout.SH_HOOK / 4] === layout.HOOK_USER && hook === undefined) {
    throw new UsageError(
      'attachHost',
      "attachHost: this host has a hook of the user's; pass the function as the second argument",
    );
  }
  const environment = { prDebug, ...(hook === undefined ? {} : { userHook: hook }) };
  return new AttachedHost(shards.map((shard) => attachShard(shard, environment)));
}
