// `rmptorture bench [suite...]`: the benchmarks of bench/, each beside its reference. The table goes to stdout, with --json to stderr, so that stdout carries
// the document alone.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../host/errors.js';
import { EXIT_INTERNAL, EXIT_PASSED, EXIT_THRESHOLD, EXIT_USAGE, EXIT_VIOLATION } from './exit-codes.js';
import { claimAsked, writableFolder } from './out-folder.js';

/** Where --save writes to. */
const SAVED = path.join('results', 'bench');

interface BenchFlags {
  save?: string;
  compare?: string;
  force?: true;
  quick?: true;
  strict?: true;
  json?: true;
  out?: string;
  quiet?: true;
}

/** Builds the command; `done` receives the exit code. */
export function benchCommand(done: (code: number) => void): Command {
  return new Command('bench')
    .description('run the benchmarks, each beside its reference: all suites, or those that are named')
    .argument('[suites...]', 'names of suites (an unknown one lists them)')
    .option('--save <name>', 'write results/bench/NAME.json')
    .option('--compare <name>', 'compare with results/bench/NAME.json; exit code 3 when something is slower')
    .option('--force', 'compare although the other run was on another machine')
    .option('--quick', 'fewer samples')
    .option('--strict', 'exit code 3 when a goal is missed')
    .option('--json', 'the result document on stdout, the table on stderr')
    .option('--out <dir>', 'write result.json there, too')
    .option('--quiet', 'with --json or --out: no table')
    .option('--no-color', 'no colours')
    .action(async (suites: string[], flags: BenchFlags) => done(await bench(suites, flags)));
}

async function bench(suites: readonly string[], flags: BenchFlags): Promise<number> {
  const { runBench } = await import('../../bench/main.js');
  const { WrongResult } = await import('../../bench/runner.js');
  const { json = false, force = false, quick = false, strict = false, save, compare } = flags;
  const stream = json ? process.stderr : process.stdout;
  if (flags.quiet === true && !json && flags.out === undefined)
    throw new UsageError('--quiet', '--quiet: nothing would come of it; add --json or --out');
  if (save !== undefined) writableFolder(SAVED, '--save');
  const claim = flags.out === undefined ? undefined : claimAsked(flags.out);
  try {
    const { document, regressed } = await runBench({
      suites,
      effort: quick ? 'quick' : 'full',
      force,
      strict,
      command: ['bench', ...process.argv.slice(3)].join(' '),
      print: (text) => void (flags.quiet === true || stream.write(`${text}\n`)),
      ...(save === undefined ? {} : { save }),
      ...(compare === undefined ? {} : { compare }),
    });
    if (claim !== undefined)
      await writeFile(path.join(claim.folder, 'result.json'), `${JSON.stringify(document, null, 2)}\n`);
    claim?.release();
    if (json) process.stdout.write(`${JSON.stringify(document)}\n`);
    return regressed ? EXIT_THRESHOLD : EXIT_PASSED;
  } catch (error) {
    claim?.release();
    return leave(error, error instanceof WrongResult);
  }
}

/** Ends the process: threads of the suite that failed may still serve, and would keep it. */
function leave(error: unknown, wrongResult: boolean): never {
  const known = wrongResult || error instanceof UsageError;
  process.stderr.write(`bench: ${error instanceof Error && !known ? error.stack : (error as Error).message}\n`);
  process.exit(wrongResult ? EXIT_VIOLATION : known ? EXIT_USAGE : EXIT_INTERNAL);
}
