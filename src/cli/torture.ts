// `rmptorture torture [profile.yaml]`: real threads under the load of a profile, and what the oracles say of it.
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { UsageError } from '../host/errors.js';
import { createLog, LOG_LEVELS, type LogLevel } from '../host/log.js';
import type { LiveAbout } from '../report/live.js';
import { tortureText } from '../report/torture.js';
import type { OpenedDocument, Override } from '../torture/document.js';
import type { TortureResult } from '../torture/run.js';
import type { Profile } from '../torture/schema.js';
import type { TortureOptions } from '../torture/torture-options.js';
import type { TraceLog } from '../torture/trace.js';
import type { TortureProgress } from '../torture/window.js';
import { EXIT_INCONCLUSIVE, EXIT_PASSED, EXIT_THRESHOLD, EXIT_VIOLATION } from './exit-codes.js';
import { inFolder } from './out-folder.js';
import { readSeed } from './seed.js';
import { SeriesFiles } from './series-files.js';
import { shellWord } from './shell.js';
import type { Interrupt } from './signals.js';
import type { CommandLine } from './torture-dry-run.js';
import { liveView } from './torture-live.js';
import { writeTortureFiles } from './torture-files.js';

interface Options {
  json?: boolean;
  out?: string;
  seed?: string;
  duration?: string;
  set: string[];
  dryRun?: boolean;
  metrics?: string;
  trace?: string | true;
  quiet?: boolean;
  debug?: string;
  workers?: string;
  protocol?: string;
  logLevel: string;
}

/** Events a thread that --trace keeps when it does not say how many. */
const TRACE_EVENTS = 16_384;
const MOST_TRACE_EVENTS = 4_194_304;
const QUICKSTART = fileURLToPath(new URL('../../../config/quickstart.yaml', import.meta.url));

