// Signals: one ends the run in order, a second one ends the process at once.
import type { ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, PROFILE, start, STUCK } from './child.js';

const DEBUG = ['--debug', 'kvm_restrictedmem_*'];

/** The invalidator's pr_debug lines come on stderr, some each 20 ms: after five of them some operations are over, and the warm-up. */
async function linesOf(child: ChildProcess, count: number): Promise<void> {
  let lines = 0;
  await new Promise<void>((resolve) => {
    child.stderr!.on('data', (text: string) => {
      lines += text.split('\n').length - 1;
      if (lines >= count) resolve();
    });
  });
}

/** Until the text has come on stderr. */
async function said(child: ChildProcess, text: string): Promise<void> {
  let seen = '';
  await new Promise<void>((resolve) => {
    child.stderr!.on('data', (part: string) => {
      seen += part;
      if (seen.includes(text)) resolve();
    });
  });
}

/** No thread that loads it comes up, so that the run can neither begin nor end; the process says when it has got the signal. */
const NEVER_UP = `import { isMainThread } from 'node:worker_threads';
import { writeSync } from 'node:fs';
if (!isMainThread) for (;;);
process.on('SIGINT', () => writeSync(2, 'interrupted\\n'));
export default () => {};
`;

describe('a signal', () => {
  it.concurrent.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends the run in order: code %i, and a partial report', async (signal, expected) => {
    const cwd = folder();
    const args = ['small.yaml', '--duration', '10m', '--json', '--out', 'out', ...DEBUG];
    const { child, ended } = start(cwd, ['torture', ...args]);
    await linesOf(child, 5);
    child.kill(signal);
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(expected);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'rmptorture/torture/1', partial: true, verdict: 'passed' });
    expect(existsSync(join(cwd, 'out/result.json'))).toBe(true);
    expect(stderr).toMatch(/kvm_restrictedmem_invalidate_begin: slot: 0, start: 0x/);
  });

  it('SIGINT twice while the threads come up ends the process at once, in order', async () => {
    const cwd = folder(STUCK);
    writeFileSync(join(cwd, 'hook.mjs'), NEVER_UP);
    const { child, ended } = start(cwd, ['torture', 'small.yaml', '--log-level', 'info', '--out', 'out']);
    await said(child, 'host created');
    child.kill('SIGINT');
    await said(child, 'interrupted');
    child.kill('SIGINT');
    const { code, stdout, stderr } = await ended;
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    // By the signal itself: process.exit() aborts when it meets a thread that is just coming up.
    expect(child.signalCode).toBe('SIGINT');
    expect(stderr).not.toContain('FATAL');
    expect(existsSync(join(cwd, 'out'))).toBe(false);
  });

  it.concurrent('does not hide a violation that the last audit finds: code 1, and a partial report', async () => {
    const cwd = folder(`${PROFILE}variants: [lose-page]\n`);
    const { child, ended } = start(cwd, ['torture', 'small.yaml', '--duration', '10m', '--json', ...DEBUG]);
    await linesOf(child, 20);
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ partial: true, verdict: 'violated' });
  });

  it.concurrent.each([
    ['SIGINT', 'SIGINT', 130],
    ['SIGINT', 'SIGTERM', 143],
  ] as const)(
    '%s that cannot be obeyed, as a thread does not leave, waits; %s after it ends the process at once with %i',
    async (first, second, expected) => {
      const cwd = folder(STUCK);
      const { child, ended } = start(cwd, ['torture', 'small.yaml', '--duration', '10m', '--out', 'out']);
      await said(child, 'in the hook');
      child.kill(first);
      const early = await Promise.race([ended, new Promise((resolve) => setTimeout(() => resolve('waits'), 300))]);
      expect(early).toBe('waits');
      child.kill(second);
      expect(await ended).toEqual({ code: expected, stdout: '', stderr: 'in the hook\n' });
      expect(existsSync(join(cwd, 'out'))).toBe(false);
    },
  );
});
