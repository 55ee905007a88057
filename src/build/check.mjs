// `npm run check`: what needs no test run. Every check runs, even after one has failed; the output of a failed check follows
// its line. `npm run check -- lint types` runs some.
import { spawnSync } from 'node:child_process';
import { ROOT } from './files.mjs';

const LINTED = ['src', 'workers', 'bench', 'test'];

/** Arguments of node, by name of the check. @type {Record<string, string[]>} */
const CHECKS = {
  types: ['src/build/setup.mjs'],
  lint: ['node_modules/oxlint/bin/oxlint', '--type-aware', '--max-warnings', '0', ...LINTED],
  format: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'],
  unused: ['node_modules/knip/bin/knip.js', '--no-progress'],
  package: ['node_modules/publint/src/cli.js', '--strict'],
  house: ['node_modules/vitest/vitest.mjs', 'run', 'test/tidy.test.ts'],
};

/** @param {string} name @param {string[]} args @returns {boolean} success */
function check(name, args) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, RMPTORTURE_SETUP_DONE: '1' },
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const succeeded = status === 0;
  process.stdout.write(`${succeeded ? 'ok    ' : 'FAILED'} ${name.padEnd(8)} ${seconds} s\n`);
  if (!succeeded) process.stdout.write(`${stdout}${stderr}\n`);
  return succeeded;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => CHECKS[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`no check '${unknown.join(', ')}'; there are: ${Object.keys(CHECKS).join(', ')}\n`);
  process.exitCode = 2;
} else {
  const chosen = Object.entries(CHECKS).filter(([name]) => wanted.length === 0 || wanted.includes(name));
  if (!chosen.map(([name, args]) => check(name, args)).every(Boolean)) process.exitCode = 1;
}
