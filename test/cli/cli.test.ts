// The command line as scripts see it: exit codes, one JSON document on stdout, one line for a mistake, no files from bad input.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { TortureResult } from '#src/index.js';

const BIN = fileURLToPath(new URL('../../dist/src/cli/bin.js', import.meta.url));

const PROFILE = `
host: { memory: 64MiB }
vms:
  - { name: g, memory: 4MiB }
actors:
  - { kind: vcpu }
  - { kind: invalidator, rate: 50/s, range: { pages: [1, 16] } }
duration: 100ms
`;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** An empty working folder, but for a small profile. */
function folder(profile = PROFILE): string {
  const path = mkdtempSync(join(tmpdir(), 'cli-'));
  writeFileSync(join(path, 'small.yaml'), profile);
  return path;
}

const running = new Set<ChildProcess>();

afterAll(() => {
  // Only when a test has failed is any of them still there.
  for (const child of running) child.kill('SIGKILL');
});

function start(cwd: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [BIN, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const ended: Ended = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ended.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ended.stderr += text));
  return {
    child,
    ended: new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        running.delete(child);
        resolve({ ...ended, code });
      });
    }),
  };
}

const run = (cwd: string, ...args: string[]): Promise<Ended> => start(cwd, args).ended;

describe('a mistake on the command line', () => {
  const cases: [string, string[], RegExp][] = [
    [
      'an unknown option',
      ['torture', '--duratoin', '1s'],
      /unknown option '--duratoin'\n\(Did you mean --duration\?\)/,
    ],
    ['an unknown command', ['tortur'], /unknown command 'tortur'\n\(Did you mean torture\?\)/],
    ['a missing profile', ['torture', 'nowhere.yaml'], /^\S+\/nowhere\.yaml: no such file\n$/],
    ['an unknown key', ['torture', 'small.yaml', '--set', 'durtion=1s'], /^.*: unknown key 'durtion'.*'duration'\?\n$/],
    ['a seed that is no number', ['torture', 'small.yaml', '--seed', 'seven'], /^--seed seven: expected a number.*\n$/],
    ['a variant that does not exist', ['torture', 'small.yaml', '--set', 'variants=[B99]'], /^variants: 'B99' .*\n$/],
    [
      'a layout that does not exist',
      ['torture', 'small.yaml', '--set', 'host.layout=no.yaml'],
      /no such layout file\n$/,
    ],
    ['a debug glob without a site', ['torture', 'small.yaml', '--debug', 'schedule'], /^debug: no pr_debug site .*\n$/],
  ];
  it.concurrent.each(cases)('%s ends with code 2, says so on stderr, and leaves no files', async (_, args, message) => {
    const cwd = folder();
    const { code, stdout, stderr } = await run(cwd, ...args);
    expect(stderr).toMatch(message);
    expect({ code, stdout, files: readdirSync(cwd) }).toEqual({ code: 2, stdout: '', files: ['small.yaml'] });
  });

  it('is a result folder that has a result already: it is not overwritten', async () => {
    const cwd = folder();
    writeFileSync(join(cwd, 'result.json'), 'mine');
    const { code, stderr } = await run(cwd, 'torture', 'small.yaml', '--out', '.');
    expect(code).toBe(2);
    expect(stderr).toBe('--out .: there is a result.json already; name another folder\n');
    expect(readFileSync(join(cwd, 'result.json'), 'utf8')).toBe('mine');
  });
});

describe('a run', () => {
  it('with --json prints one document and nothing else, the same that it writes', async () => {
    const cwd = folder();
    const { code, stdout, stderr } = await run(cwd, 'torture', 'small.yaml', '--json', '--out', 'out', '--seed', '42');
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const document = JSON.parse(stdout) as TortureResult;
    expect(document).toMatchObject({
      schema: 'rmptorture/torture/1',
      command: 'torture',
      seed: '0x2a',
      verdict: 'passed',
      partial: false,
      violations: [],
    });
    expect(document.again).toMatch(/torture \S+small\.yaml --seed 0x2a$/);
    expect(JSON.parse(readFileSync(join(cwd, 'out/result.json'), 'utf8'))).toEqual(document);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('prints a report that ends in its verdict, and writes below results/ unless told otherwise', async () => {
    const cwd = folder();
    const { code, stdout } = await run(cwd, 'torture', 'small.yaml');
    expect(stdout).toMatch(/^rmptorture torture: 1 guests, 2 threads, 0\.1 s, build perturbed/);
    expect(stdout).toMatch(/\nviolations: none\n/);
    expect(stdout).toMatch(/\nEnd of test: SUCCESS\nresults: \S+-torture\n$/);
    expect(readdirSync(join(cwd, 'results'))).toHaveLength(1);
    expect(code).toBe(0);
  });

  it('with a mistake brought back by name ends with code 1 and says what was violated', async () => {
    const profile = PROFILE.replace('duration: 100ms', 'duration: 15s\nvariants: [B05]').replace(', rate: 50/s', '');
    const { code, stdout } = await run(folder(profile), 'torture', 'small.yaml');
    expect(stdout).toMatch(/\nviolations: [1-9]\d*\n {2}\[(host-page|stale-mapping|one-owner|guest-data)\] /);
    expect(stdout).toMatch(/\nEnd of test: FAILURE: violated\n/);
    expect(code).toBe(1);
  });

  it('that misses a threshold ends with code 3', async () => {
    const { code, stdout } = await run(
      folder(`${PROFILE}thresholds: { touch.min: '< 0.1ns' }\n`),
      'torture',
      'small.yaml',
    );
    expect(stdout).toMatch(/\nnote: touch\.min: < 0\.1ns, but it was \d+/);
    expect(code).toBe(3);
  });

  it('whose reader goes away ends quietly', async () => {
    const { child, ended } = start(folder(), ['torture', 'small.yaml']);
    child.stdout!.destroy();
    expect(await ended).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});

describe('a signal', () => {
  it.concurrent.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends the run in order: code %i, and a partial report', async (signal, expected) => {
    const cwd = folder();
    const args = ['small.yaml', '--duration', '10m', '--json', '--out', 'out', '--debug', 'kvm_restrictedmem_*'];
    const { child, ended } = start(cwd, ['torture', ...args]);
    // The invalidator's pr_debug lines come on stderr, one each 20 ms: after five of them some operations are over, and after the warm-up.
    let lines = 0;
    await new Promise<void>((resolve) => {
      child.stderr!.on('data', (text: string) => {
        lines += text.split('\n').length - 1;
        if (lines >= 5) resolve();
      });
    });
    child.kill(signal);
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(expected);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'rmptorture/torture/1', partial: true, verdict: 'passed' });
    expect(existsSync(join(cwd, 'out/result.json'))).toBe(true);
    expect(stderr).toMatch(/kvm_restrictedmem_invalidate_begin: slot: 0, start: 0x/);
  });
});
