// The programs in examples/ run as their first lines say, from outside the library: they import the package by its name. The load test among them is
// one of the tests (vitest.config.ts).
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const node = (...args: string[]): string => execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' });

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
});
