// The schemas of the explorer's documents: `explore`, `replay`, `repro`. What scripts may rely on; a document may have more.
import { z } from 'zod';
import { count, environment, number, text } from './parts.js';

const heldLock = z.strictObject({
  lock: z.union([text, number]).describe('by name, or its address'),
  read: z.boolean(),
  step: z.number().int().describe('at which it was taken, from 0; -1: before the first'),
  place: z.looseObject({ function: text }).optional().describe('where in the source'),
});

const smaller = { preemptions: count, switches: count, steps: count, threads: count };

const violation = z.strictObject({
  oracle: text,
  message: text,
  thread: text,
  executionIndex: count,
  trace: text.describe('file that replay runs; empty when none was written'),
  ...smaller,
  found: z.strictObject({ ...smaller, operations: count.optional() }).describe('before it was made smaller'),
  operations: count.optional(),
  scenario: z.looseObject({}).optional().describe('what is left of the scenario: scenario.json'),
  locks: z.array(
    z.strictObject({
      thread: text,
      held: z.array(heldLock),
      waits: text.optional(),
      at: z.looseObject({}).optional(),
    }),
  ),
  orders: z.array(z.tuple([count, count])).describe('pairs of steps, from 0, whose order the failure needs'),
});

export const exploreSchema = z
  .strictObject({
    schema: z.literal('rmptorture/explore/1'),
    command: z.literal('explore'),
    scenario: text,
    strategy: text,
    seed: number,
    verdict: z.enum(['no-violation', 'violation', 'inconclusive']),
    complete: z.boolean().describe('every interleaving within the bound was covered'),
    partial: z.boolean().describe('it was stopped before its end'),
    bound: z.strictObject({ points: z.enum(['sync', 'racy', 'all']), stepLimit: count }),
    from: z
      .strictObject({
        folder: text,
        oracle: text,
        message: text,
        found: text.optional(),
        executions: count,
        scenario: text,
      })
      .optional()
      .describe('of --from: the run that failed, and the scenario made of it'),
    executions: count,
    steps: count,
    longestExecution: count,
    stepLimitHits: count.describe('executions that were cut'),
    otherFailures: z.record(text, count).describe('of kinds that were not asked for'),
    nondeterminism: text.optional(),
    states: count,
    frontier: count.optional().describe('of a search that was stopped: states that wait'),
    share: number.optional().describe('of all that may be left, a guess'),
    loops: z.boolean().optional().describe('of a search over states: loops were looked at, too'),
    limits: z.array(text).describe('what made a search incomplete'),
    distinctTraces: count,
    wallMs: number,
    executionsPerSecond: number,
    statesPerSecond: number.optional(),
    environment,
    violation: violation.optional(),
  })
  .describe('The result document of rmptorture explore');

export const replaySchema = z
  .strictObject({
    schema: z.literal('rmptorture/replay/1'),
    command: z.literal('replay'),
    trace: text,
    verdict: z.enum(['violation', 'inconclusive']),
    divergence: text.optional().describe('where it parted from the recorded execution'),
    failure: z.strictObject({ kind: text, message: text, thread: text }).describe('as it was recorded'),
  })
  .describe('The result document of rmptorture replay');

const bug = { bug: text, title: text, verdicts: z.array(text), variants: z.array(text) };
const told = { ...bug, source: text, invariant: text, fix: text };

const explored = z.strictObject({
  ...told,
  confirmed: z.boolean().describe('the mistake fails with a verdict of its own, and without it nothing does'),
  buggy: exploreSchema,
  fixed: exploreSchema,
});
const stressed = z.strictObject({
  ...bug,
  stress: z.strictObject({
    build: text,
    attempts: count,
    tookMs: number,
    verdict: z.union([text, z.null()]).describe('null: it did not fail'),
    message: text,
  }),
});
const listed = z.strictObject({ ...bug, source: text });

export const reproSchema = z
  .strictObject({
    schema: z.literal('rmptorture/repro/1'),
    command: z.literal('repro'),
    seed: number.optional(),
    partial: z.boolean().optional(),
    bugs: z.union([
      z.array(explored),
      z.array(stressed).describe('with --stress'),
      z.array(listed).describe('without a bug: the catalogue'),
    ]),
    outOfReach: z.array(z.strictObject({ id: text, title: text, why: text })).optional(),
  })
  .describe('The result document of rmptorture repro');
