// Entry point of a pool worker: attaches to the shard, runs one actor program to its end, detaches. Errors come back as values, because a
// thrown error loses its properties on the way between threads.
import { announceTask, type ActorReply, type ActorTask } from '../src/host/pool.js';
import { prDebug } from '../src/host/debug.js';
import { createLog } from '../src/host/log.js';
import { attachShard } from '../src/host/shard.js';

type UserHook = (vmId: number, slotId: number, startGfn: number, endGfn: number) => void;

export default async function runActor(task: ActorTask): Promise<ActorReply> {
  let taskId = -1;
  try {
    const hook =
      task.hookModule === undefined ? undefined : ((await import(task.hookModule)) as { default: UserHook }).default;
    const shard = attachShard(task.handle, { prDebug, ...(hook === undefined ? {} : { userHook: hook }) });
    taskId = shard.taskId;
    announceTask(task, taskId);
    createLog(task.logLevel).debug({ actor: task.name, task: taskId }, 'worker attached');
    const verdict = shard.x.runProgram(task.program);
    shard.x.taskExit();
    return { name: task.name, taskId, verdict };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
    return { name: task.name, taskId, verdict: -1, error: { name, message } };
  }
}
