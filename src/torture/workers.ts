// `--workers N`: how many threads the actors of a profile have together. An actor's thread is a real one, so N is reached by giving each actor more or
// fewer of them, in the profile's proportions.
import { UsageError } from '../host/errors.js';
import { runsVcpus } from './actors.js';
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
 * The profile with exactly `workers` threads: at least one an actor, the others in proportion to its `threads` (Webster's method). A vCPU takes one thread
 * at most, a memslot one rebinder. Throws UsageError when that many threads are too few or too many. `sequences` are those of `profile.vms`.
 */
export function scaleWorkers(profile: Profile, workers: number, sequences: readonly MemslotSequence[]): Profile {
  const pools: Pool[] = [];
  const shares = profile.actors.map((actor): Share => {
    const most = mostThreads(actor, profile, sequences);
    const kind = runsVcpus(actor) ? 'vcpu' : actor.kind;
    let pool = pools.find((each) => each.kind === kind && (kind === 'vcpu' || kind === 'rebinder'));
    if (pool === undefined) pools.push((pool = { kind, most, threads: 0 }));
    pool.threads++;
    return { weight: actor.threads, threads: 1, pool };
  });
  const most = sum(pools.map((pool) => pool.most));
  if (workers < shares.length) {
    const each = profile.actors.map(({ kind }) => kind).join(', ');
    throw new UsageError('--workers', `--workers ${workers}: at least ${shares.length}, one thread an actor (${each})`);
  }
  if (workers > most) {
    const each = pools.map((pool) => `${pool.kind} ${pool.most}`).join(', ');
    throw new UsageError('--workers', `--workers ${workers}: at most ${most} threads find work here (${each})`);
  }
  for (let left = workers - shares.length; left > 0; left--) {
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
