// What the perturbed build injects beside short delays: options, where they go in a shard's memory (src/kernel/abi/perturb.ts), and how much was injected.
import { z } from 'zod';
import * as perturb from '../kernel/abi/perturb.js';
import { wanted, whole } from './options.js';

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

/** What is injected at points: a delay of up to `delayNs` after `meanPoints` of them in the mean (0: none), and rougher things. */
export interface Perturbing extends Trouble {
  meanPoints: number;
  delayNs: number;
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

const share = wanted(isShare, 'a share from 0 to 1');
const length = wanted((ns) => typeof ns === 'number' && ns > 0 && ns < Infinity, 'a length in nanoseconds above 0');
const occasionally = z.strictObject({ chance: share, lengthNs: length } satisfies Record<keyof Occasional, z.ZodType>);
const pauses = { everyNs: length, leastNs: length, mostNs: length };

/** `perturb` of a host. */
export const perturbOptions = z.strictObject({
  meanPoints: whole(0, 2 ** 31 - 1),
  delayNs: wanted(
    (ns) => typeof ns === 'number' && ns >= 0 && ns < 2 ** 32,
    'a number of nanoseconds from 0 to 4294967295',
  ),
  yieldShare: share.optional(),
  longHold: occasionally.optional(),
  victim: z.strictObject(pauses).optional(),
  allocationFailure: share.optional(),
  leave: z.strictObject({ everyNs: length, awayNs: length }).optional(),
  slowHook: occasionally.optional(),
  slowIpi: occasionally.optional(),
} satisfies Record<keyof Perturbing, z.ZodType>);

function isShare(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 1;
}

/** A share in 32 bits. */
function chance(of: number): number {
  return Math.min(0xffffffff, Math.round(of * 4294967296));
}

/** Writes the options into a shard's header. @context before the shard boots. */
export function writeTrouble(buffer: ArrayBufferLike, trouble: Trouble): void {
  const view = new DataView(buffer);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const f64 = (at: number, value: number): void => view.setFloat64(at, value, true);
  const { yieldShare = YIELD_SHARE, longHold, victim, allocationFailure = 0, leave, slowHook, slowIpi } = trouble;
  u32(perturb.PB_YIELD_CHANCE, chance(yieldShare));
  u32(perturb.PB_FAIL_CHANCE, chance(allocationFailure));
  u32(perturb.PB_TROUBLE, longHold === undefined && victim === undefined ? 0 : 1);
  const occasional = (given: Occasional | undefined, chanceAt: number, lengthAt: number): void => {
    if (given === undefined) return;
    u32(chanceAt, chance(given.chance));
    f64(lengthAt, given.lengthNs);
  };
  occasional(longHold, perturb.PB_HOLD_CHANCE, perturb.PB_HOLD_NS);
  occasional(slowHook, perturb.PB_HOOK_CHANCE, perturb.PB_HOOK_NS);
  occasional(slowIpi, perturb.PB_IPI_CHANCE, perturb.PB_IPI_NS);
  if (victim !== undefined) {
    f64(perturb.PB_PAUSE_EVERY_NS, victim.everyNs);
    f64(perturb.PB_PAUSE_LEAST_NS, victim.leastNs);
    f64(perturb.PB_PAUSE_MOST_NS, Math.max(victim.leastNs, victim.mostNs));
  }
  if (leave !== undefined) {
    f64(perturb.PB_LEAVE_EVERY_NS, leave.everyNs);
    f64(perturb.PB_AWAY_NS, leave.awayNs);
  }
}

/** What was injected so far, in all shards together. */
export function injectedInto(shards: readonly { buffer: ArrayBufferLike }[]): Injected {
  const sum = (at: number): number =>
    shards.reduce((total, { buffer }) => total + Number(new DataView(buffer).getBigUint64(at, true)), 0);
  return Object.fromEntries(Object.entries(COUNTS).map(([name, at]) => [name, sum(at)])) as unknown as Injected;
}
