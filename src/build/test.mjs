// `npm test [-- vitest arguments]`: sets up, runs vitest, and ends with one line: `N passed, N failed`. Fails when a test
// fails, a test file cannot be loaded, something is left unhandled, or nothing ran.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ROOT, readIfThere } from './files.mjs';

/** @typedef {{ status: string, assertionResults: { status: string }[] }} TestFile */

/** @param {string[]} args @returns {boolean} success */
function node(args) {
  const env = { ...process.env, RMPTORTURE_SETUP_DONE: '1' };
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit', env }).status === 0;
}

/** @param {string} report vitest's JSON report */
function count(report) {
  /** @type {TestFile[]} */
  const files = JSON.parse(report).testResults;
  const results = files.flatMap((file) => file.assertionResults);
  const passed = results.filter((result) => result.status === 'passed').length;
  const failedTests = results.filter((result) => result.status === 'failed').length;
  const failedAlone = files.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((result) => result.status !== 'failed'),
  ).length;
  return { passed, failed: failedTests + failedAlone };
}

/** @param {string[]} args */
function runTests(args) {
  const folder = mkdtempSync(path.join(tmpdir(), 'rmptorture-test-'));
  try {
    const file = path.join(folder, 'report.json');
    const vitest = path.join(ROOT, 'node_modules/vitest/vitest.mjs');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const succeeded = node([vitest, 'run', ...reporters, ...args]);
    const report = readIfThere(file);
    const { passed, failed } = report === undefined ? { passed: 0, failed: 0 } : count(report);
    const ranWell = succeeded && passed > 0;
    return { passed, failed: ranWell || failed > 0 || (succeeded && report !== undefined) ? failed : 1, ranWell };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const ready = spawnSync(process.execPath, [path.join(ROOT, 'src/build/setup.mjs')], { stdio: ['ignore', 2, 2] });
const { passed, failed, ranWell } =
  ready.status === 0 ? runTests(process.argv.slice(2)) : { passed: 0, failed: 1, ranWell: false };
process.stdout.write(`${passed} passed, ${failed} failed\n`);
if (!ranWell) process.exitCode = 1;
