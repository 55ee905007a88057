// Finds what the user wants explored: one of our scenarios by name, a scenario file (.yaml, .json, .js), or a program (.ts).
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { scenarioOf as scenarioOfBug } from '../catalogue/bug.js';
import { BUGS } from '../catalogue/index.js';
import { UsageError } from '../host/errors.js';
import type { Protocol } from '../host/protocols.js';
import { openDocument, placed, type OpenedDocument } from '../torture/document.js';
import { compileProgram } from '../explore/compile.js';
import { programTarget } from '../explore/program-target.js';
import type { Scenario } from '../explore/scenario.js';
import { scenarioTarget } from '../explore/scenario-target.js';
import { scenarioComplaints } from '../explore/scenario-complaints.js';
import { SCENARIOS } from '../explore/scenarios/index.js';
import { scenarioSchema } from '../explore/schema.js';
import { racesByDefault, type Target, type TargetOptions } from '../explore/target.js';

/** What the command line changes about a scenario. */
export interface ScenarioOverrides {
  variants?: readonly string[];
  protocol?: Protocol;
}

/** Makes the target. Throws UsageError when there is none of that name, or what is there cannot be explored. */
export async function loadTarget(what: string, options: TargetOptions, overrides: ScenarioOverrides): Promise<Target> {
  const extension = path.extname(what);
  if (extension === '.ts') {
    if (overrides.variants !== undefined || overrides.protocol !== undefined)
      throw new UsageError('explore', `explore: ${what} is a program: variants and protocols belong to scenarios`);
    return programTarget(await compileProgram(what), { ...racesByDefault(options), name: path.basename(what, '.ts') });
  }
  const { data, opened } = await loadScenario(what, extension);
  try {
    return scenarioTarget({ ...data, ...overrides }, options);
  } catch (error) {
    throw opened === undefined ? inFile(what, extension, error) : placed(error, opened);
  }
}

/** What `explore` can be given by name, a line each. */
export function scenarioList(): string {
  const width = Math.max(...SCENARIOS.map(({ name }) => name.length));
  const lines = SCENARIOS.map(({ name, about }) => `${name.padEnd(width)}  ${about}`);
  return `${[...lines, `${BUGS[0]!.id} ...`.padEnd(width) + "  the scenario of a bug of the catalogue ('rmptorture repro' lists them)"].join('\n')}\n`;
}

/** An error about a scenario that a module exports names the module. */
function inFile(what: string, extension: string, error: unknown): unknown {
  if (extension === '' || !(error instanceof UsageError) || error.values['path'] === undefined) return error;
  return new UsageError('explore', `explore: ${what}: default export: ${error.message}`);
}

interface LoadedScenario {
  data: Scenario;
  /** Of a document: where its values stand. */
  opened?: OpenedDocument<unknown>;
}

async function loadScenario(what: string, extension: string): Promise<LoadedScenario> {
  if (['.yaml', '.yml', '.json'].includes(extension)) {
    const opened = openDocument(path.resolve(what), scenarioSchema, [], (data) =>
      scenarioComplaints(data as Scenario).map((each) => ({ ...each, inKey: false })),
    );
    return { data: opened.data as Scenario, opened };
  }
  if (extension === '.js' || extension === '.mjs') return { data: await scenarioOf(what) };
  const found = SCENARIOS.find(({ name }) => name === what);
  if (found !== undefined) return { data: found };
  const bug = BUGS.find(({ id }) => id === what.toUpperCase());
  if (bug !== undefined) return { data: scenarioOfBug(bug, false) };
  const known = SCENARIOS.map(({ name }) => name).join(', ');
  throw new UsageError(
    'explore',
    `explore: no scenario is called '${what}'; known are ${known}, and the bugs of rmptorture repro; a file ends in .yaml, .js or .ts`,
  );
}

async function scenarioOf(file: string): Promise<Scenario> {
  if (!existsSync(file)) throw new UsageError('explore', `explore: ${file}: there is no such file`);
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(path.resolve(file)).href)) as { default?: unknown };
  } catch (error) {
    throw new UsageError('explore', `explore: ${file}: ${(error as Error).message}`);
  }
  const parsed = scenarioSchema.safeParse(module.default);
  if (parsed.success) {
    const scenario = parsed.data as Scenario;
    const [complaint] = scenarioComplaints(scenario);
    if (complaint === undefined) return scenario;
    throw new UsageError(
      'explore',
      `explore: ${file}: default export: ${complaint.path.join('.')}: ${complaint.message}`,
    );
  }
  const issue = parsed.error.issues[0]!;
  throw new UsageError('explore', `explore: ${file}: default export: ${issue.path.join('.')}: ${issue.message}`);
}
