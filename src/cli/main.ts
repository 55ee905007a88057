// The command line: options common to all commands, one file per command, errors to exit codes.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { RmpTortureError } from '../host/errors.js';
import { benchCommand } from './bench.js';
import { compareCommand } from './compare.js';
import { EXIT_INTERNAL, EXIT_PASSED, EXIT_USAGE } from './exit-codes.js';
import { exploreCommand } from './explore.js';
import { importCommand } from './import.js';
import { replayCommand } from './replay.js';
import { reportCommand } from './report.js';
import { reproCommand } from './repro.js';
import { tortureCommand } from './torture.js';

/** Runs one command line; resolves with the exit code. Never throws. */
export async function main(args: readonly string[]): Promise<number> {
  const result = { code: EXIT_PASSED };
  const program = new Command('rmptorture')
    .description('Takes private guest memory back, on real threads, until it breaks or proves that it does not.')
    .version(version(), '--version')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(see --help)')
    .exitOverride();
  program.addCommand(tortureCommand((code) => (result.code = code)).copyInheritedSettings(program));
  program.addCommand(compareCommand((code) => (result.code = code)).copyInheritedSettings(program));
  program.addCommand(exploreCommand((code) => (result.code = code)).copyInheritedSettings(program));
  program.addCommand(replayCommand((code) => (result.code = code)).copyInheritedSettings(program));
  program.addCommand(reproCommand((code) => (result.code = code)).copyInheritedSettings(program));
  program.addCommand(reportCommand((code) => (result.code = code)).copyInheritedSettings(program));
  program.addCommand(importCommand((code) => (result.code = code)).copyInheritedSettings(program));
  program.addCommand(benchCommand((code) => (result.code = code)).copyInheritedSettings(program));
  // With no command the main job runs.
  const commandLine = args.length === 0 ? ['torture'] : args;
  try {
    await program.parseAsync([...commandLine], { from: 'user' });
    return result.code;
  } catch (error) {
    return exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_PASSED : EXIT_USAGE;
  if (error instanceof RmpTortureError && error.code === 'EUSAGE') {
    process.stderr.write(`${error.message}\n`);
    return EXIT_USAGE;
  }
  process.stderr.write(`rmptorture: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
  return EXIT_INTERNAL;
}

function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
