// `rmptorture repro [bug]`: the catalogue of real bugs, each shown failing and fixed.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Command } from 'commander';
import type { Bug } from '../catalogue/bug.js';
import type { Half, ReproduceOptions, Reproduction } from '../catalogue/reproduce.js';
import { nowNs } from '../host/clock.js';
import { UsageError } from '../host/errors.js';
import { parseDuration } from '../host/units.js';
import { EXIT_INCONCLUSIVE, EXIT_PASSED, EXIT_VIOLATION } from './exit-codes.js';
import { STATEFUL } from './explore-options.js';
import { inFolder, writableFolder } from './out-folder.js';
import type { Interrupt } from './signals.js';
import { wholeNumber } from './whole-number.js';

interface Options {
  all?: boolean;
  strategy: string;
  executions: string;
  duration: string;
  seed: string;
  json?: boolean;
  out?: string;
  pages?: string;
  stress?: boolean;
}

/** As many as the search over states sees in some seconds. */
const STATES = 3_000_000;
const STUCK_MS = 3000;
const MINIMISE = { tries: 5000, milliseconds: 1000 };
/** For pages, which must come out the same on every machine: bounded by tries alone. */
const MINIMISE_BY_TRIES = { tries: 500, milliseconds: Infinity };

/** Builds the command; `done` receives the exit code. */
export function reproCommand(done: (code: number) => void): Command {
  return new Command('repro')
    .description('the catalogue of real bugs: lists them, or shows one failing and then fixed')
    .argument('[bug]', 'its id, such as B05')
    .option('--all', 'every bug, one line each')
    .option('--strategy <name>', 'what looks for the failure (see explore)', 'portfolio')
    .option('--executions <n>', 'how many at most, with and without the mistake', '10000')
    .option('--duration <time>', 'how long at most, with the mistake and without it', '10s')
    .option('--stress', 'with the mistake on real threads (build perturbed) in place of exploring')
    .option('--seed <n>', 'seed of all choices', '1')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--out <dir>', 'where to write the result files (default: results/<time>-repro)')
    .option('--pages <dir>', 'with --all: write a page of documentation for each bug, too')
    .option('--no-color', 'no colours')
    .action(async (bug: string | undefined, options: Options) => done(await repro(bug, options)));
}

async function repro(id: string | undefined, options: Options): Promise<number> {
  const { BUGS } = await import('../catalogue/index.js');
  if (id !== undefined && options.all === true) throw new UsageError('repro', `repro: ${id} or --all, not both`);
  if (options.pages !== undefined && options.all !== true)
    throw new UsageError('--pages', '--pages goes with --all: it writes a page for every bug');
  if (options.stress === true && options.pages !== undefined)
    throw new UsageError('--stress', '--stress: pages show interleavings, which only exploring finds');
  if (options.stress === true && id === undefined && options.all !== true)
    throw new UsageError('--stress', '--stress: a bug, or --all');
  if (id === undefined && options.all !== true) return list(BUGS, options.json === true);
  return show(id === undefined ? BUGS : [await bugNamed(id)], id === undefined, options);
}

async function list(bugs: readonly Bug[], json: boolean): Promise<number> {
  const { OUT_OF_REACH } = await import('../catalogue/out-of-reach.js');
  const { listText } = await import('../report/repro.js');
  const document = {
    schema: 'rmptorture/repro/1',
    command: 'repro',
    bugs: bugs.map(({ id, title, source, verdicts, variants }) => ({ bug: id, title, source, verdicts, variants })),
    outOfReach: OUT_OF_REACH,
  };
  process.stdout.write(json ? `${JSON.stringify(document)}\n` : listText(bugs, OUT_OF_REACH));
  return EXIT_PASSED;
}

/** Throws UsageError for a bug there is not, or one that cannot be shown, with the reason. */
async function bugNamed(id: string): Promise<Bug> {
  const { BUGS } = await import('../catalogue/index.js');
  const { OUT_OF_REACH } = await import('../catalogue/out-of-reach.js');
  const wanted = id.toUpperCase();
  const bug = BUGS.find((one) => one.id === wanted);
  if (bug !== undefined) return bug;
  const known = OUT_OF_REACH.find((one) => one.id === wanted);
  throw new UsageError(
    'repro',
    known === undefined
      ? `repro: no bug is called '${id}'; rmptorture repro lists them`
      : `repro: ${known.id} (${known.title}) cannot be shown: ${known.why}`,
  );
}

async function show(bugs: readonly Bug[], all: boolean, options: Options): Promise<number> {
  const seed = wholeNumber('--seed', options.seed, 0, 2 ** 32 - 1);
  const how = {
    executions: wholeNumber('--executions', options.executions, 1, Number.MAX_SAFE_INTEGER),
    milliseconds: parseDuration(options.duration) / 1e6,
    states: STATES,
    seed,
    strategy: await knownStrategy(options.strategy, bugs[0]!),
    minimise: options.pages === undefined ? MINIMISE : MINIMISE_BY_TRIES,
    nowMs: () => nowNs() / 1e6,
  };
  const release = options.pages === undefined ? undefined : writableFolder(options.pages, '--pages');
  return inFolder(options.out, 'repro', async (out, interrupt) => {
    if (options.stress !== true) return explain(bugs, all, options, { ...how, out, interrupt });
    const { stressBugs } = await import('./repro-stress.js');
    const stop = (): boolean => interrupt.signal.aborted;
    const code = await stressBugs(bugs, { ...how, stuckMs: STUCK_MS, out, json: options.json === true, stop });
    return interrupt.exitCode ?? code;
  }).finally(() => release?.());
}

