// `rmptorture explore <scenario or file>`: explores interleavings under the controlled scheduler.
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Command } from 'commander';
import { nowNs } from '../host/clock.js';
import { UsageError } from '../host/errors.js';
import { PROTOCOLS } from '../host/protocols.js';
import { parseDuration, parseSize } from '../host/units.js';
import type { Counterexample } from '../explore/counterexample.js';
import type { Exploration, ExploreResult } from '../explore/explore.js';
import type { ExploreJob } from '../explore/pool.js';
import type { PointSet, Target } from '../explore/target.js';
import type { traceOf } from '../explore/trace-file.js';
import type { Origin } from './explore-from.js';
import { EXIT_INCONCLUSIVE, EXIT_PASSED, EXIT_VIOLATION } from './exit-codes.js';
import { outFolder } from './out-folder.js';
import { interruptible } from './signals.js';

interface Options {
  strategy: string;
  executions: string;
  duration?: string;
  seed?: string;
  points?: string;
  steps: string;
  spurious: string;
  timeouts: string;
  memory: string;
  workers?: string;
  variant: string[];
  protocol?: string;
  json?: boolean;
  out?: string;
  quiet?: boolean;
  races?: string;
  list?: boolean;
  from?: string;
}

const SLICE_MS = 50;
/** Makes the target on a worker, too. */
const LOADER = new URL('target.js', import.meta.url).href;
/** The strategy that is none: every state once. */
const STATES = 'states';
/** Strategies that go from one execution to the next. */
const SEARCHES = new Set([STATES, 'dpor', 'preemptions', 'delays']);
const MOST_STATES = 50_000_000;
const LEAST_VISITED_BYTES = 1 << 16;
const MOST_VISITED_BYTES = 2 ** 33;
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
    .option(
      '--strategy <name>',
      'portfolio (samplers by turns), random, pct, pos, surw, weighted, turns, preemptions, delays, dpor, states',
      'portfolio',
    )
    .option('--executions <n>', 'how many at most', '10000')
    .option('--duration <time>', 'how long at most, such as 30s')
    .option('--seed <n>', 'seed of all choices, decimal or 0x')
    .option('--points <set>', 'accesses where threads may change: sync (atomics), all (default: sync; programs: all)')
    .option('--races <on|off>', 'data races are failures (default: on for programs; scenarios need --points all)')
    .option('--steps <n>', 'longest execution, in steps', '20000')
    .option('--spurious <n>', 'waits of an execution that may return without a wake-up', '0')
    .option('--timeouts <n>', 'waits of an execution that may time out although others can run', '0')
    .option('--workers <n>', 'samplers: on so many threads; the executions are the same for any number')
    .option('--memory <size>', 'strategy states: room for visited states, such as 2GiB', '1GiB')
    .option('--variant <name>', 'turn a named mistake on, such as B05; may be repeated', collect, [])
    .option('--protocol <name>', 'rfc-v7, rfc-v8 or guest-memfd (default: as the scenario says)')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--out <dir>', 'where to write the result files (default: results/<time>-explore)')
    .option('--quiet', 'no progress line')
    .option('--no-color', 'no colours')
    .action(async (what: string | undefined, options: Options) => {
      if (options.from !== undefined) return done(await exploreFrom(options.from, what, options));
      if (what !== undefined && options.list !== true) return done(await explore(what, options));
      const { scenarioList } = await import('./target.js');
      process.stdout.write(scenarioList());
      done(EXIT_PASSED);
    });
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most))
    throw new UsageError(option, `${option} ${text}: expected a whole number from ${least} to ${most}`);
  return value;
}

function oneOf<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((each) => each === text);
  if (found === undefined) throw new UsageError(option, `${option} ${text}: expected one of ${known.join(', ')}`);
  return found;
}

