// The schema of torture's result document, and of config/schema/torture.json: what scripts may rely on. A document may have more.
import { z } from 'zod';
import { count, environment, number, orNull, text } from './parts.js';

const latency = z.strictObject({ min: orNull, p50: orNull, p90: orNull, p99: orNull, p999: orNull, max: number });
const histogram = z.array(z.tuple([count, count])).describe('[bucket, count], buckets that are not empty');
const durations = z.strictObject({ samples: count, mean: number, p50: number, p99: number, max: number });
const pages = z.strictObject({ total: count, free: count, allocated: count, assigned: count, leaked: count });

const operation = z.strictObject({
  count,
  pages: count,
  ratePerSecond: number,
  latencyNs: latency.describe('from the instant at which the operation was due'),
  serviceNs: latency.omit({ min: true }).optional().describe('open loops: from the real start'),
  errors: z.record(text, count).describe('by errno'),
  histogram: histogram.describe('of latencies, 16 buckets a power of two'),
});

const lock = z.strictObject({
  acquisitions: count,
  contended: count,
  waitNs: durations,
  holdNs: durations.describe('of one acquisition in 64'),
  waitHistogram: histogram.describe('4 buckets a power of two'),
  holdHistogram: histogram,
});

const actor = z.strictObject({
  name: text,
  kind: text,
  operations: count,
  steps: count,
  pacing: z
    .strictObject({ intendedPerSecond: number, achievedPerSecond: number, missedShare: number, lateMaxNs: number })
    .optional()
    .describe('of an open loop'),
});

export const tortureResultSchema = z
  .strictObject({
    schema: z.literal('rmptorture/torture/1'),
    command: z.literal('torture'),
    seed: text.regex(/^0x[0-9a-f]+$/),
    again: text.describe('command line that repeats the run'),
    profile: z.looseObject({}).describe('as it was run: profile.json'),
    profilePath: text,
    build: text,
    protocol: text,
    hook: text,
    guests: count,
    workers: count,
    durationMs: number,
    partial: z.boolean(),
    verdict: z.enum(['passed', 'violated', 'threshold', 'inconclusive']),
    violations: z.array(
      z.strictObject({ oracle: text, message: text, thread: text, details: z.record(text, z.unknown()) }),
    ),
    invariants: z.array(
      z.strictObject({
        oracle: text,
        inline: z.boolean(),
        atRest: z.boolean(),
        violations: count,
        holds: z.union([z.boolean(), z.null()]).describe('null: nobody looked'),
      }),
    ),
    recent: z
      .looseObject({ guests: z.array(z.looseObject({})), threads: z.array(z.looseObject({})) })
      .optional()
      .describe('of a run with violations: the last operations of each actor'),
    places: z.array(z.strictObject({ violation: count, guest: text, gfn: count })).optional(),
    operations: z.record(text, operation),
    actors: z.array(actor),
    perturbation: z.looseObject({}).optional(),
    costs: z.looseObject({}).optional(),
    progress: z.record(text, z.strictObject({ threads: count, least: count, most: count, fairness: orNull })),
    locks: z.record(text, lock),
    pagesBefore: pages,
    pages,
    rmp: z.record(text, count).describe('RMP instructions, and what they refused'),
    replayDifferences: z.array(z.strictObject({ guest: text, step: count, expected: number, actual: number })),
    missedThresholds: z.array(text),
    trust: z.strictObject({
      runDelayShare: number.optional(),
      missedShare: number.optional(),
      doubts: z.array(text),
      untrustworthy: z.boolean(),
    }),
    notes: z.array(text),
    environment: environment.extend({ runDelayShare: number.optional() }),
  })
  .describe('The result document of rmptorture torture');
