// Test harness: boots a small kernel in this thread and runs functions on real worker threads over the same memory.
import { Worker } from 'node:worker_threads';
import { attachShard, createShard, type Shard, type ShardOptions } from '#src/host/shard.js';

export interface TestKernel extends Shard {
  /** Kernel memory for a test's own structs (zeroed, never freed). */
  alloc(bytes: number): number;
  u32(address: number): number;
  setU32(address: number, value: number): void;
  u64(address: number): bigint;
  setU64(address: number, value: bigint): void;
  /**
   * Runs `body` on `count` real threads at once and resolves with their results. `body` is sent as source text: it may use
   * nothing but its arguments (kernel view, thread index, your argument).
   */
  threads<A, R>(count: number, body: (k: TestKernel, index: number, arg: A) => R, arg: A): Promise<Awaited<R>[]>;
  /** The same for a function that a module (path below test/kernel, without extension) exports by its name: it may use what the module does. */
  threadsOf<A, R>(
    count: number,
    module: string,
    body: (k: TestKernel, index: number, arg: A) => R,
    arg: A,
  ): Promise<Awaited<R>[]>;
  /** On a thread: waits at a meeting point (MEETING_SIZE bytes) until the test lets everybody there go on. */
  arrive(meeting: number): void;
  /** In the test: until `count` threads wait at the meeting point. Fails when they end instead. */
  arrived(meeting: number, count: number, run: Promise<unknown>): Promise<void>;
  goOn(meeting: number): void;
}

// A meeting point: who has arrived, and how often they were let go on.
const MEETING_ARRIVED = 0;
const MEETING_ROUND = 4;
export const MEETING_SIZE = 8;

/** Adds the test helpers to a shard view. */
export function view(shard: Shard): TestKernel {
  const bytes = new DataView(shard.buffer);
  return {
    ...shard,
    alloc: (size) => shard.x.vmalloc(BigInt(size)) >>> 0,
    u32: (address) => bytes.getUint32(address, true),
    setU32: (address, value) => bytes.setUint32(address, value, true),
    u64: (address) => bytes.getBigUint64(address, true),
    setU64: (address, value) => bytes.setBigUint64(address, value, true),
    threads: (count, body, arg) => runThreads(shard, count, { body: body.toString() }, arg),
    threadsOf: (count, module, { name }, arg) => {
      const url = new URL(`../../dist/test/kernel/${module}.js`, import.meta.url).href;
      return runThreads(shard, count, { module: url, name }, arg);
    },
    ...meetings(shard),
  };
}

function meetings({ words }: Shard): Pick<TestKernel, 'arrive' | 'arrived' | 'goOn'> {
  const arrivedAt = (meeting: number): number => (meeting + MEETING_ARRIVED) / 4;
  const roundAt = (meeting: number): number => (meeting + MEETING_ROUND) / 4;
  return {
    arrive(meeting) {
      const round = Atomics.load(words, roundAt(meeting));
      Atomics.add(words, arrivedAt(meeting), 1);
      Atomics.notify(words, arrivedAt(meeting));
      while (Atomics.load(words, roundAt(meeting)) === round) Atomics.wait(words, roundAt(meeting), round);
    },
    async arrived(meeting, count, run) {
      const ended = run.then(() => Promise.reject(new Error('the threads ended before they met')));
      ended.catch(() => {}); // after the meeting they may
      for (;;) {
        const seen = Atomics.load(words, arrivedAt(meeting));
        if (seen === count) break;
        await Promise.race([Atomics.waitAsync(words, arrivedAt(meeting), seen, 50).value, ended]);
      }
    },
    goOn(meeting) {
      Atomics.store(words, arrivedAt(meeting), 0);
      Atomics.add(words, roundAt(meeting), 1);
      Atomics.notify(words, roundAt(meeting));
    },
  };
}

export function bootKernel(
  options: Partial<ShardOptions> = {},
  environment: Parameters<typeof createShard>[1] = {},
): TestKernel {
  const defaults: ShardOptions = { build: 'perturbed', pfnCount: 4096, maxTasks: 16, memoryPages: 1024 };
  return view(createShard({ ...defaults, ...options }, environment));
}

const BODY = `
const { workerData, parentPort } = require('node:worker_threads');
(async () => {
  const { attachShard } = await import(workerData.shardUrl);
  const { view } = await import(workerData.harnessUrl);
  const k = view(attachShard(workerData.handle));
  const go = new Int32Array(workerData.start);
  Atomics.add(go, 1, 1); Atomics.notify(go, 1);
  Atomics.wait(go, 0, 0);
  let reply;
  try {
    const { body, module, name } = workerData.code;
    const run = module === undefined ? (0, eval)('(' + body + ')') : (await import(module))[name];
    reply = { value: await run(k, workerData.index, workerData.arg) };
    k.x.taskDetach();
  }
  catch (error) { reply = { error: { message: String(error && error.message), stack: String(error && error.stack), code: error && error.code } }; }
  parentPort.postMessage(reply);
})();
`;

/** What a thread runs: source text, or a function that a module exports. */
type Code = { body: string } | { module: string; name: string };

async function runThreads(shard: Shard, count: number, code: Code, arg: unknown): Promise<never[]> {
  const start = new SharedArrayBuffer(8);
  const go = new Int32Array(start);
  const shardUrl = new URL('../../dist/src/host/shard.js', import.meta.url).href;
  const harnessUrl = new URL('../../dist/test/kernel/harness.js', import.meta.url).href;
  const runs = Array.from({ length: count }, (_, index) => {
    const worker = new Worker(BODY, {
      eval: true,
      workerData: { handle: shard.handle, shardUrl, harnessUrl, start, index, arg, code },
    });
    return new Promise<never>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('message', (reply: { value?: never; error?: { message: string; stack: string; code?: string } }) => {
        if (reply.error === undefined) resolve(reply.value as never);
        else
          reject(
            Object.assign(new Error(reply.error.message), { code: reply.error.code, threadStack: reply.error.stack }),
          );
      });
    });
  });
  for (;;) {
    const ready = Atomics.load(go, 1);
    if (ready === count) break;
    await Promise.race([Atomics.waitAsync(go, 1, ready, 50).value, ...runs.map((run) => run.then(() => {}))]);
  }
  Atomics.store(go, 0, 1);
  Atomics.notify(go, 0);
  return Promise.all(runs);
}

export { attachShard };