/** Throws UsageError for a strategy that is none, or none for here. */
async function knownStrategy(name: string, { id, variants }: Bug): Promise<string> {
  const { STRATEGIES } = await import('../explore/strategies/named.js');
  if (STRATEGIES.includes(name)) return name;
  const what = STATEFUL.has(name)
    ? `goes with explore, as in rmptorture explore ${id} --variant ${variants[0]} --strategy ${name}`
    : 'unknown strategy';
  throw new UsageError('--strategy', `--strategy ${name || "''"}: ${what}; known here are ${STRATEGIES.join(', ')}`);
}

interface How extends Omit<ReproduceOptions, 'stop'> {
  out: string;
  interrupt: Interrupt;
}

/** Explores each bug with and without its mistake. */
async function explain(
  bugs: readonly Bug[],
  all: boolean,
  { pages, json = false }: Options,
  { out, interrupt, ...how }: How,
): Promise<number> {
  const { reproduce } = await import('../catalogue/reproduce.js');
  const { allText, failingText, fixedText } = await import('../report/repro.js');
  const stop = (): boolean => interrupt.signal.aborted;
  const done: Reproduction[] = [];
  for (const bug of bugs) {
    // Between bugs a signal has its turn.
    await setImmediate();
    if (stop()) break;
    // What fails is shown while the fixed scenario is still being explored.
    const print = (buggy: Half): void => void process.stdout.write(failingText(bug, buggy));
    done.push(reproduce(bug, { ...how, stop }, all || json ? undefined : print));
  }
  // A signal that came during the last bug.
  await setImmediate();
  const partial = done.length < bugs.length || stop();
  const document = await writeResults(out, done, { seed: how.seed, partial });
  if (pages !== undefined && !partial) await writePages(pages, done);
  const text = all
    ? allText(done, partial ? bugs.length : undefined)
    : done.map((one) => fixedText(one, partial)).join('\n');
  process.stdout.write(json ? `${JSON.stringify(document)}\n` : `${text}results: ${out}\n`);
  return interrupt.exitCode ?? exitCode(done);
}

/** Writes result.json, and a trace of each failure, which `replay` runs again. Returns the document. */
async function writeResults(
  out: string,
  done: readonly Reproduction[],
  { seed, partial }: { seed: number; partial: boolean },
): Promise<object> {
  const { STEP_LIMIT } = await import('../catalogue/reproduce.js');
  const { exploreDocument } = await import('../report/explore-document.js');
  const { traceOf } = await import('../explore/trace-file.js');
  const half = async (bug: Bug, { target, result, counterexample, tookMs }: Half, variants: readonly string[]) => {
    const traceFile = path.join(out, `${bug.id}.trace.json`);
    const bound = { points: target.points, stepLimit: STEP_LIMIT };
    if (counterexample !== undefined) {
      const run = { target: bug.id, variants: [...variants], points: target.points, strategy: result.strategy, seed };
      const options = { stepLimit: STEP_LIMIT, spuriousWakeups: 0, earlyTimeouts: 0, frozenClock: false };
      const trace = traceOf(counterexample.failure, { ...run, ...options, threads: [...target.threadNames] });
      await writeFile(traceFile, `${JSON.stringify(trace)}\n`);
    }
    return exploreDocument(target, result, counterexample, { tookMs, partial, traceFile, bound });
  };
  const bugs = [];
  for (const { bug, buggy, fixed, confirmed } of done) {
    const { id, title, source, invariant, fix, verdicts, variants } = bug;
    bugs.push({
      bug: id,
      title,
      source,
      invariant,
      fix,
      verdicts,
      variants,
      confirmed,
      buggy: await half(bug, buggy, variants),
      fixed: await half(bug, fixed, []),
    });
  }
  const document = { schema: 'rmptorture/repro/1', command: 'repro', seed, partial, bugs };
  await writeFile(path.join(out, 'result.json'), `${JSON.stringify(document, null, 2)}\n`);
  return document;
}

async function writePages(folder: string, done: readonly Reproduction[]): Promise<void> {
  const { OUT_OF_REACH } = await import('../catalogue/out-of-reach.js');
  const { bugIndex, bugPage } = await import('../report/bug-page.js');
  await mkdir(folder, { recursive: true });
  const bugs = done.map(({ bug }) => bug);
  await writeFile(path.join(folder, 'README.md'), bugIndex(bugs, OUT_OF_REACH));
  for (const one of done) await writeFile(path.join(folder, `${one.bug.id}.md`), bugPage(one));
}

/** A fixed scenario that fails is a bug of ours; a mistake that was not found leaves the question open. */
function exitCode(done: readonly Reproduction[]): number {
  if (done.every(({ confirmed }) => confirmed)) return EXIT_PASSED;
  const wrong = ({ buggy, fixed }: Reproduction): boolean =>
    fixed.result.verdict === 'violation' || buggy.result.verdict === 'violation';
  return done.some((one) => !one.confirmed && wrong(one)) ? EXIT_VIOLATION : EXIT_INCONCLUSIVE;
}
