// The worker pool: one Piscina task is one whole actor. Workers are not killed while they may hold a lock: a run ends by the stop word in shared memory.
// Only a failed run is different: see supervisor.ts. A worker that dies all the same is noticed, and its run fails instead of hanging.
import { Piscina } from 'piscina';
import type { LogLevel } from './log.js';
import type { ShardHandle } from './shard.js';

/** What a worker gets: a shard, and the address of the program to run. */
export interface ActorTask {
  handle: ShardHandle;
  name: string;
  program: number;
  /** Path of the user's hook module, if the host has one. */
  hookModule?: string | undefined;
  logLevel: LogLevel;
  /** CPU to run on; any without it. */
  cpu?: number | undefined;
  /** The worker puts its task id + 1 into word `slot` when it has attached. */
  presence: SharedArrayBuffer;
  slot: number;
}

/** In the presence word of an actor whose thread has left for a while. */
export const AWAY = -1;

/** Notes which task a worker has become, so that the host knows whose locks to look at when the worker dies. */
export function announceTask(task: ActorTask, taskId: number): void {
  Atomics.store(new Int32Array(task.presence), task.slot, taskId + 1);
}

export interface ActorReply {
  name: string;
  taskId: number;
  verdict: number;
  /** Share of its time in the program that the thread waited for a CPU; absent where the system does not tell. */
  runDelayShare?: number;
  /** Why the thread could not be bound to its CPU. */
  unbound?: string;
  /** Set when the actor left the kernel by an oops or an error. */
  error?: { name: string; message: string };
}

export interface Pool {
  run(task: ActorTask): Promise<ActorReply>;
  close(): Promise<void>;
}

/** Starts a pool of exactly `threads` workers, one task each. */
export function createPool(threads: number): Pool {
  const piscina = new Piscina({
    filename: new URL('../../workers/actor.js', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
    // An idle worker may sleep in Atomics.wait: nothing else runs on its loop.
    atomics: 'sync',
    recordTiming: false,
  });
  piscina.on('error', () => {
    // Each task reports its own failure; without a listener this event would end the process.
  });
  return { run: (task) => piscina.run(task) as Promise<ActorReply>, close: () => piscina.destroy() };
}
