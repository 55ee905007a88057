// What the perturbed build injects beside short delays: options, where they go in a shard's memory (src/kernel/abi/perturb.ts), and how much was injected.
import * as perturb from '../kernel/abi/perturb.js';
import { UsageError } from './errors.js';

/** Something that happens with a chance (0 to 1) and lasts up to a length, drawn log-uniformly from 1/64 of it on. */
export interface Occasional {
  chance: number;
  lengthNs: number;
}

/** Trouble for the threads of a host of build `perturbed`. All of it is legal: nothing is done that a real machine could not do at that moment. */
export interface Trouble {
  /** Share of the delays that give the CPU to another thread; the others spin. 0.125 if not said. */
  yieldShare?: number;
  /** A delay that meets a held lock becomes a long one. */
  longHold?: Occasional;
  /** Pauses of the threads whose actor is a victim: after `everyNs` in the mean, for a log-uniform time. */
  victim?: { everyNs: number; leastNs: number; mostNs: number };
  /** Share of the allocations, of pages and of kernel memory, that fail; not of the thread that made the host. */
  allocationFailure?: number;
  /** Threads of the pool leave their actor after `everyNs` in the mean; another thread goes on with it after up to `awayNs`. */
  leave?: { everyNs: number; awayNs: number };
  /** The platform hook takes its time. */
  slowHook?: Occasional;
  /** With that chance before an access of a guest: an IPI that comes now is late, and until then the guest goes on with what it has translated. */
  slowIpi?: Occasional;
}

/** How often each kind of trouble came about. */
export interface Injected {
  longHolds: number;
  pauses: number;
  allocationFailures: number;
  slowHooks: number;
  slowIpis: number;
  leaves: number;
}

const YIELD_SHARE = 0.125;
const COUNTS: Record<keyof Injected, number> = {
  longHolds: perturb.PB_HOLDS,
  pauses: perturb.PB_PAUSES,
  allocationFailures: perturb.PB_FAILURES,
  slowHooks: perturb.PB_HOOKS,
  slowIpis: perturb.PB_IPIS,
  leaves: perturb.PB_LEAVES,
};

function chance(name: string, share: number): number {
  if (!(share >= 0 && share <= 1))
    throw new UsageError('perturb', `perturb: ${name}: ${share} is no share from 0 to 1`);
  return Math.min(0xffffffff, Math.round(share * 4294967296));
}

function length(name: string, ns: number): number {
  if (!(ns > 0 && ns < Infinity))
    throw new UsageError('perturb', `perturb: ${name}: ${ns} is no length in nanoseconds above 0`);
  return ns;
}

/** Writes the options into a shard's header. Throws UsageError for a number that makes no sense. @context before the shard boots. */
export function writeTrouble(buffer: ArrayBufferLike, trouble: Trouble): void {
  const view = new DataView(buffer);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const f64 = (at: number, value: number): void => view.setFloat64(at, value, true);
  const { yieldShare = YIELD_SHARE, longHold, victim, allocationFailure = 0, leave, slowHook, slowIpi } = trouble;
  u32(perturb.PB_YIELD_CHANCE, chance('yieldShare', yieldShare));
  u32(perturb.PB_FAIL_CHANCE, chance('allocationFailure', allocationFailure));
  u32(perturb.PB_TROUBLE, longHold === undefined && victim === undefined ? 0 : 1);
  const occasional = (name: string, given: Occasional | undefined, chanceAt: number, lengthAt: number): void => {
    if (given === undefined) return;
    u32(chanceAt, chance(`${name}.chance`, given.chance));
    f64(lengthAt, length(`${name}.lengthNs`, given.lengthNs));
  };
  occasional('longHold', longHold, perturb.PB_HOLD_CHANCE, perturb.PB_HOLD_NS);
  occasional('slowHook', slowHook, perturb.PB_HOOK_CHANCE, perturb.PB_HOOK_NS);
  occasional('slowIpi', slowIpi, perturb.PB_IPI_CHANCE, perturb.PB_IPI_NS);
  if (victim !== undefined) {
    f64(perturb.PB_PAUSE_EVERY_NS, length('victim.everyNs', victim.everyNs));
    f64(perturb.PB_PAUSE_LEAST_NS, length('victim.leastNs', victim.leastNs));
    f64(perturb.PB_PAUSE_MOST_NS, length('victim.mostNs', Math.max(victim.leastNs, victim.mostNs)));
  }
  if (leave !== undefined) {
    f64(perturb.PB_LEAVE_EVERY_NS, length('leave.everyNs', leave.everyNs));
    f64(perturb.PB_AWAY_NS, length('leave.awayNs', leave.awayNs));
  }
}

/** What was injected so far, in all shards together. */
export function injectedInto(shards: readonly { buffer: ArrayBufferLike }[]): Injected {
  const sum = (at: number): number =>
    shards.reduce((total, { buffer }) => total + Number(new DataView(buffer).getBigUint64(at, true)), 0);
  return Object.fromEntries(Object.entries(COUNTS).map(([name, at]) => [name, sum(at)])) as unknown as Injected;
}
