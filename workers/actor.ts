// Entry point of a pool worker: attaches to the shard, runs one actor program to its end, detaches. Errors come back as values, because a
// thrown error loses its properties on the way between threads. Also tells how long the thread waited for a CPU meanwhile.
import { announceTask, type ActorReply, type ActorTask } from '../src/host/pool.js';
import { prDebug } from '../src/host/debug.js';
import { createLog } from '../src/host/log.js';
import { nowNs } from '../src/host/clock.js';
import { attachInstance, kernelInstance, type Shard } from '../src/host/shard.js';
import { bindThread, threadTimes } from '../src/host/thread.js';
import { END_LEFT } from '../src/kernel/abi/program.js';

type UserHook = (vmId: number, slotId: number, startGfn: number, endGfn: number) => void;

/**
 * The kernels that this thread has instances of, by shard and hook. A thread that leaves and comes back would else leave 130 KB of garbage behind each time, which
 * V8 does not collect for hours.
 */
const instances = new Map<string, Omit<Shard, 'taskId'>>();

async function instanceFor({ handle, hookModule }: ActorTask): Promise<Omit<Shard, 'taskId'>> {
  const key = `${handle.id} ${hookModule ?? ''}`;
  const known = instances.get(key);
  if (known !== undefined) return known;
  const hook = hookModule === undefined ? undefined : ((await import(hookModule)) as { default: UserHook }).default;
  const made = kernelInstance(handle, { prDebug, ...(hook === undefined ? {} : { userHook: hook }) });
  instances.set(key, made);
  return made;
}

export default async function runActor(task: ActorTask): Promise<ActorReply> {
  let taskId = -1;
  try {
    const shard = attachInstance(await instanceFor(task));
    taskId = shard.taskId;
    createLog(task.logLevel).debug({ actor: task.name, task: taskId }, 'worker attached');
    const unbound = task.cpu === undefined ? undefined : bindThread(task.cpu);
    announceTask(task, taskId);
    const [before, startNs] = [threadTimes(), nowNs()];
    const verdict = shard.x.runProgram(task.program);
    const [after, tookNs] = [threadTimes(), nowNs() - startNs];
    // Who leaves for a while gives its task back: any thread may get it.
    if (verdict === END_LEFT) shard.x.taskDetach();
    else {
      shard.x.taskExit();
      instances.clear();
    }
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
    instances.clear();
    const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
    return { name: task.name, taskId, verdict: -1, error: { name, message } };
  }
}
