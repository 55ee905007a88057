// The failing operation window of a torture run, read back from its results folder: what was violated, where, and what each actor did last.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { PROTOCOLS } from '../../host/protocols.js';
import { UsageError } from '../../host/errors.js';

const count = z.number().int().min(0);

const operation = z.object({
  op: z.string(),
  guest: z.string(),
  slot: count,
  page: count,
  pages: count,
  result: z.string(),
  startNs: z.number(),
  write: z.boolean().optional(),
  private: z.boolean().optional(),
  vcpu: count.optional(),
  second: z.boolean().optional(),
});

const slot = z.object({ slot: count, gfn: count, pages: count, flags: count, private: z.boolean() });

const windowSchema = z.object({
  schema: z.literal('rmptorture/torture/1'),
  verdict: z.string(),
  protocol: z.enum(PROTOCOLS),
  hook: z.string(),
  profile: z.object({ variants: z.array(z.string()) }),
  violations: z.array(z.object({ oracle: z.string(), message: z.string(), thread: z.string() })),
  places: z.array(z.object({ violation: count, guest: z.string(), gfn: count })).default([]),
  recent: z
    .object({
      guests: z.array(z.object({ name: z.string(), vcpus: count, slots: z.array(slot) })),
      threads: z.array(
        z.object({ thread: z.string(), task: z.string(), kind: z.string(), operations: z.array(operation) }),
      ),
    })
    .optional(),
});

export type WindowOperation = z.infer<typeof operation>;
export type WindowSlot = z.infer<typeof slot>;
type Result = z.infer<typeof windowSchema>;
/** A run that failed, with what its actors did last. */
export type FailingRun = Omit<Result, 'recent'> & { recent: NonNullable<Result['recent']> };

/** Reads `result.json` in the folder of a torture run (or that file). Throws UsageError when there is none, or nothing failed in it. */
export function readFailingRun(folder: string): FailingRun {
  const file = folder.endsWith('.json') ? folder : path.join(folder, 'result.json');
  const refuse = (text: string): UsageError => new UsageError('--from', `--from ${folder}: ${text}`);
  if (!existsSync(file)) throw refuse(`there is no ${file}; expected the results folder of rmptorture torture`);
  const parsed = windowSchema.safeParse(documentOf(file, refuse));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(
      `${file}: ${issue.path.join('.') || 'document'}: ${issue.message}; expected the result of rmptorture torture`,
    );
  }
  const { recent, ...run } = parsed.data;
  if (run.violations.length === 0)
    throw refuse(`the run's verdict is '${run.verdict}': it has no violation that could be reproduced`);
  if (recent === undefined || recent.threads.every(({ operations }) => operations.length === 0))
    throw refuse(`${file} has no operations of the actors: run it again with this version`);
  return { ...run, recent };
}

function documentOf(file: string, refuse: (text: string) => UsageError): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw refuse(`${file}: ${(error as Error).message}`);
  }
}
