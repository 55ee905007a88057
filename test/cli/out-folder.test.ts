// Where results go is known to be writable, and to be nobody else's, before any work is done.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folder, PROFILE, run, runHere, start } from './child.js';

/** Each command that writes results, as it would work for long, were its folder any good. */
const COMMANDS: [string, string[]][] = [
  ['torture', ['torture', 'small.yaml', '--duration', '1h']],
  ['explore', ['explore', 'fault-punch-hole', '--executions', '1000000000']],
  ['repro', ['repro', '--all', '--duration', '1h', '--executions', '1000000000']],
  ['compare', ['compare', 'small.yaml', '--ab', 'hook=none', 'hook=snp', '--duration', '1h']],
];

describe.each(COMMANDS)('%s', (_, args) => {
  it.each([
    ['a file', 'small.yaml', '--out small.yaml: a file is in the way; name another folder\n'],
    ['below a file', 'small.yaml/x/y', '--out small.yaml/x/y: a file is in the way; name another folder\n'],
    ['no name', '', "--out '': expected a folder\n"],
  ])('refuses an --out that is %s before it begins', async (_what, out, message) => {
    const cwd = folder();
    const { code, stdout, stderr } = await runHere(cwd, ...args, '--out', out);
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: message });
    expect(readdirSync(cwd)).toEqual(['small.yaml']);
  });

  it.runIf(existsSync('/proc/self')).each(['/proc/x', '/proc/self/x/y'])(
    'refuses %s, where making a folder never ends',
    async (out) => {
      const cwd = folder();
      const { code, stderr } = await runHere(cwd, ...args, '--out', out);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: `--out ${out}: no folder can be made there; name another folder\n`,
      });
    },
  );

  it('refuses a folder that another process writes to', async () => {
    const cwd = folder();
    mkdirSync(join(cwd, 'out'));
    writeFileSync(join(cwd, 'out/.running'), `${process.ppid}`);
    const { code, stdout, stderr } = await runHere(cwd, ...args, '--out', 'out');
    const message = '--out out: another run writes there now; name another folder\n';
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: message });
    expect(readdirSync(join(cwd, 'out'))).toEqual(['.running']);
  });
});

it('an exploration has its folder while it works, and leaves no claim behind', async () => {
  const cwd = folder();
  const args = ['explore', 'fault-punch-hole', '--executions', '1000000000', '--out', 'out'];
  const first = start(cwd, args);
  await vi.waitFor(() => expect(existsSync(join(cwd, 'out/.running'))).toBe(true), 30_000);
  const second = await run(cwd, ...args);
  expect(second).toMatchObject({ code: 2, stderr: '--out out: another run writes there now; name another folder\n' });
  first.child.kill('SIGINT');
  expect((await first.ended).code).toBe(130);
  expect(readdirSync(join(cwd, 'out'))).not.toContain('.running');
});

it('import refuses a folder that cannot be made, and leaves none that it did not use', async () => {
  const cwd = folder();
  const slot = 'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x0 size=0x400000 ua=0x7f1000000000 ret=0\n';
  writeFileSync(join(cwd, 'host.log'), slot);
  const refused = await runHere(cwd, 'import', 'host.log', '--out', 'small.yaml/x');
  expect(refused).toEqual({
    code: 2,
    stdout: '',
    stderr: '--out small.yaml/x: a file is in the way; name another folder\n',
  });
  const made = await runHere(cwd, 'import', 'host.log', '--out', 'made');
  expect(made.code).toBe(0);
  expect(readdirSync(join(cwd, 'made'))).toEqual(['host.memslots.yaml', 'host.profile.yaml']);
});

it('repro --all that is interrupted says so, and how far it came', async () => {
  const cwd = folder();
  const { child, ended } = start(cwd, [
    'repro',
    '--all',
    '--duration',
    '1h',
    '--executions',
    '1000000000',
    '--out',
    'out',
  ]);
  await vi.waitFor(() => expect(existsSync(join(cwd, 'out/.running'))).toBe(true), 30_000);
  await setTimeout(500);
  child.kill('SIGINT');
  const { code, stdout } = await ended;
  expect(stdout).toMatch(/^INTERRUPTED: \d+ of [1-9]\d+ bugs$/m);
  expect(stdout).not.toContain('SUCCESS');
  expect(code).toBe(130);
});

it('the command that is printed to be given again is one that a shell gives again', async () => {
  const cwd = folder(`${PROFILE}thresholds: { touch.p99: '< 100s' }\n`);
  const set = ["thresholds={touch.p99: '< 1s'}", 'duration=10ms'];
  const { stdout } = await run(
    cwd,
    'torture',
    'small.yaml',
    '--json',
    '--set',
    set[0]!,
    '--set',
    set[1]!,
    '--seed',
    '1',
  );
  const { again } = JSON.parse(stdout) as { again: string };
  expect(again).toMatch(/ --seed 0x1 --set 'thresholds=\{touch\.p99: '\\''< 1s'\\''\}' --set duration=10ms$/);
});
