// `rmptorture explore --from <results of a torture run>`: the scenario that reproduces the run's failure, written as a file that can be kept.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { UsageError } from '../host/errors.js';
import type { ReproduceOptions } from '../explore/from/reproduce.js';
import type { ScenarioOverrides } from './target.js';

/** Where an explored scenario comes from: the `from` of the result document. */
export interface Origin {
  folder: string;
  /** What failed in the run. */
  oracle: string;
  message: string;
  /** Of the scenario that was found; absent when none failed. */
  found?: string;
  /** Executions that the search for the scenario took. */
  executions: number;
  scenario: string;
}

/** Builds the scenario and writes it to `out`. Throws UsageError when the folder holds no failing run. */
export async function scenarioFrom(
  folder: string,
  out: string,
  overrides: ScenarioOverrides,
  options: ReproduceOptions,
): Promise<Origin> {
  const { readFailingRun } = await import('../explore/from/window.js');
  const { reproduce } = await import('../explore/from/reproduce.js');
  const read = readFailingRun(folder);
  const { variants = read.profile.variants, protocol = read.protocol } = overrides;
  const run = { ...read, protocol, profile: { variants: [...variants] } };
  const { oracle, message } = run.violations[0]!;
  const reproduced = reproduce(run, options);
  if (reproduced === undefined) {
    const text = `no two threads worked near the page that failed (${message}): there is nothing to interleave`;
    throw new UsageError('--from', `--from ${folder}: ${text}`);
  }
  const scenario = path.join(out, 'scenario.yaml');
  await writeFile(scenario, stringify(reproduced.scenario, { flowCollectionPadding: true, lineWidth: 0 }));
  const { oracle: found, executions } = reproduced;
  return { folder, oracle, message, executions, scenario, ...(found === undefined ? {} : { found }) };
}

/** What came of it, in two lines; nothing for a scenario that comes from no run. */
export function originText(origin: Origin | undefined): string {
  if (origin === undefined) return '';
  const { folder, oracle, message, found, executions, scenario } = origin;
  const outcome =
    found === undefined
      ? 'no scenario cut from its last operations failed'
      : found === oracle
        ? 'a scenario cut from its last operations fails alike'
        : `a scenario cut from its last operations fails, but with ${found}`;
  return `${folder} failed with ${oracle}: ${message}\n${outcome} (${executions} executions): ${scenario}\n`;
}
