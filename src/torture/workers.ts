// `--workers N`: how many threads the actors of a profile have together. An actor's thread is a real one, so N is reached by giving each actor more or
// fewer of them, in the profile's proportions; with fewer threads than actors, a thread runs several of them in turn.
import { UsageError } from '../host/errors.js';
import type { Shard } from '../host/shard.js';
import * as program from '../kernel/abi/program.js';
import { part, runsVcpus, type ActorProgram } from './actors.js';
import { MAX_THREADS, type ActorProfile, type MemslotSequence, type Profile } from './schema.js';

/** Threads that find work, and those given out: of one actor, or of all vCPU actors or rebinders, which share what they work on. */
interface Pool {
  kind: ActorProfile['kind'];
  most: number;
  threads: number;
}

/** Threads of one actor: as the profile has them, and as they are given out. */
interface Share {
  weight: number;
  threads: number;
  pool: Pool;
}

/**
 * The profile for exactly `workers` threads: at least one an actor and shard, the others in proportion to its `threads` (Webster's method). A vCPU takes one
 * thread at most, a memslot one rebinder. With fewer workers than that each actor has one a shard, and threadsFor() deals them out over the workers. Throws
 * UsageError when that many threads are too few or too many. `sequences` are those of `profile.vms`, `shards` those that the guests live in.
 */
export function scaleWorkers(
  profile: Profile,
  workers: number,
  sequences: readonly MemslotSequence[],
  shards = 1,
): Profile {
  const pools: Pool[] = [];
  const shares = profile.actors.map((actor): Share => {
    const most = mostThreads(actor, profile, sequences);
    const kind = runsVcpus(actor) ? 'vcpu' : actor.kind;
    let pool = pools.find((each) => each.kind === kind && (kind === 'vcpu' || kind === 'rebinder'));
    if (pool === undefined) pools.push((pool = { kind, most, threads: 0 }));
    pool.threads += shards;
    return { weight: actor.threads, threads: shards, pool };
  });
  const most = sum(pools.map((pool) => pool.most));
  if (workers < shards) {
    throw new UsageError(
      '--workers',
      `--workers ${workers}: at least ${shards}, one for each shard that guests live in`,
    );
  }
  if (workers > most) {
    const each = pools.map((pool) => `${pool.kind} ${pool.most}`).join(', ');
    throw new UsageError('--workers', `--workers ${workers}: at most ${most} threads find work here (${each})`);
  }
  for (let left = workers - shares.length * shards; left > 0; left--) {
    const open = shares.filter(({ pool }) => pool.threads < pool.most);
    const next = open.reduce((best, share) => (claim(share) > claim(best) ? share : best));
    next.threads++;
    next.pool.threads++;
  }
  return { ...profile, actors: profile.actors.map((actor, n) => ({ ...actor, threads: shares[n]!.threads })) };
}

function claim({ weight, threads }: Share): number {
  return weight / (2 * threads + 1);
}

function mostThreads(actor: ActorProfile, { vms }: Profile, sequences: readonly MemslotSequence[]): number {
  if (runsVcpus(actor)) return Math.min(MAX_THREADS, sum(vms.map(({ count, vcpus }) => count * vcpus)));
  if (actor.kind === 'rebinder') {
    return Math.min(MAX_THREADS, sum(vms.map(({ count }, n) => count * slotCount(sequences[n]!))));
  }
  return MAX_THREADS;
}

/** Memslots that a sequence leaves, with the window that a rebinder brings. */
function slotCount({ steps }: MemslotSequence): number {
  const slots = new Map<number, boolean>();
  for (const { slot, size, file, ret } of steps) {
    if (ret !== 0) continue;
    if (size === 0) slots.delete(slot);
    else slots.set(slot, file !== undefined);
  }
  const isPrivate = [...slots.values()];
  return isPrivate.length + (isPrivate.every(Boolean) ? 1 : 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** A thread of a run: the first of the programs that it runs, linked in the shard's memory, and what they are called together. */
export interface ThreadPlan {
  name: string;
  program: number;
  shard: number;
  cpu?: number | undefined;
}

/** Threads for programs: one each, or, with fewer workers, several in turn on a thread of their shard. @context before they start. */
export function threadsFor(
  shards: readonly Shard[],
  programs: readonly ActorProgram[],
  workers = programs.length,
): ThreadPlan[] {
  const used = [...new Set(programs.map(({ shard }) => shard))];
  return used.flatMap((shard, n) => {
    const here = programs.filter((each) => each.shard === shard);
    const threads = Math.min(here.length, Math.max(1, part(workers, used.length, n)));
    const view = new DataView(shards[shard]!.buffer);
    return Array.from({ length: threads }, (_, first): ThreadPlan => {
      const mine = here.filter((_each, index) => index % threads === first);
      mine.forEach(({ address }, at) => view.setUint32(address + program.PR_NEXT, mine[at + 1]?.address ?? 0, true));
      return { name: mine.map(({ name }) => name).join('+'), program: mine[0]!.address, shard, cpu: mine[0]!.cpu };
    });
  });
}
