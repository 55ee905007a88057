// The schemas of what `compare`, `bench`, `import` and `torture --dry-run` print. That of a torture run: torture.ts.
import { z } from 'zod';
import { count, environment, estimate, interval, number, orNull, text } from './parts.js';

const metric = z.strictObject({
  name: text.describe('operation.rate, operation.p50, operation.p99'),
  unit: z.enum(['per second', 'ns']),
  samples: z.tuple([count, count]),
  a: estimate,
  b: estimate,
  ratio: orNull.describe('B / A'),
  interval: interval.describe('of the ratio, 95 %'),
  pValue: number,
  verdict: z.enum(['same', 'slower', 'faster', 'unclear', 'too few samples']).describe('of B against A'),
});

export const compareSchema = z
  .strictObject({
    schema: z.literal('rmptorture/compare/1'),
    command: z.literal('compare'),
    a: text,
    b: text,
    seed: text.optional(),
    again: text.optional().describe('of --ab: command line that runs both again'),
    metrics: z.array(metric),
    notes: z.array(text),
    violated: z.tuple([z.array(text), z.array(text)]).describe('oracles that found something, of each side'),
    doubtful: z.boolean(),
    bounds: z.strictObject({ slower: number, faster: number }),
    verdict: z.enum(['violated', 'inconclusive', 'slower', 'faster', 'same']),
    environment,
  })
  .describe('The result document of rmptorture compare');

const benchmark = z.strictObject({
  name: text,
  unit: z.literal('ns/op'),
  samples: z.array(number),
  median: number,
  p95: number,
  confidence: z.tuple([number, number]).describe('95 % interval of the median'),
  opsPerSecond: number,
  hash: text.describe('of what was computed'),
  reference: z.strictObject({ name: text, ratio: number, interval: z.tuple([number, number]) }).optional(),
});

const goal = z.strictObject({
  name: text,
  atLeast: number.optional(),
  atMost: number.optional(),
  unit: text,
  measured: number,
  interval: z.tuple([number, number]),
  met: z.boolean(),
});

export const benchSchema = z
  .strictObject({
    schema: z.literal('rmptorture/bench/1'),
    command: text,
    environment,
    effort: z.enum(['full', 'quick', 'smoke']),
    benchmarks: z.array(benchmark),
    goals: z.array(goal),
    comparison: z
      .array(
        z.strictObject({
          name: text,
          ratio: number,
          interval: z.tuple([number, number]),
          pValue: number,
          verdict: z.enum(['faster', 'slower', 'same']),
        }),
      )
      .optional(),
  })
  .describe('The result document of rmptorture bench');

export const importSchema = z
  .strictObject({
    schema: z.literal('rmptorture/import/1'),
    command: z.literal('import'),
    file: text,
    lines: count,
    understood: count,
    kinds: z.record(text, count).describe('lines of each kind'),
    unread: z.array(z.strictObject({ line: count, reason: text, damaged: text.optional() })),
    explanation: z.array(text),
    documents: z.array(
      z.strictObject({
        kind: z.enum(['memslots', 'layout', 'scenario', 'profile']),
        fileName: text,
        text,
      }),
    ),
    written: z.array(text).optional().describe('paths of the documents'),
  })
  .describe('The result document of rmptorture import');

export const dryRunSchema = z
  .strictObject({
    schema: z.literal('rmptorture/profile/1'),
    command: z.literal('torture'),
    profile: z.looseObject({}).describe('as a run would use it, every default filled in: profile.json'),
    sources: z.record(text, text).describe('where each value comes from, by its path'),
  })
  .describe('What rmptorture torture --dry-run --json prints');

export const reportSchema = z
  .strictObject({
    schema: z.literal('rmptorture/report/1'),
    command: z.literal('report'),
    folder: text.describe('result folder of the run'),
    file: text.describe('the page that was written'),
  })
  .describe('The result document of rmptorture report');
