// A benchmark run: suites in order, their goals, what is saved and what it is compared with. The commands `npm run bench` and `rmptorture bench`
// and the tests call this.
import { machineDifferences } from '../src/host/environment.js';
import { UsageError } from '../src/host/errors.js';
import {
  checkName,
  compareDocuments,
  loadDocument,
  makeDocument,
  saveDocument,
  type BenchDocument,
} from './document.js';
import { Runner, type Effort } from './runner.js';
import { builds } from './suites/builds.js';
import { clear } from './suites/clear.js';
import { cycle } from './suites/cycle.js';
import { explore } from './suites/explore.js';
import { flatness } from './suites/flatness.js';
import { javascript } from './suites/javascript.js';
import { load } from './suites/load.js';
import { locks } from './suites/locks.js';
import { protocols } from './suites/protocols.js';
import { search } from './suites/search.js';
import { scaling } from './suites/scaling.js';
import { start512GiB } from './suites/start.js';
import { comparisonTable, goalsTable, HEADER, line } from './text.js';

export const SUITES: Readonly<Record<string, (runner: Runner) => Promise<void>>> = {
  javascript,
  locks,
  cycle,
  scaling,
  clear,
  flatness,
  protocols,
  builds,
  explore,
  search,
  load,
  start: start512GiB,
};

export interface BenchOptions {
  /** Names of SUITES; none: all. */
  suites?: readonly string[];
  effort?: Effort;
  /** Saves the document as results/bench/NAME.json. */
  save?: string;
  /** Compares with results/bench/NAME.json. */
  compare?: string;
  /** Compares although the other run was on another machine. */
  force?: boolean;
  /** Missed goals fail the run. */
  strict?: boolean;
  command?: string;
  /** Gets each line of text as soon as it is known. */
  print?: (text: string) => void;
}

export interface BenchOutcome {
  document: BenchDocument;
  /** A benchmark became slower, or (strict) a goal was missed. */
  regressed: boolean;
}

/** Runs suites. Throws WrongResult when a benchmark computes something else than it must, UsageError for options that make no sense. */
export async function runBench(options: BenchOptions = {}): Promise<BenchOutcome> {
  const { effort = 'full', print = () => {}, command = 'bench', strict = false, force = false } = options;
  const names = options.suites === undefined || options.suites.length === 0 ? Object.keys(SUITES) : options.suites;
  const unknown = names.filter((name) => !Object.hasOwn(SUITES, name));
  if (unknown.length > 0) {
    throw new UsageError('bench', `no suite "${unknown.join('", "')}"; there are: ${Object.keys(SUITES).join(', ')}`);
  }
  if (options.save !== undefined) checkName(options.save);
  const before = options.compare === undefined ? undefined : loadDocument(options.compare);
  const runner = new Runner(effort, (measured) => print(line(measured)));
  const differences =
    before === undefined ? [] : machineDifferences(makeDocument(command, runner).environment, before.environment);
  if (differences.length > 0 && !force) {
    throw new UsageError(
      'bench',
      `the saved run is from another machine (${differences.join('; ')}); --force compares all the same`,
    );
  }
  print(HEADER);
  for (const name of names) await SUITES[name]!(runner);
  const document = makeDocument(command, runner);
  if (before !== undefined) document.comparison = compareDocuments(document, before);
  if (document.goals.length > 0) print(`\n${goalsTable(document.goals)}`);
  if (document.comparison !== undefined) print(`\n${comparisonTable(document.comparison)}`);
  if (options.save !== undefined) print(`\nsaved as ${saveDocument(options.save, document)}`);
  const slower = document.comparison?.some(({ verdict }) => verdict === 'slower') ?? false;
  return { document, regressed: slower || (strict && document.goals.some(({ met }) => !met)) };
}
