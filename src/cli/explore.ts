// `rmptorture explore <scenario or file>`: explores interleavings under the controlled scheduler.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { nowNs } from '../host/clock.js';
import { UsageError } from '../host/errors.js';
import type { Stopped } from '../explore/checkpoint.js';
import type { Counterexample } from '../explore/counterexample.js';
import type { ExploreResult } from '../explore/explore.js';
import type { Scenario } from '../explore/scenario.js';
import type { Target } from '../explore/target.js';
import type { traceOf } from '../explore/trace-file.js';
import type { Origin } from './explore-from.js';
import { DEFAULTS, type Options, readOptions, resumedOptions, SEARCHES, STATEFUL } from './explore-options.js';
import { EXIT_INCONCLUSIVE, EXIT_PASSED, EXIT_VIOLATION } from './exit-codes.js';
import { inFolder } from './out-folder.js';
import { shellWord } from './shell.js';
import type { Interrupt } from './signals.js';

/** Makes the target on a worker, too. */
const LOADER = new URL('target.js', import.meta.url).href;
/** A failure is made small within this time and number of tries. */
const MINIMISER_MS = 1000;
const MINIMISER_TRIES = 5000;

/** Builds the command; `done` receives the exit code. */
export function exploreCommand(done: (code: number) => void): Command {
  return new Command('explore')
    .description('explore the interleavings of a scenario or of a program, every oracle on')
    .argument(
      '[scenario]',
      "a scenario's name, a scenario file (.yaml, .json, .js) or a program (.ts); without: lists the names",
    )
    .option('--list', 'list the scenarios, a line each')
    .option('--from <results>', 'the failure of a torture run: builds the scenario from its last operations')
    .option('--resume <results>', 'goes on where an exploration was stopped (by Ctrl-C or --duration)')
    .option(
      '--strategy <name>',
      'portfolio (samplers by turns), random, pct, pos, surw, surw-objects, weighted, turns, preemptions, delays, dpor, states, shortest',
      DEFAULTS.strategy,
    )
    .option('--executions <n>', 'how many at most', '10000')
    .option('--duration <time>', 'how long at most, such as 30s')
    .option('--seed <n>', 'seed of all choices, decimal or 0x')
    .option(
      '--points <set>',
      'accesses where threads may change: sync (atomics), racy (and words that race), all (default: sync, with states racy; programs: all)',
    )
    .option('--races <on|off>', 'data races are failures (default: on for programs; scenarios need --points all)')
    .option(
      '--locks <how>',
      'abstract: taking a lock is one step, and nobody queues (default: concrete, every step of theirs)',
    )
    .option('--steps <n>', 'longest execution, in steps', DEFAULTS.steps)
    .option('--spurious <n>', 'waits of an execution that may return without a wake-up', DEFAULTS.spurious)
    .option('--timeouts <n>', 'waits of an execution that may time out although others can run', DEFAULTS.timeouts)
    .option('--workers <n>', 'on so many threads (all but shortest); samplers make the same executions for any number')
    .option('--memory <size>', 'strategies states and shortest: room for visited states, such as 2GiB', '1GiB')
    .option('--variant <name>', 'turn a named mistake on, such as B05; may be repeated', collect, [])
    .option('--protocol <name>', 'rfc-v7, rfc-v8 or guest-memfd (default: as the scenario says)')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--out <dir>', 'where to write the result files (default: results/<time>-explore)')
    .option('--quiet', 'no progress line')
    .option('--no-color', 'no colours')
    .action(async (what: string | undefined, options: Options) => {
      if (options.resume !== undefined) return done(await resume(options.resume, what, options));
      if (options.from !== undefined) return done(await exploreFrom(options.from, what, options));
      if (what !== undefined && options.list !== true) return done(await start(what, options));
      const { scenarioList } = await import('./target.js');
      process.stdout.write(scenarioList());
      done(EXIT_PASSED);
    });
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

/** Explores into a folder of its own. */
async function start(what: string, options: Options, from?: Stopped): Promise<number> {
  await checkOptions(options);
  return inFolder(options.out, 'explore', (out, interrupt) =>
    explore(what, options, { out, interrupt, ...(from && { from }) }),
  );
}

/** Throws UsageError for options that make no sense. */
async function checkOptions(options: Options): Promise<void> {
  const { STRATEGIES } = await import('../explore/strategies/named.js');
  readOptions(options);
  const known = [...STRATEGIES, ...STATEFUL];
  const { strategy } = options;
  if (known.includes(strategy)) return;
  throw new UsageError('--strategy', `--strategy ${strategy}: unknown strategy; known are ${known.join(', ')}`);
}

/** Finds the scenario of a torture run's failure, then explores it as any other. */
async function exploreFrom(folder: string, what: string | undefined, options: Options): Promise<number> {
  if (what !== undefined)
    throw new UsageError('--from', `--from ${folder}: the scenario is made from it, so leave out ${what}`);
  const { scenarioFrom } = await import('./explore-from.js');
  await checkOptions(options);
  const { executions, seed, target, overrides, durationMs } = readOptions(options);
  return inFolder(options.out, 'explore', async (out, interrupt) => {
    const startNs = nowNs();
    const over = (): boolean => interrupt.signal.aborted || (nowNs() - startNs) / 1e6 >= durationMs;
    const strategy = SEARCHES.has(options.strategy) ? 'portfolio' : options.strategy;
    const find = { executions, seed, strategy, target, over };
    const origin = await scenarioFrom(folder, out, overrides, find);
    return (
      interrupt.exitCode ?? explore(origin.scenario, { ...options, seed: String(seed) }, { out, interrupt, origin })
    );
  });
}

/** Goes on where an exploration was stopped. */
async function resume(folder: string, what: string | undefined, options: Options): Promise<number> {
  if (what !== undefined)
    throw new UsageError('--resume', `--resume ${folder}: what is explored stands there, so leave out ${what}`);
  const { readCheckpoint } = await import('../explore/checkpoint.js');
  const from = readCheckpoint(folder);
  return start(from.checkpoint.what, resumedOptions(options, from.checkpoint), from);
}

/** Where an exploration writes to and who ends it; and where it comes from: the failure of a torture run, or one that was stopped. */
interface Surroundings {
  out: string;
  interrupt: Interrupt;
  origin?: Origin;
  from?: Stopped;
}

async function explore(
  what: string,
  options: Options,
  { out, interrupt, origin, from }: Surroundings,
): Promise<number> {
  const { loadTarget } = await import('./target.js');
  const { exploreDocument } = await import('../report/explore-document.js');
  const { exploreText } = await import('../report/explore.js');
  const { originText } = await import('./explore-from.js');
  const { runJob, keep, drawsProgress } = await import('./explore-run.js');
  const read = readOptions(options);
  const targetOptions = { ...read.target, frozenClock: STATEFUL.has(options.strategy) };
  const target = await loadTarget(what, targetOptions, read.overrides);
  const startNs = nowNs();
  const elapsedMs = (): number => (nowNs() - startNs) / 1e6;
  const isInterrupted = (): boolean => interrupt.signal.aborted;
  const course = {
    over: () => isInterrupted() || elapsedMs() >= read.durationMs,
    elapsedMs,
    endMs: read.durationMs,
    draw: drawsProgress(options),
  };
  const only = origin?.found === undefined ? {} : { only: origin.found };
  const job = {
    loader: LOADER,
    what: originOf(what),
    target: targetOptions,
    overrides: read.overrides,
    strategy: options.strategy,
    seed: read.seed,
  };
  const explored = await runJob(target, { ...job, ...read, target: targetOptions, ...only }, from, course);
  const { result } = explored;
  const tookMs = (from?.checkpoint.done.wallMs ?? 0) + elapsedMs();
  const traceFile = path.join(out, 'trace.json');
  const how = { target: job.what, ...targetOptions, ...read.overrides, points: target.points };
  const small = await smallFailure(target, result, traceFile, how);
  const smallest = small?.scenario && (await writeScenario(path.join(out, 'smallest.yaml'), small.scenario));
  const document = exploreDocument(target, result, small, {
    tookMs,
    partial: isInterrupted(),
    traceFile,
    bound: { points: target.points, stepLimit: targetOptions.stepLimit },
    ...(origin === undefined ? {} : { origin }),
  });
  await writeFile(path.join(out, 'result.json'), `${JSON.stringify(document, null, 2)}\n`);
  const ended = course.over() || explored.schedules !== undefined;
  const isKept = ended && (await keep(path.join(out, 'checkpoint'), target, job, explored, tookMs));
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify(document)}\n`
      : `${originText(origin)}${exploreText(target, result, small, { wallMs: tookMs, isInterrupted: isInterrupted() })}${smallest ?? ''}results: ${out}\n${isKept ? `to go on: rmptorture explore --resume ${shellWord(out)}\n` : ''}`,
  );
  return interrupt.exitCode ?? exitCode(result);
}

/** The failure made small, its trace written to `traceFile`; undefined when nothing failed. */
async function smallFailure(
  target: Target,
  { violation, strategy, seed }: ExploreResult,
  traceFile: string,
  how: Omit<Parameters<typeof traceOf>[1], 'strategy' | 'seed' | 'threads'>,
): Promise<Counterexample | undefined> {
  if (violation === undefined) return undefined;
  const { counterexampleOf } = await import('../explore/counterexample.js');
  const { traceOf: makeTrace } = await import('../explore/trace-file.js');
  const { scenarioSchema } = await import('../explore/schema.js');
  const limits = { tries: MINIMISER_TRIES, milliseconds: MINIMISER_MS, nowMs: () => nowNs() / 1e6 };
  const small = counterexampleOf(target, violation, limits);
  const scenario = small.scenario === undefined ? {} : { scenario: scenarioSchema.parse(small.scenario) };
  const trace = makeTrace(small.failure, {
    ...how,
    ...scenario,
    strategy,
    seed,
    threads: [...small.target.threadNames],
  });
  await writeFile(traceFile, `${JSON.stringify(trace)}\n`);
  return small;
}

/** Writes what is left of the scenario, as a file that `explore` takes; the line that says so. */
async function writeScenario(file: string, scenario: Scenario): Promise<string> {
  const { stringify } = await import('yaml');
  await writeFile(file, stringify(scenario, { flowCollectionPadding: true, lineWidth: 0 }));
  return `the operations that are left: ${file}\n`;
}

/** Files are found again from any folder; names stay names. */
function originOf(what: string): string {
  return path.extname(what) === '' ? what : path.resolve(what);
}

function exitCode({ verdict }: ExploreResult): number {
  if (verdict === 'violation') return EXIT_VIOLATION;
  return verdict === 'inconclusive' ? EXIT_INCONCLUSIVE : EXIT_PASSED;
}
