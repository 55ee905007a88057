// One actor on the pool, from its start to its reply or the death of its thread; in between its thread may leave, and another one goes on with it.
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import * as layout from '../kernel/abi/layout.js';
import * as program from '../kernel/abi/program.js';
import { within } from './arguments.js';
import type { Violation } from './errors.js';
import type { Log, LogLevel } from './log.js';
import { callback, checkOptions, shown, text, whole } from './options.js';
import { AWAY, type ActorReply, type Pool } from './pool.js';
import type { Shard } from './shard.js';
import { MAX_SHARDS, stopShards } from './shards.js';
import type { Supervisor } from './supervisor.js';

/** An actor's program for a thread of the pool. */
export interface ActorOfPool {
  name: string;
  program: number;
  /** The shard that its program lies in; 0 if not said. */
  shard?: number;
  /** The CPU that its thread is to run on; any if not said. */
  cpu?: number | undefined;
}

const actorsOfPool = z.array(
  z.strictObject({
    name: text,
    program: whole(layout.SH_END, 2 ** 32 - 1),
    shard: whole(0, MAX_SHARDS - 1).optional(),
    cpu: whole(0, 4095).optional(),
  } satisfies Record<keyof ActorOfPool, z.ZodType>),
  { error: ({ input }) => `${shown(input)} is not a list of actors` },
);

/** Looks at the arguments of runActors(). Throws UsageError. */
export function checkActors(actors: readonly ActorOfPool[], onReady: () => void, shards: number): void {
  checkOptions('runActors', z.strictObject({ actors: actorsOfPool, onReady: callback }), { actors, onReady });
  for (const { shard = 0 } of actors) within('shard', shard, 0, shards - 1);
}

/** What the actors of one run on one shard share. */
export interface ActorsRun {
  shard: Shard;
  /** All shards of the host. */
  shards: readonly Shard[];
  pool: Pool;
  presence: SharedArrayBuffer;
  supervisor: Supervisor;
  died: string[];
  /** As in the host's options. */
  hook: string | undefined;
  logLevel: LogLevel;
  log: Log;
  fail(violation: Violation): void;
}

/** Runs an actor to its end, on as many threads one after another as it takes. Never rejects. */
export async function runActor(run: ActorsRun, actor: ActorOfPool, slot: number): Promise<ActorReply> {
  let reply = await runOnce(run, actor, slot);
  while (reply.verdict === program.END_LEFT && (await away(run, actor, slot))) {
    const { runDelayShare = 0 } = reply;
    reply = await runOnce(run, actor, slot);
    if (reply.runDelayShare !== undefined) reply.runDelayShare = Math.max(reply.runDelayShare, runDelayShare);
  }
  run.supervisor.actorEnded(slot);
  return reply;
}

/** The thread of an actor has left. Waits until another is to take its place; false when the run has ended meanwhile. */
async function away({ shard, presence, log }: ActorsRun, actor: ActorOfPool, slot: number): Promise<boolean> {
  Atomics.store(new Int32Array(presence), slot, AWAY);
  const awayNs = new DataView(shard.buffer).getFloat64(actor.program + program.PR_AWAY_NS, true);
  log.debug({ actor: actor.name, awayNs }, 'thread has left');
  await new Promise((resolve) => setTimeout(resolve, awayNs / 1e6));
  return Atomics.load(shard.words, layout.SH_STOP / 4) === 0;
}

async function runOnce(
  run: ActorsRun,
  { name, program: address, cpu }: ActorOfPool,
  slot: number,
): Promise<ActorReply> {
  const { shard, shards, pool, presence, supervisor, died, hook, logLevel } = run;
  const hookModule = hook === undefined || hook === 'snp' || hook === 'none' ? undefined : pathToFileURL(hook).href;
  const { handle } = shard;
  try {
    const reply = await pool.run({ handle, name, program: address, hookModule, logLevel, presence, slot, cpu });
    // An oops stops its own shard; the others have no reason to go on.
    if (reply.error?.name === 'KernelOops') stopShards(shards, layout.STOP_REQUESTED);
    // A trap leaves locks as they were: nobody else may go on waiting for them.
    if (reply.error !== undefined && reply.error.name !== 'KernelOops') {
      const message = `${name} failed: ${reply.error.name}: ${reply.error.message}`;
      run.fail({ oracle: 'kernel-bug', message, thread: `task${reply.taskId}`, details: {} });
    }
    return reply;
  } catch (error) {
    died.push(name);
    supervisor.workerDied(slot, error as Error);
    return { name, taskId: -1, verdict: -1, error: { name: 'WorkerDied', message: (error as Error).message } };
  }
}
