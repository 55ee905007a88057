// `npm run bench -- [suite...] [--save NAME] [--compare NAME] [--json] [--quick] [--strict] [--force]`. The table goes to stdout, with --json to stderr,
// so that stdout carries the document alone. Exit codes: 0, 1 a wrong result, 2 usage, 3 slower than the saved run (or --strict: a goal missed).
import { parseArgs } from 'node:util';
import { heedBranchHints } from '../src/host/branch-hints.js';
import { UsageError } from '../src/host/errors.js';
import { runBench, SUITES, type BenchOptions } from './main.js';
import { WrongResult } from './runner.js';

const HELP = `npm run bench -- [suite...] [options]

suites: ${Object.keys(SUITES).join(', ')} (all of them when none is named)

  --save NAME     write results/bench/NAME.json
  --compare NAME  compare with results/bench/NAME.json; exit code 3 when something is slower
  --force         compare although the other run was on another machine
  --quick         fewer samples
  --strict        exit code 3 when a goal is missed
  --json          the result document on stdout, the table on stderr
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      save: { type: 'string' },
      compare: { type: 'string' },
      force: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      strict: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const stream = values.json ? process.stderr : process.stdout;
  const { save, compare, force, strict } = values;
  const options: BenchOptions = {
    suites: positionals,
    effort: values.quick ? 'quick' : 'full',
    force,
    strict,
    command: ['bench', ...process.argv.slice(2)].join(' '),
    print: (text) => void stream.write(`${text}\n`),
    ...(save === undefined ? {} : { save }),
    ...(compare === undefined ? {} : { compare }),
  };
  const { document, regressed } = await runBench(options);
  if (values.json) process.stdout.write(`${JSON.stringify(document)}\n`);
  return regressed ? 3 : 0;
}

function exitCodeOf(error: unknown): number {
  if (error instanceof WrongResult) return 1;
  return error instanceof UsageError || (error instanceof TypeError && 'code' in error) ? 2 : 70;
}

heedBranchHints();
try {
  process.exitCode = await main();
} catch (error) {
  const code = exitCodeOf(error);
  process.stderr.write(
    `bench: ${error instanceof Error ? (code === 70 ? error.stack : error.message) : String(error)}\n`,
  );
  // Threads of a suite that failed may still serve.
  process.exit(code);
}
