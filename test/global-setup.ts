// Runs once before all tests: brings dist up to date. `npm test` has done so already and fails on any error; a bare
// `npx vitest` (while editing) reports build errors and goes on with what could be built.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export default function setup(): void {
  if (process.env['RMPTORTURE_SETUP_DONE'] === '1') return;
  const script = fileURLToPath(new URL('../src/build/setup.mjs', import.meta.url));
  const { status } = spawnSync(process.execPath, [script], { stdio: ['ignore', 2, 2] });
  if (status !== 0) process.stderr.write('build errors (above): testing the last output that could be built\n');
}
