// A shard: one linear memory with one modelled kernel in it. Creating writes the geometry and boots; attaching makes the calling thread a task.
import { randomUUID } from 'node:crypto';
import type { KernelExports } from '#kernel-exports';
import * as layout from '../kernel/abi/layout.js';
import { SNP_HV_IN_USE_WRITE_ALLOWED } from '../kernel/abi/snp.js';
import { writeCosts, type Costs } from './costs.js';
import { KernelError, KernelOops, UsageError } from './errors.js';
import { type BuildName, instantiateKernel, kernelModule, type KernelEnvironment } from './kernel-module.js';
import { readViolations } from './oops.js';
import { writeTrouble, type Trouble } from './trouble.js';

export interface ShardOptions {
  build: BuildName;
  /** PFNs the shard covers, [0, pfnCount). */
  pfnCount: number;
  partitions?: number;
  maxTasks?: number;
  seed?: bigint;
  protocol?: number;
  hook?: number;
  oracles?: boolean;
  /** The CPU has HvInUseWrAllowed. */
  inUseWritable?: boolean;
  /** Bit numbers of abi/variants.ts. */
  variants?: readonly number[];
  perturbMeanPoints?: number;
  perturbNs?: number;
  trouble?: Trouble;
  costs?: Costs;
  /** Size of the linear memory in 64 KiB pages; the maximum (4 GiB) costs nothing until touched. */
  memoryPages?: number;
  pfnBase?: number;
}

/** What another thread needs to join: structured-cloneable. */
export interface ShardHandle {
  /** Tells shards apart: memories that were posted to a thread are other objects each time. */
  id: string;
  build: BuildName;
  memory: WebAssembly.Memory;
  module: WebAssembly.Module;
}

/** Whether a value that was passed from thread to thread is the handle of a shard. */
export function isShardHandle(value: unknown): value is ShardHandle {
  const { id, build, memory, module } = (value ?? {}) as Partial<ShardHandle>;
  if (typeof id !== 'string' || typeof build !== 'string') return false;
  return memory instanceof WebAssembly.Memory && module instanceof WebAssembly.Module;
}

/** One thread's view of a shard. */
export interface Shard {
  readonly handle: ShardHandle;
  readonly x: KernelExports;
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly taskId: number;
  /** The thread has left, or the host is closed: no call may be made any more. */
  left?: boolean;
}

/** The shard, if the calling thread still belongs to it. Throws UsageError otherwise. */
export function joined(shard: Shard): Shard {
  if (shard.left === true) throw new UsageError('host', 'host: it has been closed, or this thread has left it');
  return shard;
}

const noEnvironment: Omit<KernelEnvironment, 'stopped'> = { prDebug() {}, userHook() {} };

/** The whole 4 GiB as 32-bit words: index = address / 4. */
function wordsOf(memory: WebAssembly.Memory): Int32Array<SharedArrayBuffer> {
  return new Int32Array(memory.buffer as unknown as SharedArrayBuffer);
}

/** The calling thread's instance of the kernel over a shard's memory. It is no task yet. */
export function kernelInstance(
  handle: ShardHandle,
  environment: Partial<KernelEnvironment> = {},
): Omit<Shard, 'taskId'> {
  const buffer = handle.memory.buffer as unknown as SharedArrayBuffer;
  const x = instantiateKernel(handle.module, handle.memory, {
    ...noEnvironment,
    stopped: () => {
      throw new KernelOops(readViolations(buffer));
    },
    ...environment,
  });
  return { handle, x, buffer, words: wordsOf(handle.memory) };
}

/** Writes what bootKernel reads into the header of a fresh shard. */
export function writeGeometry(words: Int32Array, options: Omit<ShardOptions, 'build'> & { memoryPages: number }): void {
  const set = (address: number, value: number): void => {
    words[address / 4] = value;
  };
  set(layout.SH_MEMORY_END_PAGES, options.memoryPages);
  set(layout.SH_PFN_COUNT, options.pfnCount);
  set(layout.SH_PFN_BASE, options.pfnBase ?? 0);
  set(layout.SH_PARTITION_COUNT, options.partitions ?? 1);
  set(layout.SH_MAX_TASKS, options.maxTasks ?? 64);
  set(layout.SH_PROTOCOL, options.protocol ?? layout.PROTOCOL_RFC_V8);
  set(layout.SH_HOOK, options.hook ?? layout.HOOK_SNP);
  set(layout.SH_ORACLES, options.oracles === false ? 0 : 1);
  set(SNP_HV_IN_USE_WRITE_ALLOWED, options.inUseWritable === true ? 1 : 0);
  set(layout.SH_PERTURB_MEAN, options.perturbMeanPoints ?? 0);
  set(layout.SH_PERTURB_NS, options.perturbNs ?? 0);
  writeTrouble(words.buffer, options.trouble ?? {});
  writeCosts(words.buffer, options.costs ?? {});
  const seed = BigInt.asUintN(64, options.seed ?? 1n);
  set(layout.SH_SEED, Number(seed & 0xffffffffn) | 0);
  set(layout.SH_SEED + 4, Number(seed >> 32n) | 0);
  for (const bit of options.variants ?? []) words[layout.SH_VARIANTS / 4 + (bit >> 5)]! |= 1 << (bit & 31);
}

/** Boots a new shard; the calling thread is its task 0. */
export function createShard(options: ShardOptions, environment: Partial<KernelEnvironment> = {}): Shard {
  const memoryPages = options.memoryPages ?? 65536;
  const memory = new WebAssembly.Memory({ initial: memoryPages, maximum: memoryPages, shared: true });
  const handle: ShardHandle = { id: randomUUID(), build: options.build, memory, module: kernelModule(options.build) };
  const shard = kernelInstance(handle, environment);
  writeGeometry(shard.words, { ...options, memoryPages });
  const error = shard.x.bootKernel();
  if (error !== 0) throw new KernelError('boot', error, { pfnCount: options.pfnCount, memoryPages });
  if (Object.values(options.costs ?? {}).some((ns) => ns > 0)) shard.x.costsCalibrate();
  return { ...shard, taskId: 0 };
}

/** Makes the calling thread a task of a shard that another thread has booted. */
export function attachShard(handle: ShardHandle, environment: Partial<KernelEnvironment> = {}): Shard {
  return attachInstance(kernelInstance(handle, environment));
}

/** The same with an instance that the thread has already; no task of the thread's may be attached to it. */
export function attachInstance(shard: Omit<Shard, 'taskId'>): Shard {
  const taskId = shard.x.taskAttach();
  if (taskId < 0) throw new KernelError('attach', -24, { reason: 'all task entries are taken' });
  return { ...shard, taskId };
}
