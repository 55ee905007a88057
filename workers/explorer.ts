// Entry point of an exploring worker: makes the target once, then runs batches of executions on it (src/explore/pool.ts), or turns at the parts of a search
// through schedules (src/explore/schedule-pool.ts).
import { Exploration } from '../src/explore/explore.js';
import type { BatchReply, BatchTask } from '../src/explore/pool.js';
import { explorePart, type PartReply, type PartTask } from '../src/explore/schedule-part.js';
import { strategyNamed } from '../src/explore/strategies/named.js';
import type { Target } from '../src/explore/target.js';

interface Loader {
  loadTarget(what: string, options: BatchTask['target'], overrides: BatchTask['overrides']): Promise<Target>;
}

/** A pool explores one target. */
let target: Promise<Target> | undefined;

export default async function exploreBatch(task: BatchTask | PartTask): Promise<BatchReply | PartReply> {
  const { loadTarget } = (await import(task.loader)) as Loader;
  target ??= loadTarget(task.what, task.target, task.overrides);
  if ('part' in task) return explorePart(await target, task);
  const exploration = new Exploration(await target, strategyNamed(task.strategy, await target), {
    executions: task.executions,
    first: task.first,
    seed: task.seed,
    countTraces: true,
  });
  exploration.run(Infinity);
  return { result: exploration.result, traces: Int32Array.from(exploration.traces) };
}
