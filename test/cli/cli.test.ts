// The command line as scripts see it: exit codes, one JSON document on stdout, one line for a mistake, no files from bad input.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { TortureResult } from '#src/index.js';
import { BIN, folder, PROFILE, run, runHere, start, STUCK, VIOLATED } from './child.js';

describe('torture --dry-run', () => {
  it('prints the resolved profile with the origin of each value, and neither runs nor writes anything', async () => {
    const cwd = folder();
    const { code, stdout } = await runHere(cwd, 'torture', 'small.yaml', '--dry-run', '--seed', '9', '--workers', '3');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {4}rate: 50\/s # \S+small\.yaml:7:32$/m);
    expect(stdout).toMatch(/^ {4}threads: 2 # --workers 3$/m);
    expect(stdout).toMatch(/^seed: "?0x9"? # --seed 9$/m);
    expect(readdirSync(cwd)).toEqual(['small.yaml']);
  });

  it('with --json prints a document', async () => {
    const { stdout } = await runHere(folder(), 'torture', 'small.yaml', '--dry-run', '--json');
    const document = JSON.parse(stdout) as { sources: Record<string, string> };
    expect(document).toMatchObject({
      schema: 'rmptorture/profile/1',
      profile: { duration: '100ms', build: 'perturbed' },
    });
    expect(document.sources).toMatchObject({ seed: 'drawn at random', build: 'default' });
    expect(document.sources['actors.1.rate']).toMatch(/small\.yaml:7:32$/);
  });
});

describe('a mistake on the command line', () => {
  const cases: [string, string[], RegExp][] = [
    [
      'an unknown option',
      ['torture', '--duratoin', '1s'],
      /unknown option '--duratoin'\n\(Did you mean --duration\?\)/,
    ],
    ['an unknown command', ['tortur'], /unknown command 'tortur'\n\(Did you mean torture\?\)/],
    [
      'a threshold on an operation that does not exist',
      ['torture', 'threshold.yaml'],
      /^\S+\/threshold\.yaml:\d+:15: thresholds\.invalidte\.p99: no operation is called 'invalidte'; did you mean 'invalidate' or 'pvalidate'\?\n$/,
    ],
    [
      'more workers than find work',
      ['torture', 'small.yaml', '--workers', '66'],
      /^--workers 66: at most 65 threads find work here \(vcpu 1, invalidator 64\)\n$/,
    ],
    [
      'workers that are no number',
      ['torture', 'small.yaml', '--workers', 'all'],
      /^--workers all: expected a whole .*\n$/,
    ],
    [
      'a level that does not exist',
      ['torture', 'small.yaml', '--log-level', 'loud'],
      /^--log-level loud: unknown level; known are trace, debug, info, warn, error, silent\n$/,
    ],
    ['a missing profile', ['torture', 'nowhere.yaml'], /^\S+\/nowhere\.yaml: no such file\n$/],
    ['an unknown key', ['torture', 'small.yaml', '--set', 'durtion=1s'], /^.*: unknown key 'durtion'.*'duration'\?\n$/],
    ['a seed that is no number', ['torture', 'small.yaml', '--seed', 'seven'], /^--seed seven: expected a number.*\n$/],
    [
      'a variant that does not exist',
      ['torture', 'small.yaml', '--set', 'variants=[B99]'],
      /^--set variants=\[B99\]: variants\.0: 'B99' .*\n$/,
    ],
    [
      'a layout that does not exist',
      ['torture', 'small.yaml', '--set', 'host.layout=no.yaml'],
      /no such layout file\n$/,
    ],
    ['a debug glob without a site', ['torture', 'small.yaml', '--debug', 'schedule'], /^debug: no pr_debug site .*\n$/],
  ];
  it.each(cases)('%s ends with code 2, says so on stderr, and leaves no files', async (_, args, message) => {
    const cwd = folder();
    writeFileSync(join(cwd, 'threshold.yaml'), `${PROFILE}thresholds: { invalidte.p99: '< 5ms' }\n`);
    const { code, stdout, stderr } = await runHere(cwd, ...args);
    expect(stderr).toMatch(message);
    const files = ['small.yaml', 'threshold.yaml'];
    expect({ code, stdout, files: readdirSync(cwd) }).toEqual({ code: 2, stdout: '', files });
  });

  it('is a result folder that has a result already: it is not overwritten', async () => {
    const cwd = folder();
    writeFileSync(join(cwd, 'result.json'), 'mine');
    const { code, stderr } = await run(cwd, 'torture', 'small.yaml', '--out', '.');
    expect(code).toBe(2);
    expect(stderr).toBe('--out .: there is a result.json already; name another folder\n');
    expect(readFileSync(join(cwd, 'result.json'), 'utf8')).toBe('mine');
  });

  it.concurrent(
    'two runs at once do not write to one folder; a claim of a process that is gone does not count',
    async () => {
      const cwd = folder(STUCK);
      const first = start(cwd, ['torture', 'small.yaml', '--out', 'out']);
      await vi.waitFor(() => expect(existsSync(join(cwd, 'out/.running'))).toBe(true), 30_000);
      const second = await run(cwd, 'torture', 'small.yaml', '--out', 'out');
      expect(second).toMatchObject({ code: 2, stdout: '' });
      expect(second.stderr).toMatch(/^--out out: another run writes there now; name another folder\n$/);
      first.child.kill('SIGKILL');
      await first.ended;
      expect(existsSync(join(cwd, 'out/.running'))).toBe(true);
      writeFileSync(join(cwd, 'small.yaml'), PROFILE);
      expect(await run(cwd, 'torture', 'small.yaml', '--out', 'out')).toMatchObject({ code: 0 });
      expect(existsSync(join(cwd, 'out/.running'))).toBe(false);
    },
  );

  it.runIf(existsSync('/dev/full')).each([
    ['passed', PROFILE, 70],
    ['found a violation', VIOLATED, 1],
  ])('a run that %s and cannot say so ends with its own code, or as no success', (_, profile, code) => {
    const command = `"${process.execPath}" "${BIN}" torture small.yaml --out out > /dev/full`;
    const { status, stderr } = spawnSync('sh', ['-c', command], { cwd: folder(profile), encoding: 'utf8' });
    expect(status).toBe(code);
    expect(stderr).toMatch(/^rmptorture: ENOSPC: no space left on device, write\n$/m);
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

  it('with --workers has that many threads; with --log-level it says what it does, one JSON line each on stderr', async () => {
    const options = ['--json', '--workers', '4', '--log-level', 'debug'];
    const { code, stdout, stderr } = await run(folder(), 'torture', 'small.yaml', ...options);
    const { workers, again, profile } = JSON.parse(stdout) as TortureResult;
    // One vCPU takes one thread, whatever its share.
    const threads = profile.actors.map((actor) => actor.threads);
    expect({ code, workers, threads }).toEqual({ code: 0, workers: 4, threads: [1, 3] });
    expect(again).toMatch(/ --workers 4$/);
    const lines = stderr.trimEnd().split('\n');
    const said = (level: number): string[] =>
      lines
        .map((line) => JSON.parse(line) as { level: number; msg: string })
        .filter((line) => line.level === level)
        .map(({ msg }) => msg);
    expect(said(20).toSorted()).toEqual(['memslot step', ...Array<string>(4).fill('worker attached')]);
    expect(said(30)).toEqual(['host created', 'guest created', 'actors started', 'actors ended', 'run ended']);
    expect(lines).toHaveLength(said(20).length + said(30).length);
  });

  it('prints a report that ends in its verdict, and writes below results/ unless told otherwise', async () => {
    const cwd = folder();
    const { code, stdout } = await run(cwd, 'torture', 'small.yaml');
    expect(stdout).toMatch(/^rmptorture torture: 1 guest, 2 threads, 0\.1 s, build perturbed/);
    expect(stdout).toMatch(/\nviolations: none\n/);
    expect(stdout).toMatch(/\nEnd of test: SUCCESS\nresults: \S+-torture\n$/);
    expect(readdirSync(join(cwd, 'results'))).toHaveLength(1);
    expect(code).toBe(0);
  });

  it('with a mistake brought back by name ends with code 1 and says what was violated', async () => {
    const { code, stdout } = await run(folder(VIOLATED), 'torture', 'small.yaml');
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

  it.concurrent.each([
    ['passed', PROFILE, 0],
    ['violated', VIOLATED, 1],
  ])('whose reader goes away ends quietly, with the code of the run: %s', async (_, profile, code) => {
    const cwd = folder(profile);
    const { child, ended } = start(cwd, ['torture', 'small.yaml', '--out', 'out']);
    child.stdout!.destroy();
    expect(await ended).toEqual({ code, stdout: '', stderr: '' });
    expect(existsSync(join(cwd, 'out/result.json'))).toBe(true);
  });

  it('with a thread stuck in the hook of the user ends with code 1, and the report says who holds and who waits', async () => {
    const cwd = folder(STUCK.replace('stuckAfter: 10m', 'stuckAfter: 200ms'));
    const { code, stdout, stderr } = await run(cwd, 'torture', 'small.yaml', '--json');
    expect(stderr).toMatch(/^\{"level":40,.*"msg":"no progress: task\d+ \(invalidator0\) gave no sign of life for /m);
    expect(stderr).toMatch(
      /^\{"level":40,.*"actors":\["invalidator0"\],"msg":"slow stop: these actors have not left yet"/m,
    );
    const { verdict, partial, violations } = JSON.parse(stdout) as TortureResult;
    expect({ code, verdict, partial }).toEqual({ code: 1, verdict: 'violated', partial: true });
    expect(violations[0]).toMatchObject({ oracle: 'progress' });
    expect(violations[0]!.message).toMatch(
      /^stuck: task\d+ \(invalidator0\) gave no sign of life for \d+ ms; it holds file0/,
    );
    expect(violations[0]!.details['tasks']).toEqual(
      expect.arrayContaining([{ task: 'task0', alive: true, waits: null, holds: [] }]),
    );
  });
});
