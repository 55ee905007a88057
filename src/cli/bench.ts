// `rmptorture bench [suite...]`: the benchmarks of bench/, each beside its reference. The table goes to stdout, with --json to stderr, so that stdout carries
// the document alone.
import { Command } from 'commander';
import { UsageError } from '../host/errors.js';
import { EXIT_INTERNAL, EXIT_PASSED, EXIT_THRESHOLD, EXIT_USAGE, EXIT_VIOLATION } from './exit-codes.js';

interface BenchFlags {
  save?: string;
  compare?: string;
  force?: true;
  quick?: true;
  strict?: true;
  json?: true;
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
    .action(async (suites: string[], flags: BenchFlags) => done(await bench(suites, flags)));
}

async function bench(suites: readonly string[], flags: BenchFlags): Promise<number> {
  const { runBench } = await import('../../bench/main.js');
  const { WrongResult } = await import('../../bench/runner.js');
  const { json = false, force = false, quick = false, strict = false, save, compare } = flags;
  const stream = json ? process.stderr : process.stdout;
  try {
    const { document, regressed } = await runBench({
      suites,
      effort: quick ? 'quick' : 'full',
      force,
      strict,
      command: ['bench', ...process.argv.slice(3)].join(' '),
      print: (text) => void stream.write(`${text}\n`),
      ...(save === undefined ? {} : { save }),
      ...(compare === undefined ? {} : { compare }),
    });
    if (json) process.stdout.write(`${JSON.stringify(document)}\n`);
    return regressed ? EXIT_THRESHOLD : EXIT_PASSED;
  } catch (error) {
    return leave(error, error instanceof WrongResult);
  }
}

/** Ends the process: threads of the suite that failed may still serve, and would keep it. */
function leave(error: unknown, wrongResult: boolean): never {
  const known = wrongResult || error instanceof UsageError;
  process.stderr.write(`bench: ${error instanceof Error && !known ? error.stack : (error as Error).message}\n`);
  process.exit(wrongResult ? EXIT_VIOLATION : known ? EXIT_USAGE : EXIT_INTERNAL);
}
