// A benchmark's own thread: attaches to a shard and runs exported kernel functions on request, timing them itself. Several threads start a
// call at one moment: each counts itself in and spins until all have.
import { parentPort, workerData } from 'node:worker_threads';
import { attachShard, type ShardHandle } from '../src/host/shard.js';
import { bindThread } from '../src/host/thread.js';
import { timed } from './timing.js';

/** One call: the threads of a group share `gate`: word 0 counts those that have arrived, up to `parties`. */
export interface Call {
  function: string;
  args: number[];
  gate: SharedArrayBuffer;
  parties: number;
}

const { handle, cpu } = workerData as { handle: ShardHandle; cpu?: number };
if (cpu !== undefined) bindThread(cpu);
const shard = attachShard(handle);
const functions = shard.x as unknown as Record<string, (...args: number[]) => number>;

parentPort!.on('message', (call: Call | 'end') => {
  if (call === 'end') {
    shard.x.taskExit();
    parentPort!.close();
    return;
  }
  const gate = new Int32Array(call.gate);
  const body = functions[call.function]!;
  Atomics.add(gate, 0, 1);
  while (Atomics.load(gate, 0) < call.parties);
  parentPort!.postMessage(
    timed(() => body(...call.args)),
    [],
  );
});
parentPort!.postMessage('ready', []);
