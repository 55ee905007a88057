// No check without a planted bug: the tables of plants cover every code of abi/oops.ts, and for each code every file of the kernel that reports it, with as
// many plants as there are places in the file. The tests beside this one run all of the tables.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as codes from '#src/kernel/abi/oops.js';
import { codeOf } from '../tidy/source.js';
import { AUDITS } from './plants/audit.js';
import { EXPLORED } from './plants/explored.js';
import { GUESTS } from './plants/guests.js';
import { LOCKING } from './plants/locking.js';
import { MEMORY } from './plants/memory.js';
import type { Proof } from './plants/plant.js';
import { SLOTS } from './plants/slots.js';
import { VARIANTS } from './plants/variants.js';

/** What needs a program compiled for the explorer is proven where one is compiled anyway. */
const ELSEWHERE: (Proof & { test: string })[] = [
  { code: codes.OOPS_ASSERTION, at: 'control/assert.ts', test: 'test/explore/programs.test.ts' },
];

const PROOFS: readonly Proof[] = [
  ...VARIANTS,
  ...AUDITS,
  ...MEMORY,
  ...GUESTS,
  ...SLOTS,
  ...LOCKING,
  ...EXPLORED,
  ...ELSEWHERE,
];

/** The parts of the audit. */
const AUDIT = ['oracle/audit.ts', 'oracle/bindings.ts'];

const NAMES = new Map(
  Object.entries(codes)
    .filter(([name]) => name.startsWith('OOPS_'))
    .map(([name, code]) => [code as number, name]),
);

const root = fileURLToPath(new URL('../../', import.meta.url));
const codeIn = (file: string): string => codeOf(readFileSync(root + file, 'utf8')).replace(/^import\b[^;]*;/gm, '');
const unique = (lines: string[]): string[] => [...new Set(lines)].toSorted();

/** What is left of a list when each line of the other has taken one like itself away. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = [...lines];
  for (const line of others) if (left.includes(line)) left.splice(left.indexOf(line), 1);
  return left;
}

/** `code by file` for every mention of a code outside of imports. */
function checksOfTheKernel(): string[] {
  const known = new Set(NAMES.values());
  const files = readdirSync(`${root}src/kernel`, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.ts') && !file.startsWith('abi/'))
    .flatMap((file) => [...codeIn(`src/kernel/${file}`).matchAll(/\bOOPS_\w+/g)].map(([name]) => ({ name, file })))
    .filter(({ name }) => known.has(name))
    .map(({ name, file }) => `${name} by ${file}`);
}

describe('every check', () => {
  it('has a planted bug of its own, and every planted bug a check', () => {
    const proven = PROOFS.map(({ code, at }) => `${NAMES.get(code)} by ${at}`);
    const checks = checksOfTheKernel();
    expect(without(checks, proven)).toEqual([]);
    expect(proven.filter((line) => !checks.includes(line))).toEqual([]);
  });

  it('has a code, and no code is without a check', () => {
    expect(unique(PROOFS.map(({ code }) => NAMES.get(code)!))).toEqual(unique([...NAMES.values()]));
  });

  it.each(ELSEWHERE)('$test asserts the code of $at', ({ code, test }) => {
    expect(codeIn(test)).toMatch(new RegExp(`\\bexpect\\([^;]*\\b${NAMES.get(code)}\\b`));
  });
});

describe('docs/oracles.md', () => {
  const rows = [...readFileSync(`${root}docs/oracles.md`, 'utf8').matchAll(/^\| (.+) \|$/gm)]
    .map(([, row]) => row!.split('|').map((cell) => cell.trim()))
    .slice(2);
  const cells = (column: number, pattern: RegExp): string[] =>
    rows.flatMap((row) => [...row[column]!.matchAll(pattern)].map(([text]) => text));

  it('has every code, and no other', () => {
    expect(unique(cells(1, /\d+/g))).toEqual(unique([...NAMES.keys()].map(String)));
  });

  it('names files and tests that exist', () => {
    const files = cells(2, /[\w/-]+\.ts/g).map((file) => `src/kernel/${file}`);
    const tests = cells(5, /[\w/-]+/g).map((test) => `test/${test}.test.ts`);
    expect(files.length).toBeGreaterThan(30);
    expect(tests.length).toBeGreaterThan(60);
    expect([...files, ...tests].filter((file) => !existsSync(root + file))).toEqual([]);
  });

  it('names for each code the file that reports it, unless it is the audit', () => {
    const says = ([, codesOf, inline, audit]: string[], { code, at }: Proof): boolean =>
      codesOf!.split(', ').includes(String(code)) &&
      (AUDIT.includes(at) ? audit !== '' : inline!.includes(`\`${at}\``));
    expect(PROOFS.filter((proof) => !rows.some((row) => says(row, proof)))).toEqual([]);
  });
});
