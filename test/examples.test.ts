// The programs in examples/ run as their first lines say, from outside the library: they import the package by its name, from the tarball that npm would
// publish, unpacked into an empty project. The load test among them is also one of the tests (vitest.config.ts).
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'packed-'));
const installed = join(project, 'node_modules/rmptorture');

/** Runs a program in the project; its stdout. */
function run(program: string, ...args: string[]): string {
  const env = { ...process.env };
  delete env['VITEST'];
  return execFileSync(program, args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env });
}
const node = (...args: string[]): string => run(process.execPath, ...args);

/**
 * What `npm install <tarball>` leaves, without the network: the tarball's files, beside the packages that it depends on, which are taken from our own
 * node_modules. What the tarball lacks, or a dependency that is not declared, is missed as it would be there.
 */
beforeAll(() => {
  const packed = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as [{ filename: string }];
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(project, packed[0].filename), '--strip-components=1', '-C', installed]);
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; link?: boolean }>;
  };
  // Production packages of the top level, with what lies inside them; and vitest for the load test, as its user would have it.
  for (const [where, { dev }] of Object.entries(packages)) {
    const top = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(where)?.[1];
    if (top === undefined || dev === true || !existsSync(join(root, where))) continue;
    mkdirSync(join(project, where, '..'), { recursive: true });
    symlinkSync(join(root, where), join(project, where));
  }
  symlinkSync(join(root, 'node_modules/vitest'), join(project, 'node_modules/vitest'));
  writeFileSync(join(project, 'package.json'), '{ "name": "user", "private": true, "type": "module" }\n');
  cpSync(join(installed, 'examples'), join(project, 'examples'), { recursive: true });
});

describe('the tarball', () => {
  it('has what a user needs, and neither tests nor build tools', () => {
    const files = readdirSync(installed);
    expect(files).toEqual(
      expect.arrayContaining(['dist', 'config', 'examples', 'README.md', 'LICENSE', 'CHANGELOG.md']),
    );
    expect(existsSync(join(installed, 'dist/test'))).toBe(false);
    expect(existsSync(join(installed, 'dist/kernel/perturbed.wasm'))).toBe(true);
  });

  it('runs the command line, which finds its own profiles', () => {
    const bin = join(installed, 'dist/src/cli/bin.js');
    expect(node(bin, '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
    const out = node(bin, 'torture', '--duration', '200ms', '--set', 'host.memory=64MiB', '--out', 'out', '--quiet');
    expect(out).toMatch(/\nviolations: none\n/);
    const { environment } = JSON.parse(readFileSync(join(project, 'out/result.json'), 'utf8')) as {
      environment: { version: string; commit?: string };
    };
    expect(environment.version).toMatch(/^\d/);
    expect(environment.commit).toBeUndefined();
  });

  it('exports its three entries', () => {
    const names = ['rmptorture', 'rmptorture/shm', 'rmptorture/explore'];
    const program = names.map((name) => `console.log(Object.keys(await import('${name}')).length > 3)`).join(';');
    expect(node('--input-type=module', '-e', program)).toBe('true\ntrue\ntrue\n');
  });
});

describe('the examples', () => {
  it('use the package by its name, and nothing of its inside', () => {
    for (const name of readdirSync(`${root}/examples`)) {
      const imports = [...readFileSync(`${root}/examples/${name}`, 'utf8').matchAll(/ from '([^']+)'/g)];
      const allowed = /^(node:.*|rmptorture(\/shm|\/explore)?|vitest)$/;
      expect(
        imports.map(([, from]) => from).filter((from) => !allowed.test(from!)),
        name,
      ).toEqual([]);
    }
  });

  it('own threads touch and punch, and nothing breaks', () => {
    expect(node('examples/own-threads.mjs', '3')).toMatch(
      /^6144 touches on two threads, \d+ holes punched under them, nothing broken\n$/,
    );
  });

  it('a load prints its table', () => {
    const text = node('examples/load.mjs', '1k/s', '200ms');
    expect(text).toMatch(/│ *'?punch_hole'? *│ *\d+ *│/);
    expect(text).toMatch(/\ninvalidator0: \d+\.\d\d % missed\n/);
  });

  it('a load test runs under Vitest', () => {
    const vitest = join(project, 'node_modules/vitest/vitest.mjs');
    // Skipped when the machine was too busy to measure.
    expect(node(vitest, 'run', 'examples/load.test.mjs')).toMatch(/Tests .*1 (?:passed|skipped)/);
  });
});