/** Builds the command; `done` receives the exit code. */
export function tortureCommand(done: (code: number) => void): Command {
  return new Command('torture')
    .description('put the load of a profile on real threads and check every invariant')
    .argument('[profile]', 'profile (default: config/quickstart.yaml)')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--out <dir>', 'where to write the result files (default: results/<time>-torture)')
    .option('--seed <n>', 'seed of all randomness, decimal or 0x')
    .option('--duration <time>', 'recorded time, such as 30s (overrides the profile)')
    .option('--set <key=value>', 'override a profile key; may be repeated', collect, [])
    .option(
      '--workers <n>',
      'threads of all actors together, in the proportions of the profile (default: as the profile says)',
    )
    .option('--protocol <name>', 'rfc-v7, rfc-v8 or guest-memfd (overrides the profile)')
    .option('--dry-run', 'print the profile as resolved, with where each value came from, and run nothing')
    .option('--metrics <port>', 'serve the state of the run for Prometheus on 127.0.0.1:<port>/metrics')
    .option(
      '--trace [events]',
      `write the last events of each thread, as trace.json (Perfetto) and trace.txt (ftrace) (default: ${TRACE_EVENTS})`,
    )
    .option('--quiet', 'no view of the run on a terminal')
    .option('--debug <glob>', "turn on pr_debug sites by function name, such as 'kvm_restrictedmem_*'")
    .option('--log-level <level>', `lines about the run itself on stderr, as JSON: ${LOG_LEVELS.join(', ')}`, 'warn')
    .option('--no-color', 'no colours')
    .action(async (profile: string | undefined, options: Options) => done(await torture(profile, options)));
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

async function torture(profileArgument: string | undefined, options: Options): Promise<number> {
  const { openProfile } = await import('./profile.js');
  const { dryRun } = await import('./torture-dry-run.js');
  const profilePath = resolve(profileArgument ?? QUICKSTART);
  const override = overrides(options);
  const opened = await openProfile(profilePath, override);
  const seed = readSeed(options.seed ?? opened.data.seed);
  const workers = options.workers === undefined ? undefined : readWorkers(options.workers);
  const line: CommandLine = { profilePath, seed, seedOption: options.seed, workers };
  const asked: Asked = {
    opened,
    line,
    again: again(profilePath, override, seed, options.workers),
    logLevel: readLogLevel(options.logLevel),
    traceEvents: readTraceEvents(options.trace),
  };
  if (options.dryRun === true) {
    process.stdout.write(dryRun(opened, line, options.json === true));
    return EXIT_PASSED;
  }
  return inFolder(options.out, 'torture', (out, interrupt) => runInFolder(out, interrupt, asked, options));
}

/** What the command line asks for, read and checked. */
interface Asked {
  opened: OpenedDocument<Profile>;
  line: CommandLine;
  again: string;
  logLevel: LogLevel;
  traceEvents: number | undefined;
}

async function runInFolder(
  out: string,
  interrupt: Interrupt,
  { opened, line, again: repeat, logLevel, traceEvents }: Asked,
  options: Options,
): Promise<number> {
  const { placed } = await import('../torture/document.js');
  const { runTorture } = await import('../torture/run.js');
  const { startMetrics } = await import('./metrics-server.js');
  const { storedProfile } = await import('./torture-dry-run.js');
  const { profilePath, seed, workers } = line;
  const profile = opened.data;
  const series = new SeriesFiles(out);
  let trace: TraceLog | undefined;
  const log: string[] = [];
  const metrics = options.metrics === undefined ? undefined : await startMetrics(options.metrics);
  if (metrics !== undefined) createLog(logLevel, (text) => log.push(text)).info({ url: metrics.url }, 'metrics served');
  const view = showsView(options, logLevel) ? liveView(process.stderr, about(line, profile), logLevel) : undefined;
  try {
    const result = await runTorture({
      profile,
      profilePath,
      seed,
      again: repeat,
      ...(workers === undefined ? {} : { workers }),
      // The view shows the lines itself, above.
      logLevel: view === undefined ? logLevel : 'silent',
      signal: interrupt.signal,
      onSeries: (rows, state) => series.add(rows, state),
      onLog: (text) => {
        log.push(text);
        view?.log(text);
      },
      ...(traceEvents === undefined ? {} : { traceEvents, onTrace: (events) => (trace = events) }),
      ...watchers(view?.update, metrics?.update),
      ...(options.debug === undefined ? {} : { debug: options.debug }),
    });
    view?.close();
    series.begin();
    await writeTortureFiles(out, { result, profile: storedProfile(result.profile, opened, line), log, trace });
    process.stdout.write(
      options.json === true ? `${JSON.stringify(result)}\n` : `${tortureText(result)}results: ${out}\n`,
    );
    return result.verdict === 'violated' ? EXIT_VIOLATION : (interrupt.exitCode ?? exitCode(result));
  } catch (error) {
    throw placed(error, opened);
  } finally {
    view?.close();
    await metrics?.close();
  }
}

/** Only a terminal that can be drawn on has a view, and only when nothing else writes there line by line. */
function showsView({ quiet, json, debug }: Options, logLevel: LogLevel): boolean {
  const lines = debug !== undefined || logLevel === 'debug' || logLevel === 'trace';
  const { CI, TERM } = process.env;
  return quiet !== true && json !== true && !lines && process.stderr.isTTY && CI === undefined && TERM !== 'dumb';
}

/** What the view shows of the run that does not change. */
function about({ profilePath, seed, workers }: CommandLine, { build, protocol, hook, actors }: Profile): LiveAbout {
  const threads = workers ?? actors.reduce((sum, actor) => sum + actor.threads, 0);
  const kernel = `build ${build}, protocol ${protocol}, hook ${basename(hook)}`;
  return {
    title: `${basename(profilePath)}: ${threads} thread${threads === 1 ? '' : 's'}, ${kernel}, seed 0x${seed.toString(16)}`,
    threads,
  };
}

/** The keys of the profile that the command line overrides. */
function overrides({ set, duration, protocol }: Options): Override[] {
  const option = (key: string, value: string | undefined): Override[] =>
    value === undefined ? [] : [{ pair: `${key}=${value || "''"}`, shown: `--${key} ${value || "''"}` }];
  return [
    ...set.map((pair) => ({ pair, shown: `--set ${pair}` })),
    ...option('duration', duration),
    ...option('protocol', protocol),
  ];
}

/** Who is told of the progress; nothing when nobody is, since telling costs the run a little. */
function watchers(...each: (((progress: TortureProgress) => void) | undefined)[]): Pick<TortureOptions, 'onProgress'> {
  const there = each.filter((watcher) => watcher !== undefined);
  return there.length === 0 ? {} : { onProgress: (progress) => there.forEach((watcher) => watcher(progress)) };
}

function again(profilePath: string, override: readonly Override[], seed: bigint, workers: string | undefined): string {
  const sets = override.map(({ pair }) => ` --set ${shellWord(pair)}`).join('');
  const threads = workers === undefined ? '' : ` --workers ${workers}`;
  return `npx rmptorture torture ${shellWord(profilePath)} --seed 0x${seed.toString(16)}${sets}${threads}`;
}

function readWorkers(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) {
    throw new UsageError('--workers', `--workers ${text}: expected a whole number of at least 1`);
  }
  return Number(text);
}

function readTraceEvents(given: string | true | undefined): number | undefined {
  if (given === undefined) return undefined;
  if (given === true) return TRACE_EVENTS;
  if (!/^[1-9]\d{0,6}$/.test(given) || Number(given) > MOST_TRACE_EVENTS) {
    throw new UsageError('--trace', `--trace ${given}: expected a whole number of events, 1 to ${MOST_TRACE_EVENTS}`);
  }
  return Number(given);
}

function readLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((each) => each === text);
  if (level === undefined) {
    throw new UsageError('--log-level', `--log-level ${text}: unknown level; known are ${LOG_LEVELS.join(', ')}`);
  }
  return level;
}

function exitCode(result: TortureResult): number {
  switch (result.verdict) {
    case 'violated':
      return EXIT_VIOLATION;
    case 'threshold':
      return EXIT_THRESHOLD;
    case 'inconclusive':
      return EXIT_INCONCLUSIVE;
    default:
      return EXIT_PASSED;
  }
}
