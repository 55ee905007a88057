// The cost model: what operations of the hardware take, given inline or by the name of a file (config/costs/*.yaml), and where it goes in a shard's memory.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import * as costs from '../kernel/abi/costs.js';
import { UsageError } from './errors.js';
import { object } from './options.js';
import { parseDuration } from './units.js';
import { unreadable } from './unreadable.js';

const WORDS = {
  rmpupdate: costs.COST_RMPUPDATE,
  rmpupdate2m: costs.COST_RMPUPDATE_2M,
  psmash: costs.COST_PSMASH,
  pvalidate: costs.COST_PVALIDATE,
  rmpadjust: costs.COST_RMPADJUST,
  tlbFlushIpi: costs.COST_TLB_FLUSH_IPI,
  tlbFlushTarget: costs.COST_TLB_FLUSH_TARGET,
  wbinvd: costs.COST_WBINVD,
  vmrun: costs.COST_VMRUN,
} as const;

/** Operations that can have a cost. */
export type CostName = keyof typeof WORDS;
export const COST_NAMES = Object.keys(WORDS) as CostName[];
/** Nanoseconds of each operation; what is missing costs nothing. */
export type Costs = Partial<Record<CostName, number>>;
/** As people write them: nanoseconds, or text with a unit. */
export type CostsInput = { [Name in CostName]?: number | string | undefined };

const MOST_NS = 4_000_000_000;
const time = z.string().regex(/^\d+(\.\d+)?\s*(ns|us|ms|s)$/, 'a time such as 400ns or 1.5us');

/** A cost with where it comes from: nobody should have to guess what is a guess. */
const entry = z.strictObject({
  time,
  basis: z.enum(['measured', 'published', 'guess']),
  source: z.string().min(1),
});
const fileSchema = z.strictObject({
  name: z.string(),
  costs: z.partialRecord(z.enum(COST_NAMES as [CostName, ...CostName[]]), entry),
});

/** Nanoseconds of costs as written in a profile or in options. Throws UsageError. */
export function parseCosts(input: CostsInput): Costs {
  object('costs', input);
  return Object.fromEntries(
    Object.entries(input).flatMap(([name, value]) => {
      if (!(name in WORDS)) {
        throw new UsageError('costs', `costs: '${name}' is no operation; known are ${COST_NAMES.join(', ')}`);
      }
      if (value === undefined) return [];
      const ns = typeof value === 'number' ? value : parseDuration(value);
      if (!(ns >= 0 && ns <= MOST_NS))
        throw new UsageError('costs', `costs: ${name}: ${value} is no time from 0 to 4s`);
      return [[name, ns]];
    }),
  );
}

/** Reads a file of config/costs. Throws UsageError with the place of what is wrong. */
export function readCosts(path: string): Costs {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const why = unreadable(error);
    throw new UsageError('costs', `${path}: ${why === 'no such file' ? 'no such file of costs' : why}`);
  }
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw new UsageError('costs', `${path}: ${(error as Error).message.split('\n')[0]}`);
  }
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new UsageError('costs', `${path}: ${issue.path.join('.')}: ${issue.message}`);
  }
  return parseCosts(Object.fromEntries(Object.entries(parsed.data.costs).map(([name, cost]) => [name, cost.time])));
}

/** Writes the costs into a shard's header. */
export function writeCosts(buffer: ArrayBufferLike, given: Costs): void {
  const view = new DataView(buffer);
  for (const name of COST_NAMES) view.setUint32(WORDS[name], Math.round(given[name] ?? 0), true);
}
