// `npm start -- <command> ...`: sets up, then runs the command line in this very process, so that signals, exit codes and
// the terminal are its own.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './files.mjs';

const INTERNAL_ERROR = 70;

const { status } = spawnSync(process.execPath, [path.join(ROOT, 'src/build/setup.mjs')], { stdio: ['ignore', 2, 2] });
if (status === 0) {
  const bin = path.join(ROOT, 'dist/src/cli/bin.js');
  process.argv[1] = bin;
  await import(pathToFileURL(bin).href);
} else {
  process.exitCode = INTERNAL_ERROR;
}
