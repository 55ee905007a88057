// Joining a host from a thread of the user's own: the same objects, and every call runs on that very thread.
import * as layout from '../kernel/abi/layout.js';
import { prDebug } from './debug.js';
import { UsageError } from './errors.js';
import { File, Vm, type FileHandle, type FileOptions, type VmHandle, type VmOptions } from './objects.js';
import { attachShard, type Shard, type ShardHandle } from './shard.js';

/** The arch hook as a function of the user's; gfns are [startGfn, endGfn). */
export type UserHook = (vmId: number, slotId: number, startGfn: number, endGfn: number) => void;

/** A handle that another thread can attach to. */
export interface HostHandle {
  shard: ShardHandle;
}

/** A host as one more of its threads sees it. */
export class AttachedHost implements Shard {
  readonly handle: ShardHandle;
  readonly x: Shard['x'];
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly taskId: number;

  constructor(shard: Shard) {
    this.handle = shard.handle;
    this.x = shard.x;
    this.buffer = shard.buffer;
    this.words = shard.words;
    this.taskId = shard.taskId;
  }

  createRestrictedMem(options: FileOptions): File {
    return File.create(this, options);
  }

  createVm(options: VmOptions = {}): Vm {
    return Vm.create(this, options);
  }

  /** The file whose handle another thread has posted. */
  file(handle: FileHandle): File {
    return File.at(this, handle);
  }

  /** The guest whose handle another thread has posted. */
  vm(handle: VmHandle): Vm {
    return Vm.at(this, handle);
  }

  /** Reports a hardware memory error on a page. */
  memoryFailure(pfn: number): number {
    return this.x.sysMemoryFailure(pfn);
  }

  /** Leaves: the thread's place is free for another. It must hold no lock, and the object is of no use afterwards. */
  detach(): void {
    this.x.taskDetach();
  }
}

/**
 * Joins a host from another thread: the calls run on that very thread, as one more task of the kernel. A host with a hook of yours needs the same
 * function here: each thread calls its own copy.
 */
export function attachHost({ shard }: HostHandle, hook?: UserHook): AttachedHost {
  const words = new Int32Array(shard.memory.buffer);
  if (words[layout.SH_HOOK / 4] === layout.HOOK_USER && hook === undefined) {
    throw new UsageError(
      'attachHost',
      "attachHost: this host has a hook of the user's; pass the function as the second argument",
    );
  }
  return new AttachedHost(attachShard(shard, { prDebug, ...(hook === undefined ? {} : { userHook: hook }) }));
}
