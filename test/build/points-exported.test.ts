// Every point is exported from both controlled builds: one that is not may be inlined, and then the function it was called in is taken for the top of a stack
// and cannot be unwound (the execution ends as a crash).
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const source = (file: string): string =>
  readFileSync(new URL(`../../src/kernel/control/${file}`, import.meta.url), 'utf8');
const points = [...source('threads.ts').matchAll(/^export function (point\w+|block)\(/gm)].map(([, name]) => name!);

it('threads.ts has points', () => expect(points).toContain('pointRelax'));

it.each(['index.ts', 'program.ts'])('%s exports each of them', (file) => {
  const exported = /^export \{([^}]*)\} from '\.\/threads';$/m
    .exec(source(file))![1]!
    .split(',')
    .map((name) => name.trim());
  expect(exported).toEqual(expect.arrayContaining(points));
});
