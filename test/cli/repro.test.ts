// `rmptorture repro` from outside: list, one bug, wrong input; what it writes.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentIn } from '../schemas.js';
import { folder, run } from './child.js';

describe('repro', () => {
  it.concurrent('without a bug lists the catalogue and the bugs that cannot be shown', async () => {
    const { code, stdout } = await run(folder(), 'repro');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^B05 an invalidation leaves its last page mapped +stale-mapping guest x punch$/m);
    expect(stdout).toMatch(/^B57 .* needs priorities/m);
    expect((await run(folder(), 'repro', '--json')).code).toBe(0);
  });

  it.concurrent('shows a bug failing, step by step, and fixed; the failing execution can be replayed', async () => {
    const cwd = folder();
    const args = ['repro', 'b03', '--executions', '100', '--duration', '2m', '--out', 'out'];
    const { code, stdout } = await run(cwd, ...args);
    expect(code).toBe(0);
    expect(stdout).toContain('B03: a hole punch lets go of the lock half-way');
    expect(stdout).toMatch(/^with the mistake \(variant B03\): balance \(/m);
    expect(stdout).toMatch(/^without it: every interleaving passes \(\S+ states/m);
    expect(stdout).toMatch(/^ {4}before step \d+, (?:punch|bind): /m);
    expect(existsSync(join(cwd, 'out/B03.trace.json'))).toBe(true);
    const replayed = await run(cwd, 'replay', 'out/B03.trace.json');
    expect(replayed.code).toBe(1);
    expect(replayed.stdout).toContain('balance: vm0');
  });

  it.concurrent('--json prints one document with both explorations, the same that it writes', async () => {
    const cwd = folder();
    const { code, stdout } = await run(cwd, 'repro', 'B09', '--executions', '50', '--json', '--out', 'out');
    expect(code).toBe(0);
    const document: unknown = JSON.parse(stdout);
    expect(document).toEqual(JSON.parse(readFileSync(join(cwd, 'out/result.json'), 'utf8')));
    expect(document).toMatchObject({
      schema: 'rmptorture/repro/1',
      command: 'repro',
      bugs: [
        {
          bug: 'B09',
          confirmed: true,
          buggy: { schema: 'rmptorture/explore/1', verdict: 'violation', violation: { oracle: 'host-page' } },
          fixed: { verdict: 'no-violation', complete: true },
        },
      ],
    });
  });

  it.concurrent('--stress says how long real threads took to fail', async () => {
    const cwd = folder();
    const { code, stdout } = await run(cwd, 'repro', 'b05', '--stress', '--duration', '10m', '--out', 'out');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^on real threads \(build perturbed\): \S+ in attempt \d+, after [\d.]+ s$/m);
    expect(documentIn(readFileSync(join(cwd, 'out/result.json'), 'utf8'))).toMatchObject({
      schema: 'rmptorture/repro/1',
      bugs: [{ bug: 'B05', stress: { build: 'perturbed', verdict: expect.any(String) as string } }],
    });
  });

  it.concurrent.each([
    [['B99'], "repro: no bug is called 'B99'; rmptorture repro lists them"],
    [['B57'], 'repro: B57 (a waiter that is not the first spins for a hand-over) cannot be shown: needs priorities'],
    [['B05', '--all'], 'repro: B05 or --all, not both'],
    [['--stress'], '--stress: a bug, or --all'],
    [['--all', '--stress', '--pages', 'x'], '--stress: pages show interleavings'],
    [['B05', '--executions', '0'], '--executions 0: expected a whole number from 1'],
    [['B05', '--strategy', 'luck'], '--strategy luck: unknown strategy'],
    [['B05', '--duration', 'soon'], '"soon" is not a duration'],
  ])('%j is refused with a line, and nothing is written', async (args, message) => {
    const cwd = folder();
    const { code, stdout, stderr } = await run(cwd, 'repro', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(existsSync(join(cwd, 'results'))).toBe(false);
  });
});
