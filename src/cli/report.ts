// `rmptorture report <run folder>`: the HTML report of a torture run, one file that needs nothing else.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../host/errors.js';
import { unreadable } from '../host/unreadable.js';
import { tortureHtml } from '../report/html/torture.js';
import { parseSeriesCsv, parseStateCsv } from '../report/series.js';
import type { TortureResult } from '../torture/run.js';
import { EXIT_PASSED } from './exit-codes.js';

interface Options {
  out?: string;
  json?: boolean;
  quiet?: boolean;
}

/** Builds the command; `done` receives the exit code. */
export function reportCommand(done: (code: number) => void): Command {
  return new Command('report')
    .description('write the HTML report of a torture run, one file for any browser')
    .argument('<folder>', 'result folder of the run')
    .option('--out <file>', 'where to write it (default: report.html in the folder)')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--quiet', 'say nothing')
    .option('--no-color', 'no colours')
    .action((folder: string, options: Options) => done(report(folder, options)));
}

function report(folder: string, options: Options): number {
  const read = (name: string): string => {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch (error) {
      throw new UsageError(
        'report',
        `${join(folder, name)}: ${unreadable(error)}; name the result folder of a torture run`,
      );
    }
  };
  const result = parseResult(read('result.json'), join(folder, 'result.json'));
  const html = tortureHtml({
    result,
    series: parseSeriesCsv(read('series.csv'), join(folder, 'series.csv')),
    states: parseStateCsv(read('state.csv'), join(folder, 'state.csv')),
    profile: read('profile.yaml'),
  });
  const out = options.out ?? join(folder, 'report.html');
  try {
    writeFileSync(out, html);
  } catch (error) {
    throw new UsageError('--out', `--out ${out}: ${unreadable(error)}; name a file that can be written`);
  }
  const document = { schema: 'rmptorture/report/1', command: 'report', folder, file: out };
  if (options.json === true) process.stdout.write(`${JSON.stringify(document)}\n`);
  else if (options.quiet !== true) process.stdout.write(`${out}\n`);
  return EXIT_PASSED;
}

function parseResult(text: string, file: string): TortureResult {
  let result: TortureResult;
  try {
    result = JSON.parse(text) as TortureResult;
  } catch (error) {
    throw new UsageError('report', `${file}: ${(error as Error).message}`);
  }
  const { schema } = (result ?? {}) as { schema?: unknown };
  if (schema !== 'rmptorture/torture/1')
    throw new UsageError(
      'report',
      `${file}: no result of torture, but ${typeof schema === 'string' ? schema : 'a document without a schema'}`,
    );
  if (result.invariants === undefined)
    throw new UsageError('report', `${file}: written by an older version; run it again: ${result.again}`);
  return result;
}
