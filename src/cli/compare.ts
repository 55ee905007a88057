// `rmptorture compare A B`: two result folders; `compare [profile] --ab X Y`: two settings of one profile, interleaved in one session. Says for each metric
// whether B is slower or faster than A, and how sure that is.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { environmentFingerprint } from '../host/environment.js';
import { UsageError } from '../host/errors.js';
import { compareText } from '../report/compare.js';
import type { Bounds, MetricComparison } from '../torture/compare.js';
import { EXIT_INCONCLUSIVE, EXIT_PASSED, EXIT_THRESHOLD, EXIT_VIOLATION } from './exit-codes.js';
import { inFolder } from './out-folder.js';
import { Screen } from './screen.js';
import { readSeed } from './seed.js';
import { shellWord } from './shell.js';
import { interruptible, type Interrupt } from './signals.js';

interface Options {
  ab?: string[];
  rounds: string;
  duration?: string;
  set: string[];
  seed?: string;
  slower: string;
  faster: string;
  force?: boolean;
  allowViolations?: boolean;
  json?: boolean;
  out?: string;
}

/** What was compared, however it was measured. */
export interface Compared {
  a: string;
  b: string;
  /** Of settings that were run: the seed of the first round, and the command line that runs them again. */
  seed?: string;
  again?: string;
  metrics: MetricComparison[];
  notes: string[];
  /** Oracles that found something, of each side. */
  violated: [a: string[], b: string[]];
  /** The measurements are not to be trusted, or were cut short. */
  doubtful: boolean;
}