function readOptions(options: Options) {
  const points: PointSet | undefined =
    options.points === undefined ? undefined : oneOf('--points', options.points, ['sync', 'all'] as const);
  return {
    executions: wholeNumber('--executions', options.executions, 1, 2 ** 40),
    durationMs: options.duration === undefined ? Infinity : parseDuration(options.duration) / 1e6,
    seed:
      options.seed === undefined ? randomBytes(4).readUInt32LE() : wholeNumber('--seed', options.seed, 0, 2 ** 32 - 1),
    memory: visitedBytes(options.memory),
    workers: workersOf(options),
    target: {
      stepLimit: wholeNumber('--steps', options.steps, 1, 10_000_000),
      spuriousWakeups: wholeNumber('--spurious', options.spurious, 0, 1000),
      earlyTimeouts: wholeNumber('--timeouts', options.timeouts, 0, 1000),
      ...(points === undefined ? {} : { points }),
      ...(options.races === undefined ? {} : { races: oneOf('--races', options.races, ['on', 'off']) === 'on' }),
    },
    overrides: {
      ...(options.variant.length === 0 ? {} : { variants: options.variant }),
      ...(options.protocol === undefined ? {} : { protocol: oneOf('--protocol', options.protocol, PROTOCOLS) }),
    },
  };
}

/** Searches go from one execution to the next: only samplers can be shared out. */
function workersOf({ workers, strategy }: Options): number | undefined {
  if (workers === undefined) return undefined;
  if (SEARCHES.has(strategy))
    throw new UsageError(
      '--workers',
      `--workers ${workers}: strategy ${strategy} is a search, which runs on one thread`,
    );
  return wholeNumber('--workers', workers, 1, 256);
}

/** Bytes for the set of visited states. */
function visitedBytes(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= LEAST_VISITED_BYTES && bytes <= MOST_VISITED_BYTES) return bytes;
  throw new UsageError('--memory', `--memory ${text}: expected a size from 64KiB to 8GiB`);
}

/** Finds the scenario of a torture run's failure, then explores it as any other. */
async function exploreFrom(folder: string, what: string | undefined, options: Options): Promise<number> {
  if (what !== undefined)
    throw new UsageError('--from', `--from ${folder}: the scenario is made from it, so leave out ${what}`);
  const { scenarioFrom } = await import('./explore-from.js');
  const { executions, seed, target, overrides, durationMs } = readOptions(options);
  const out = outFolder(options.out, 'explore');
  const interrupt = interruptible();
  const startNs = nowNs();
  const over = (): boolean => interrupt.signal.aborted || (nowNs() - startNs) / 1e6 >= durationMs;
  const strategy = SEARCHES.has(options.strategy) ? 'portfolio' : options.strategy;
  const find = { executions, seed, strategy, target, over };
  const origin = await scenarioFrom(folder, out, overrides, find).finally(() => interrupt.dispose());
  return interrupt.exitCode ?? explore(origin.scenario, { ...options, out, seed: String(seed) }, origin);
}

async function explore(what: string, options: Options, origin?: Origin): Promise<number> {
  const { Exploration: Explorer } = await import('../explore/explore.js');
  const { loadTarget } = await import('./target.js');
  const { strategyNamed } = await import('../explore/strategies/named.js');
  const { exploreDocument } = await import('../report/explore-document.js');
  const { exploreText } = await import('../report/explore.js');
  const { originText } = await import('./explore-from.js');
  const bySearch = options.strategy === STATES;
  const strategy = bySearch ? undefined : strategyNamed(options.strategy);
  const { executions, durationMs, seed, memory, workers, target: asked, overrides } = readOptions(options);
  const targetOptions = { ...asked, frozenClock: bySearch };
  const out = outFolder(options.out, 'explore');
  const target = await loadTarget(what, targetOptions, overrides);
  const interrupt = interruptible();
  try {
    const startNs = nowNs();
    const elapsedMs = (): number => (nowNs() - startNs) / 1e6;
    const course = {
      over: () => interrupt.signal.aborted || elapsedMs() >= durationMs,
      elapsedMs,
      draw: drawsProgress(options),
    };
    const only = origin?.found === undefined ? {} : { only: origin.found };
    const job = { loader: LOADER, what, target: targetOptions, overrides, strategy: options.strategy, seed };
    const result =
      strategy === undefined
        ? await searchStates(target, { depth: targetOptions.stepLimit, bytes: memory }, course)
        : workers !== undefined
          ? await sampleOnPool(job, { workers, executions }, course)
          : await sample(new Explorer(target, strategy, { executions, seed, ...only, countTraces: true }), course);
    const tookMs = elapsedMs();
    await mkdir(out, { recursive: true });
    const traceFile = path.join(out, 'trace.json');
    const how = { target: originOf(what), ...targetOptions, ...overrides, points: target.points };
    const small = await smallFailure(target, result, traceFile, how);
    const bound = { points: target.points, stepLimit: targetOptions.stepLimit };
    const document = exploreDocument(target, result, small, {
      tookMs,
      partial: interrupt.signal.aborted,
      traceFile,
      bound,
      ...(origin === undefined ? {} : { origin }),
    });
    await writeFile(path.join(out, 'result.json'), `${JSON.stringify(document, null, 2)}\n`);
    process.stdout.write(
      options.json === true
        ? `${JSON.stringify(document)}\n`
        : `${originText(origin)}${exploreText(target, result, small, tookMs)}results: ${out}\n`,
    );
    return interrupt.exitCode ?? exitCode(result);
  } finally {
    interrupt.dispose();
  }
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
  const limits = { tries: MINIMISER_TRIES, milliseconds: MINIMISER_MS, nowMs: () => nowNs() / 1e6 };
  const small = counterexampleOf(target, violation, limits);
  const trace = makeTrace(small.failure, { ...how, strategy, seed, threads: [...target.threadNames] });
  await writeFile(traceFile, `${JSON.stringify(trace)}\n`);
  return small;
}

