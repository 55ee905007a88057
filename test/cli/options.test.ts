// Options that every command has, and what is refused before it costs time.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentIn } from '../schemas.js';
import { folder, run, runHere } from './child.js';

describe('repro', () => {
  it.each(['states', 'shortest'])(
    'sends who wants --strategy %s to explore, and says what is right here',
    async (name) => {
      const cwd = folder();
      const { code, stderr } = await runHere(cwd, 'repro', 'B05', '--strategy', name);
      expect(stderr).toMatch(
        new RegExp(
          `^--strategy ${name}: goes with explore, as in rmptorture explore B05 --variant B05 --strategy ${name}; known here are portfolio, .*dpor\n$`,
        ),
      );
      expect({ code, left: readdirSync(cwd) }).toEqual({ code: 2, left: ['small.yaml'] });
    },
  );
});

describe('bench', () => {
  it('refuses a name that it could not save under before it measures', async () => {
    const { code, stdout, stderr } = await run(folder(), 'bench', '--save', '../x', 'locks');
    const message = 'bench: "../x" is not a name; use letters, digits, "-", "_" and "."\n';
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: message });
  });

  it('refuses places that it could not write to before it measures', async () => {
    const cwd = folder();
    writeFileSync(join(cwd, 'results'), '');
    expect(await run(cwd, 'bench', '--save', 'x', 'locks')).toEqual({
      code: 2,
      stdout: '',
      stderr: '--save results/bench: a file is in the way; name another folder\n',
    });
    const refused = { code: 2, stdout: '', stderr: '--out results: a file is in the way; name another folder\n' };
    expect(await run(cwd, 'bench', '--out', 'results', 'locks')).toEqual(refused);
  });
});

describe('replay and report', () => {
  it('write and print their documents', async () => {
    const cwd = folder();
    expect((await runHere(cwd, 'repro', 'B05', '--out', 'bug')).code).toBe(0);
    const replayed = await runHere(cwd, 'replay', 'bug/B05.trace.json', '--out', 'again', '--quiet', '--no-color');
    expect(replayed.code).toBe(1);
    const document = documentIn(readFileSync(join(cwd, 'again/result.json'), 'utf8'));
    expect(document).toMatchObject({ command: 'replay', verdict: 'violation', trace: 'bug/B05.trace.json' });
    expect((await runHere(cwd, 'replay', 'bug/B05.trace.json', '--out', 'again')).code).toBe(2);
    expect((await run(cwd, 'torture', 'small.yaml', '--out', 'run')).code).toBe(0);
    const json = await runHere(cwd, 'report', 'run', '--json', '--no-color');
    expect(JSON.parse(json.stdout)).toMatchObject({ command: 'report', folder: 'run', file: 'run/report.html' });
    expect(await runHere(cwd, 'report', 'run', '--quiet')).toMatchObject({ code: 0, stdout: '' });
    expect(existsSync(join(cwd, 'run/report.html'))).toBe(true);
  });

  it('report says what it was given in place of a result', async () => {
    const cwd = folder();
    for (const [text, what] of [
      ['{}', 'a document without a schema'],
      ['null', 'a document without a schema'],
      ['{"schema":"rmptorture/bench/1"}', 'rmptorture/bench/1'],
    ] as const) {
      writeFileSync(join(cwd, 'result.json'), text);
      const { code, stderr } = await runHere(cwd, 'report', '.');
      expect({ code, stderr }).toEqual({ code: 2, stderr: `result.json: no result of torture, but ${what}\n` });
    }
  });
});

it('import of a log of which no document can be made says so', async () => {
  const cwd = folder();
  const fault = '[1.0] BUG: KASAN: slab-use-after-free in kvm_unmap_gfn_range+0x12/0x80\n';
  writeFileSync(join(cwd, 'host.log'), fault);
  const { code, stderr } = await runHere(cwd, 'import', 'host.log', '--out', 'made');
  expect(stderr).toBe('import: host.log: nothing in it that a document can be made of; no file was written\n');
  expect({ code, left: readdirSync(cwd).toSorted() }).toEqual({ code: 0, left: ['host.log', 'small.yaml'] });
});
