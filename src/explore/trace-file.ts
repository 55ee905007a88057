// The trace file of a failing execution: what was explored and how, the strategy's answers, and each step as it was, so that a replay that is not the same
// execution is noticed at the step where it parts.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { UsageError } from '../host/errors.js';
import { PROTOCOLS } from '../host/protocols.js';
import { unreadable } from '../host/unreadable.js';
import type { Failure } from './explore.js';
import { scenarioSchema } from './schema.js';

const SCHEMA = 'rmptorture/trace/1';
const step = z.tuple([z.number(), z.number(), z.number(), z.number(), z.number()]);

export const traceSchema = z.object({
  schema: z.literal(SCHEMA),
  target: z.string(),
  /** Instead of the target, where the failure needs only a part of it. */
  scenario: scenarioSchema.optional(),
  variants: z.array(z.string()).optional(),
  protocol: z.enum(PROTOCOLS).optional(),
  points: z.enum(['sync', 'racy', 'all']),
  stepLimit: z.number(),
  spuriousWakeups: z.number(),
  earlyTimeouts: z.number(),
  frozenClock: z.boolean(),
  races: z.boolean().optional(),
  locks: z.enum(['abstract', 'concrete']).optional(),
  strategy: z.string(),
  seed: z.number(),
  executionIndex: z.number(),
  threads: z.array(z.string()),
  failure: z.object({ kind: z.string(), message: z.string(), thread: z.string() }),
  /** Of a livelock: the step after which the execution was in the state it ends in. */
  repeatsFrom: z.number().optional(),
  tape: z.array(z.number()),
  /** Thread, kind (POINT_*), address, bytes, low word of the value. */
  steps: z.array(step),
});

export type Trace = z.infer<typeof traceSchema>;

/** What is not in the failure itself. */
export type TraceOrigin = Omit<Trace, 'schema' | 'failure' | 'repeatsFrom' | 'tape' | 'steps' | 'executionIndex'>;

export function traceOf(failure: Failure, origin: TraceOrigin): Trace {
  const { kind, message, thread, tape, executionIndex, repeatsFrom } = failure;
  const steps = failure.steps.map((each): z.infer<typeof step> => [
    each.thread,
    each.kind,
    each.address,
    each.bytes,
    each.low,
  ]);
  return {
    schema: SCHEMA,
    ...origin,
    executionIndex,
    failure: { kind, message, thread },
    ...(repeatsFrom === undefined ? {} : { repeatsFrom }),
    tape: [...tape],
    steps,
  };
}

/** Reads a trace file. Throws UsageError in one line when it is none. */
export function readTrace(file: string): Trace {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError('replay', `replay: ${file}: ${unreadable(error)}`);
  }
  const found = (value as { schema?: unknown } | null)?.schema;
  if (found !== SCHEMA) {
    const what = typeof found === 'string' ? `it is '${found}'` : 'it has no schema';
    throw new UsageError('replay', `replay: ${file}: not a trace: ${what}; this version reads '${SCHEMA}'`);
  }
  const parsed = traceSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new UsageError('replay', `replay: ${file}: damaged: ${issue.path.join('.')}: ${issue.message}`);
}