/** How long an exploration may go on, and whether anybody watches. */
interface Course {
  over: () => boolean;
  elapsedMs: () => number;
  draw: boolean;
}

function rate(count: number, seconds: number): number {
  return Math.round(count / Math.max(seconds, 1e-9));
}

function samplingLine(tookMs: number, executions: number, distinctTraces: number): string {
  const seconds = tookMs / 1000;
  return `${seconds.toFixed(1)} s  ${executions} executions  ${rate(executions, seconds)}/s  ${distinctTraces} different traces`;
}

/** Runs an exploration in slices, so that the clock, Ctrl-C and the progress line have their turn. */
async function inSlices(run: () => boolean, line: () => string, { over, elapsedMs, draw }: Course): Promise<void> {
  for (let done = false; !done && !over();) {
    const sliceEnd = elapsedMs() + SLICE_MS;
    while (!done && elapsedMs() < sliceEnd) done = run();
    if (draw) drawProgress(line());
    await setImmediate();
  }
  if (draw) process.stderr.write('\r\u001B[K');
}

async function sample(exploration: Exploration, course: Course): Promise<ExploreResult> {
  const { result } = exploration;
  const line = (): string => samplingLine(course.elapsedMs(), result.executions, result.distinctTraces);
  await inSlices(() => exploration.run(16), line, course);
  return result;
}

async function sampleOnPool(
  job: ExploreJob,
  limits: { workers: number; executions: number },
  { over, elapsedMs, draw }: Course,
): Promise<ExploreResult> {
  const { exploreOnPool } = await import('../explore/pool.js');
  const progress = (executions: number, distinctTraces: number): void => {
    if (draw) drawProgress(samplingLine(elapsedMs(), executions, distinctTraces));
  };
  const result = await exploreOnPool(job, { ...limits, over, progress });
  if (draw) process.stderr.write('\r\u001B[K');
  return result;
}

async function searchStates(
  target: Target,
  { depth, bytes }: { depth: number; bytes: number },
  course: Course,
): Promise<ExploreResult> {
  const { StateExploration } = await import('../explore/search/explore-states.js');
  const exploration = new StateExploration(target, { states: MOST_STATES, depth, bytes, stop: () => false });
  const line = (): string => {
    const seconds = course.elapsedMs() / 1000;
    const { states, frontier, share } = exploration.progress;
    return `${seconds.toFixed(1)} s  ${states} states  ${rate(states, seconds)}/s  ${frontier} on the way  about ${(share * 100).toFixed(1)} % done`;
  };
  await inSlices(() => exploration.run(256), line, course);
  return exploration.finish();
}

/** Files are found again from any folder; names stay names. */
function originOf(what: string): string {
  return path.extname(what) === '' ? what : path.resolve(what);
}

function drawsProgress({ quiet, json }: Options): boolean {
  return quiet !== true && json !== true && process.stderr.isTTY && process.env['CI'] === undefined;
}

function drawProgress(line: string): void {
  process.stderr.write(`\r\u001B[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}

function exitCode({ verdict }: ExploreResult): number {
  if (verdict === 'violation') return EXIT_VIOLATION;
  return verdict === 'inconclusive' ? EXIT_INCONCLUSIVE : EXIT_PASSED;
}
