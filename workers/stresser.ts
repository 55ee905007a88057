// Entry point of a stressing worker (src/catalogue/stress.ts): makes its thread's calls of the scenario, once for each attempt, beside the other threads.
import { KernelOops } from '../src/host/errors.js';
import { Gate, type GateTask } from '../src/host/gate.js';
import { kernelInstance } from '../src/host/shard.js';

export default function stress({ handle, task, threads, gate: buffer }: GateTask): void {
  const { x } = kernelInstance(handle);
  const gate = new Gate(threads, buffer);
  gate.up();
  while (gate.next()) {
    x.taskBind(task);
    gate.line();
    try {
      x.runOperations();
    } catch (error) {
      // A violation ends the attempt; it is read from the shared memory.
      if (!(error instanceof KernelOops)) throw error;
    }
    gate.through();
  }
}