/** Builds the command; `done` receives the exit code. */
export function compareCommand(done: (code: number) => void): Command {
  return new Command('compare')
    .description(
      'compare two result folders of torture, or two settings interleaved: compare [profile] --ab hook=none hook=snp',
    )
    .argument('[a-or-profile]', 'result folder A; with --ab the profile (default: config/quickstart.yaml)')
    .argument('[b]', 'result folder B')
    .option('--ab <settings...>', 'two settings, each key=value pairs separated by blanks')
    .option('--rounds <n>', 'with --ab: runs of each setting', '9')
    .option('--duration <time>', 'with --ab: recorded time of each run', '2s')
    .option('--set <key=value>', 'with --ab: override a profile key for both; may be repeated', collect, [])
    .option('--seed <n>', 'with --ab: seed of the first round, decimal or 0x')
    .option('--slower <percent>', 'worse by more than this is slower', '5')
    .option('--faster <percent>', 'better by more than this is faster', '5')
    .option('--force', 'compare although profiles or machines differ')
    .option('--allow-violations', 'compare speeds although a side violates an invariant, as hook=none does')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--out <dir>', 'where to write result.json (default: nowhere)')
    .action(async (a: string | undefined, b: string | undefined, options: Options) =>
      done(await compare(a, b, options)),
    );
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function percentOption(name: string, text: string): number {
  const value = /^\d+(\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : NaN;
  if (!Number.isFinite(value)) throw new UsageError(name, `${name} ${text}: expected a percentage, such as 5`);
  return value / 100;
}

function wholeOption(name: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new UsageError(name, `${name} ${text}: expected a whole number of at least 1`);
  return Number(text);
}

async function compare(first: string | undefined, second: string | undefined, options: Options): Promise<number> {
  const bounds: Bounds = {
    slower: percentOption('--slower', options.slower),
    faster: percentOption('--faster', options.faster),
  };
  const work = (out: string | undefined, interrupt: Interrupt): Promise<number> =>
    compareInto(out, [first, second], options, bounds, interrupt);
  if (options.out !== undefined) return inFolder(options.out, 'compare', work);
  const interrupt = interruptible();
  return work(undefined, interrupt).finally(() => interrupt.dispose());
}

async function compareInto(
  out: string | undefined,
  [first, second]: readonly [string | undefined, string | undefined],
  options: Options,
  bounds: Bounds,
  interrupt: Interrupt,
): Promise<number> {
  const compared = await measure(first, second, options, bounds, interrupt.signal);
  const verdict = overall(compared, options.allowViolations === true);
  const document = {
    schema: 'rmptorture/compare/1',
    command: 'compare',
    ...compared,
    bounds,
    verdict,
    environment: environmentFingerprint(),
  };
  if (out !== undefined) await writeFile(join(out, 'result.json'), `${JSON.stringify(document, null, 2)}\n`);
  const { metrics } = compared;
  const notes = [...compared.notes, ...remarks(compared)];
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify(document)}\n`
      : `${compareText(compared, metrics, notes)}verdict: ${verdict}\n`,
  );
  return verdict === 'violated' ? EXIT_VIOLATION : (interrupt.exitCode ?? EXIT_CODES[verdict]);
}

async function measure(
  first: string | undefined,
  second: string | undefined,
  options: Options,
  bounds: Bounds,
  signal: AbortSignal,
): Promise<Compared> {
  if (options.ab === undefined) {
    if (first === undefined || second === undefined)
      throw new UsageError(
        'compare',
        "compare: name two result folders, or a profile with --ab 'key=value' 'key=value'",
      );
    const { compareFolders } = await import('./compare-folders.js');
    return compareFolders(first, second, bounds, options.force === true);
  }
  if (options.ab.length !== 2 || second !== undefined)
    throw new UsageError(
      '--ab',
      `--ab: expected two settings behind the profile, such as compare config/lock-mmu.yaml --ab hook=none hook=snp`,
    );
  const { compareSettings } = await import('./compare-ab.js');
  const seed = readSeed(options.seed);
  const settings = {
    profile: first,
    settings: [options.ab[0]!, options.ab[1]!] as [string, string],
    set: [
      ...options.set.map((pair) => ({ pair, shown: `--set ${pair}` })),
      { pair: `duration=${options.duration}`, shown: `--duration ${options.duration || "''"}` },
    ],
    rounds: wholeOption('--rounds', options.rounds),
    seed,
    again: again(first, options, seed),
    bounds,
    signal,
  };
  return counted(options.json === true, (onRun) => compareSettings({ ...settings, onRun }));
}

/** The command line that makes the same comparison. */
function again(profile: string | undefined, options: Options, seed: bigint): string {
  const { ab, rounds, duration, set, slower, faster, allowViolations } = options;
  return [
    'npx rmptorture compare',
    ...(profile === undefined ? [] : [shellWord(profile)]),
    `--rounds ${rounds} --duration ${shellWord(duration!)} --seed 0x${seed.toString(16)} --slower ${slower} --faster ${faster}`,
    ...set.map((pair) => `--set ${shellWord(pair)}`),
    ...(allowViolations === true ? ['--allow-violations'] : []),
    `--ab ${ab!.map(shellWord).join(' ')}`,
  ].join(' ');
}

/** Shows on a terminal how many of the runs have been made. */
async function counted(
  json: boolean,
  work: (onRun: (made: number, of: number) => void) => Promise<Compared>,
): Promise<Compared> {
  if (json || !process.stderr.isTTY || process.env['CI'] !== undefined) return work(() => undefined);
  let line = '';
  const screen = new Screen(process.stderr, ({ columns }) => [line.slice(0, columns - 1)]);
  try {
    return await work((made, of) => {
      line = `run ${made + 1} of ${of}, round ${Math.floor(made / 2) + 1} of ${of / 2}`;
      screen.draw();
    });
  } finally {
    screen.close();
  }
}

type Verdict = 'violated' | 'inconclusive' | 'slower' | 'faster' | 'same';
const EXIT_CODES: Record<Verdict, number> = {
  violated: EXIT_VIOLATION,
  inconclusive: EXIT_INCONCLUSIVE,
  slower: EXIT_THRESHOLD,
  faster: EXIT_PASSED,
  same: EXIT_PASSED,
};

function overall({ violated, doubtful, metrics }: Compared, allowViolations: boolean): Verdict {
  if (!allowViolations && violated.some(({ length }) => length > 0)) return 'violated';
  const judged = metrics.filter(({ verdict }) => verdict !== 'too few samples');
  if (doubtful || judged.length === 0) return 'inconclusive';
  if (judged.some(({ verdict }) => verdict === 'slower')) return 'slower';
  // Too noisy to say that nothing has become slower.
  const unclear = judged.filter(({ verdict }) => verdict === 'unclear').length;
  if (unclear > judged.length / 2) return 'inconclusive';
  return judged.some(({ verdict }) => verdict === 'faster') ? 'faster' : 'same';
}

/** What the verdict does not say. */
function remarks({ violated, metrics }: Compared): string[] {
  const unclear = metrics.filter(({ verdict }) => verdict === 'unclear').length;
  return [
    ...violated.flatMap((oracles, side) =>
      oracles.length === 0 ? [] : [`${side === 0 ? 'A' : 'B'} violated ${oracles.join(', ')}`],
    ),
    ...(unclear === 0
      ? []
      : [
          `unclear: ${unclear} of ${metrics.length} metrics differ by more than the bound, but so do their samples among themselves`,
        ]),
  ];
}

/** The oracles of violations, each once. */
export function oraclesOf(violations: readonly { oracle: string }[]): string[] {
  return [...new Set(violations.map(({ oracle }) => oracle))].toSorted();
}
