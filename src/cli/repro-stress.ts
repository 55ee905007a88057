// `repro --stress`: bugs of the catalogue on real threads.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Bug, scenarioOf } from '../catalogue/bug.js';
import { stress, type StressOptions } from '../catalogue/stress.js';
import { type Stressed, stressText } from '../report/stress.js';
import { EXIT_INCONCLUSIVE, EXIT_PASSED, EXIT_VIOLATION } from './exit-codes.js';

export interface StressRun extends StressOptions {
  out: string;
  json: boolean;
}

/** Tries each bug until it fails or its time is over; prints and writes what came of it. Returns the exit code. */
export async function stressBugs(bugs: readonly Bug[], { out, json, ...options }: StressRun): Promise<number> {
  const done: Stressed[] = [];
  for (const bug of bugs) {
    if (options.stop()) break;
    done.push({ bug, result: await stress(scenarioOf(bug, true), options) });
  }
  const document = {
    schema: 'rmptorture/repro/1',
    command: 'repro',
    seed: options.seed,
    partial: done.length < bugs.length || options.stop(),
    bugs: done.map(({ bug: { id, title, verdicts, variants }, result }) => {
      const { attempts, tookMs, failure } = result;
      const found = failure === undefined ? null : failure.kind;
      return {
        bug: id,
        title,
        verdicts,
        variants,
        stress: { build: 'perturbed', attempts, tookMs, verdict: found, message: failure?.message ?? '' },
      };
    }),
  };
  await writeFile(path.join(out, 'result.json'), `${JSON.stringify(document, null, 2)}\n`);
  process.stdout.write(json ? `${JSON.stringify(document)}\n` : `${stressText(done)}results: ${out}\n`);
  return exitCode(done);
}

/** A failure of another kind is news; a bug that did not show leaves the question open. */
function exitCode(done: readonly Stressed[]): number {
  if (done.some(({ bug, result: { failure } }) => failure !== undefined && !isOwn(bug, failure.kind))) {
    return EXIT_VIOLATION;
  }
  return done.every(({ result }) => result.failure !== undefined) ? EXIT_PASSED : EXIT_INCONCLUSIVE;
}

/** Livelocks show on real threads as a fault that makes no progress, or as threads that do not end. */
function isOwn({ verdicts }: Bug, kind: string): boolean {
  const hangs = verdicts.some((verdict) => ['livelock', 'deadlock', 'lost-wakeup'].includes(verdict));
  return verdicts.includes(kind) || (hangs && ['progress', 'stuck'].includes(kind));
}
