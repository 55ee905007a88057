// Benchmark threads as the suites use them: start some over a shard, have them call kernel functions at the same moment.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ShardHandle } from '../src/host/shard.js';
import type { Call } from './thread.js';
import type { Timing } from './timing.js';

/** A kernel function's name and its arguments. */
export type KernelCall = [name: string, ...args: number[]];

export class BenchThread {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** `cpu`: the only one it is to run on, where the system can. */
  static async start(handle: ShardHandle, cpu?: number): Promise<BenchThread> {
    const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: { handle, cpu } });
    await once(worker, 'message');
    return new BenchThread(worker);
  }

  /** Starts a call without waiting for others; resolves when it has returned. */
  async call([name, ...args]: KernelCall, gate = new SharedArrayBuffer(4), parties = 1): Promise<Timing> {
    const request: Call = { function: name, args, gate, parties };
    this.#worker.postMessage(request, []);
    const [timing] = (await once(this.#worker, 'message')) as [Timing];
    return timing;
  }

  async end(): Promise<void> {
    this.#worker.postMessage('end', []);
    await once(this.#worker, 'exit');
  }
}

/** Each thread makes its call; all begin at one moment. */
export function together(calls: readonly (readonly [BenchThread, KernelCall])[]): Promise<Timing[]> {
  const gate = new SharedArrayBuffer(4);
  return Promise.all(calls.map(([thread, call]) => thread.call(call, gate, calls.length)));
}
