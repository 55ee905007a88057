// Entry point of a pool worker: attaches to the shard, runs one actor program to its end, detaches. Errors come back as values, because a
// thrown error loses its properties on the way between threads. Also tells how long the thread waited for a CPU meanwhile.
import { announceTask, type ActorReply, type ActorTask } from '../src/host/pool.js';
import { prDebug } from '../src/host/debug.js';
import { createLog } from '../src/host/log.js';
import { nowNs } from '../src/host/clock.js';
import { attachShard } from '../src/host/shard.js';
import { bindThread, threadTimes } from '../src/host/thread.js';
import { END_LEFT } from '../src/kernel/abi/program.js';

type UserHook = (vmId: number, slotId: number, startGfn: number, endGfn: number) => void;

export default async function runActor(task: ActorTask): Promise<ActorReply> {
  let taskId = -1;
  try {
    const hook =
      task.hookModule === undefined ? undefined : ((await import(task.hookModule)) as { default: UserHook }).default;
    const shard = attachShard(task.handle, { prDebug, ...(hook === undefined ? {} : { userHook: hook }) });
    taskId = shard.taskId;
    createLog(task.logLevel).debug({ actor: task.name, task: taskId }, 'worker attached');
    const unbound = task.cpu === undefined ? undefined : bindThread(task.cpu);
    announceTask(task, taskId);
    const [before, startNs] = [threadTimes(), nowNs()];
    const verdict = shard.x.runProgram(task.program);
    const [after, tookNs] = [threadTimes(), nowNs() - startNs];
    // Who leaves for a while gives its task back: any thread may get it.
    if (verdict === END_LEFT) shard.x.taskDetach();
    else shard.x.taskExit();
    if (task.cpu !== undefined) bindThread();
    return {
      name: task.name,
      taskId,
      verdict,
      ...(unbound === undefined ? {} : { unbound }),
      ...(before === undefined || after === undefined
        ? {}
        : { runDelayShare: Math.min(1, (after.runDelayNs - before.runDelayNs) / tookNs) }),
    };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
    return { name: task.name, taskId, verdict: -1, error: { name, message } };
  }
}
