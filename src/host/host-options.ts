// What a host is made of: the options of Host.create(), their defaults, and what their values may be.
import { z } from 'zod';
import type { CostsInput } from './costs.js';
import type { BuildName } from './kernel-module.js';
import { LOG_LEVELS, type LogLevel } from './log.js';
import { boolean, callback, oneOf, seedLike, shown, sizeLike, text, timeLike, whole } from './options.js';
import { PROTOCOLS, type Protocol } from './protocols.js';
import { perturbOptions, type Perturbing } from './trouble.js';

const BUILDS = ['fast', 'fast-stat', 'perturbed'] as const satisfies readonly BuildName[];

/** What a host is made of; all of it has a default. */
export interface HostOptions {
  /** Memory of the host, `64GiB` or bytes; a layout file decides it instead. Above 514 GiB it is several shards. `4GiB` if not said. */
  memory?: number | string;
  /** Partitions of the page allocator, each with a home worker: 1 to 64, 2 if not said. */
  partitions?: number;
  /** Threads of the pool, 1 to 256; as many as there are partitions if not said. */
  workers?: number;
  /** How private memory is taken back: `rfc-v7`, `rfc-v8` or `guest-memfd`; `rfc-v8` if not said. */
  protocol?: Protocol;
  /** `none`, `snp` (if not said), or the path of a module whose default export is (vmId, slotId, startGfn, endGfn) => void. */
  hook?: string;
  /** `fast`, `fast-stat` (with statistics of locks) or `perturbed` (with lock-order checks and all that is injected), which it is if not said. */
  build?: BuildName;
  /** Of all randomness, below 2^64; 1n if not said. */
  seed?: bigint;
  /** Whether invariants are checked in the builds that can; true if not said. */
  oracles?: boolean;
  /** The CPU has HvInUseWrAllowed: the host may write to pages that a VMRUN uses, so that AVIC may be on. False if not said. */
  inUseWritable?: boolean;
  /** Build `perturbed`: mistakes to bring back, such as `B05`, or `as-posted`; none if not said. */
  variants?: readonly string[];
  /** Build `perturbed`: delays at points (mean number of points between two, and the longest), and rougher things; none if not said. */
  perturb?: Perturbing;
  /** What operations of the hardware take, which is spent where they take place: nanoseconds or text with a unit, or the path of a file as in config/costs. Nothing if not said. */
  costs?: CostsInput | string;
  /** Path of a file with a real host's memory map, as in config/layouts. */
  layout?: string;
  /** Globs of function names whose pr_debug lines are printed; none if not said. */
  debug?: string;
  /** Most memory of one shard, from `1GiB` on, `514GiB` if not said; only a host that should have several although it is small needs it. */
  shardMemory?: number | string;
  /** Least level of the lines about the run itself on stderr; `silent` if not said. */
  logLevel?: LogLevel;
  /** Gets the host's own lines of that kind from `info` on, whatever `logLevel` shows. */
  onLog?: (line: string) => void;
  /** A thread of the pool that makes no progress for this long fails the run; `20s` if not said. */
  stuckAfter?: number | string;
}

export const HOST_DEFAULTS = {
  partitions: 2,
  protocol: 'rfc-v8' as Protocol,
  hook: 'snp',
  build: 'perturbed' as BuildName,
  variants: [] as readonly string[],
  logLevel: 'silent' as LogLevel,
  stuckAfter: '20s' as number | string,
};

const names = z.array(text, { error: ({ input }) => `${shown(input)} is not a list of names, such as ['B05']` });

export const hostOptions = z.strictObject({
  memory: sizeLike.optional(),
  partitions: whole(1, 64).optional(),
  workers: whole(1, 256).optional(),
  protocol: oneOf(PROTOCOLS).optional(),
  hook: text.optional(),
  build: oneOf(BUILDS).optional(),
  seed: seedLike.optional(),
  oracles: boolean.optional(),
  inUseWritable: boolean.optional(),
  variants: names.optional(),
  perturb: perturbOptions.optional(),
  // Looked at by the one who reads it: parseCosts() or readCosts().
  costs: z.unknown().optional(),
  layout: text.optional(),
  debug: text.optional(),
  shardMemory: sizeLike.optional(),
  logLevel: oneOf(LOG_LEVELS).optional(),
  onLog: callback.optional(),
  stuckAfter: timeLike.optional(),
} satisfies Record<keyof HostOptions, z.ZodType>);
