// `rmptorture import <log>`: memslot sequences and host layouts from the logs of real machines; or what such a log shows.
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../host/errors.js';
import { createShard } from '../host/shard.js';
import type { ImportResult } from '../import/import.js';
import { importText } from '../report/import.js';
import { EXIT_PASSED } from './exit-codes.js';
import { writableFolder } from './out-folder.js';

interface Options {
  json?: boolean;
  out?: string;
  explain?: boolean;
}

/** Builds the command; `done` receives the exit code. */
export function importCommand(done: (code: number) => void): Command {
  return new Command('import')
    .description(
      'read a log of a real machine (QEMU memslot trace, KVM trace events, function_graph, kernel log of an SNP host, KASAN report) and make documents of it that profiles use, or explain it',
    )
    .argument('<log>', 'the log, as text')
    .option('--explain', 'only say what the log shows; write nothing')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--out <dir>', 'where to write the documents', '.')
    .action(async (log: string, options: Options) => done(await run(log, options)));
}

async function run(path: string, { json, out, explain }: Options): Promise<number> {
  const { importLog } = await import('../import/import.js');
  // The kernel's own decoder names the page states: a small shard to ask.
  const { x } = createShard({ build: 'fast', pfnCount: 1024, maxTasks: 1, memoryPages: 1024 });
  const result = importLog(path, (lo, hi) => x.pageState(lo, hi), { explain: explain === true });
  const written = explain === true ? [] : await writeDocuments(result, out ?? '.');
  process.stdout.write(json === true ? `${JSON.stringify({ ...result, written })}\n` : importText(result, written));
  if (written.length === 0 && explain !== true)
    process.stderr.write(`import: ${path}: nothing in it that a document can be made of; no file was written\n`);
  return EXIT_PASSED;
}

async function writeDocuments(result: ImportResult, out: string): Promise<string[]> {
  const folder = resolve(out);
  const paths = result.documents.map(({ fileName }) => join(folder, fileName));
  const there = paths.find((path) => existsSync(path));
  if (there !== undefined)
    throw new UsageError(
      'import',
      `${there}: there is such a file already; move it, or name another folder with --out`,
    );
  if (paths.length > 0) writableFolder(out, '--out');
  for (const [n, { text }] of result.documents.entries()) await writeFile(paths[n]!, text, { flag: 'wx' });
  return paths;
}
