// House rules, enforced on every tracked file; and each rule proved to fire on a planted mistake.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { unusedKernelFunctions } from './tidy/kernel-exports.js';
import { LINES_PER_FILE, LINES_PER_FUNCTION, RULES, type RuleName } from './tidy/rules.js';
import { codeOf, functionsOf } from './tidy/source.js';

/** Exceptions, by rule and file, each with its reason. An exception that is no longer needed fails. */
const ALLOWED: Partial<Record<RuleName, Record<string, string>>> = {
  'raw atomics': {
    'src/explore/visited.ts': "the explorer's own table, which its workers share: no memory of the model",
  },
  'raw kernel memory': {
    'src/kernel/control/freed.ts': 'looks and reports at a point, where the accessors would be points again',
    'src/kernel/control/journal.ts':
      'compares the state with what the search knew, between steps, outside of every thread',
    'src/kernel/control/state.ts': 'copies the state as a whole, between executions',
    'src/kernel/control/threads.ts': "the points themselves: the scheduler's notes lie outside of the state",
  },
};

const BINARY = /\.(?:png|gz|wasm|ico|bin)$/;
const files = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && !BINARY.test(file) && existsSync(file));
const texts = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));
const ruleNames = Object.keys(RULES) as RuleName[];

describe('every tracked file keeps the rule', () => {
  it('is looked at', () => {
    expect(files).toContain('src/build/setup.mjs');
  });

  it.each(ruleNames)('%s', (name) => {
    const { applies, check } = RULES[name];
    const exceptions = ALLOWED[name] ?? {};
    const problems = files
      .filter((file) => applies(file))
      .flatMap((file) => {
        const found = check(file, texts.get(file)!);
        if (!(file in exceptions)) return found.map((problem) => `${file}:${problem}`);
        return found.length > 0 ? [] : [`${file}: the exception is no longer needed`];
      });
    expect(problems).toEqual([]);
  });
});

const lines = (count: number): string => '  x;\n'.repeat(count);
const unfinishedWord = ['TO', 'DO'].join('');

/** One mistake and, beside it, the nearest text that is none. */
const PLANTED: [rule: RuleName, file: string, bad: string, good: string][] = [
  ['import order', 'src/kernel/kvm/vm.ts', `import { x } from '../../host/shard';`, `import { x } from '../mm/page';`],
  ['import order', 'src/kernel/abi/mm.ts', `import { x } from '../point';`, `// import { x } from '../point';`],
  ['import order', 'src/kernel/task.ts', `import { x } from 'node:fs';`, `import { x } from './point';`],
  ['import order', 'src/host/a.ts', `import { x } from '../torture/b.js';`, `import { x } from '../kernel/abi/b.js';`],
  ['import order', 'src/host/a.ts', `import { x } from '../kernel/heap.js';`, `import { x } from '../shm/b.js';`],
  ['import order', 'src/shm/a.ts', `export * from '#src/cli/b.js';`, `export * from '#src/host/b.js';`],
  ['import order', 'src/explore/a.ts', `await import('../report/b.js');`, `await import('../host/b.js');`],
  ['import order', 'src/torture/a.ts', `import '../explore/b.js';`, `import './b.js';`],
  ['import order', 'src/report/a.ts', `import {\n x,\n} from '../cli/b.js';`, `import { x } from '../catalogue/b.js';`],
  ['import order', 'src/index.ts', `import { x } from './cli/b.js';`, `import { x } from './report/b.js';`],
  ['import order', 'workers/a.ts', `import { x } from '#src/report/b.js';`, `import { x } from '../src/explore/b.js';`],
  ['import order', 'src/build/a.mjs', `import { x } from '../host/b.js';`, `import { x } from './b.mjs';`],
  ['import order', 'test/a.test.ts', `import { x } from '../src/host/b.js';`, `import { x } from '#src/host/b.js';`],
  ['import order', 'src/shm/a.ts', `import '../cli/b.js';`, `const x = "import '../cli/b.js';";`],
  ['raw atomics', 'src/torture/a.ts', 'Atomics.load(v, 0);', '// Atomics.load(v, 0);'],
  ['raw atomics', 'workers/a.ts', 'const x = `${Atomics.add(v, 0, 1)}`;', "const x = 'Atomics.add(v, 0, 1)';"],
  ['random numbers', 'test/a.test.ts', 'const x = Math.random();', "it('uses no Math.random', () => {});"],
  ['clocks', 'src/cli/a.ts', 'const t = Date.now();', 'const t = nowNs();'],
  ['clocks', 'test/a.test.ts', 'performance.now()', '/* performance.now() */'],
  ['clocks', 'workers/a.ts', 'process.hrtime.bigint()', 'process.pid'],
  ['console output', 'src/report/a.ts', "console.log('x');", "log.info('x');"],
  ['raw kernel memory', 'src/kernel/kvm/vm.ts', 'load<u32>(p);', 'load32(p);'],
  ['raw kernel memory', 'src/kernel/kvm/vm.ts', 'store <u8>(p, 1);', 'store8(p, 1);'],
  ['raw kernel memory', 'src/kernel/kvm/vm.ts', 'atomic.add<u32>(p, 1);', 'atomicAdd32(p, 1);'],
  ['raw kernel memory', 'src/kernel/kvm/vm.ts', 'memory.fill(p, 0, 8);', 'fillBytes(p, 0, 8);'],
  ['raw kernel memory', 'src/kernel/kvm/vm.ts', 'i32.load(p);', '// i32.load(p);'],
  ['raw kernel memory', 'src/kernel/kvm/vm.ts', 'i64.atomic.rmw.add(p, 1);', 'i64.MAX_VALUE;'],
  ['focused or skipped tests', 'test/a.test.ts', "it.only('x', () => {});", "it.each(x)('x', () => {});"],
  ['focused or skipped tests', 'test/a.test.ts', "describe.skip('x', () => {});", "describe('it.skip', () => {});"],
  ['opening comment', 'src/host/a.ts', 'export const x = 1;', '// What it is.\nexport const x = 1;'],
  ['opening comment', 'src/cli/bin.ts', '#!/usr/bin/env node\nx();', '#!/usr/bin/env node\n// What it is.\nx();'],
  ['file length', 'src/host/a.ts', lines(LINES_PER_FILE + 1), lines(LINES_PER_FILE)],
  [
    'function length',
    'src/host/a.ts',
    `function f(): { a: number } {\n${lines(LINES_PER_FUNCTION - 1)}}`,
    `function f(): { a: number } {\n${lines(LINES_PER_FUNCTION - 2)}}\nfunction g() {\n}`,
  ],
  ['one title', 'docs/a.md', '# A\n# B\n', '# A\n```sh\n# comment\n```\n## B\n'],
  ['one title', 'README.md', 'text\n', '# A\n'],
  ['unfinished work', 'docs/a.md', `${unfinishedWord}: more`, 'nothing to do'],
];

describe('the rule fires on a mistake and on nothing else', () => {
  it.each(PLANTED)('%s in %s (case %#)', (name, file, bad, good) => {
    const { applies, check } = RULES[name];
    expect(applies(file)).toBe(true);
    expect(check(file, bad)).toHaveLength(1);
    expect(check(file, good)).toEqual([]);
  });

  it('each rule has a planted mistake', () => {
    expect(new Set(PLANTED.map(([name]) => name))).toEqual(new Set(ruleNames));
  });

  it.each([
    ['src/host/clock.ts', 'clocks'],
    ['bench/runner.ts', 'clocks'],
    ['src/host/shard.ts', 'raw atomics'],
    ['src/shm/rwsem.ts', 'raw atomics'],
    ['test/a.test.ts', 'raw atomics'],
    ['src/kernel/point.ts', 'raw kernel memory'],
  ] satisfies [string, RuleName][])('%s is free of the rule on %s', (file, name) => {
    expect(RULES[name].applies(file)).toBe(false);
  });
});

describe('every exported function of the kernel is used', () => {
  it('somewhere in the project', () => {
    expect(unusedKernelFunctions(texts)).toEqual([]);
  });

  const KERNEL = 'export function a(): void {}\nexport function b(): void { a(); }\n';

  it.each([
    ['nowhere', 'src/kernel/b.ts', ''],
    ['by who imports it only', 'src/kernel/b.ts', `import { a, b } from './a';`],
    ['by who passes it on', 'src/kernel/index.ts', `export {\n  b,\n} from './a';`],
    ['in words', 'test/a.test.ts', `it('calls b', () => {}); // b`],
    ['by a function of that name', 'src/cli/a.ts', 'function b() {}'],
  ])('one that is mentioned %s is not', (_, file, text) => {
    expect(unusedKernelFunctions(new Map([['src/kernel/a.ts', KERNEL]]).set(file, text))).toEqual([
      'src/kernel/a.ts:2: b',
    ]);
  });

  it.each([
    ['the kernel', 'src/kernel/b.ts', `import { b } from './a';\nb();`],
    ['the host', 'src/host/a.ts', 'shard.x.b();'],
    ['a test', 'test/a.test.ts', 'expect(k.x.b()).toBe(0);'],
    ['a thread', 'bench/a.ts', `await thread.call('b', 1);`],
  ])('one that %s calls is', (_, file, text) => {
    expect(unusedKernelFunctions(new Map([['src/kernel/a.ts', KERNEL]]).set(file, text))).toEqual([]);
  });
});

describe('the lexer of the rules', () => {
  it('blanks comments, strings and regular expressions, and keeps lines and code inside templates', () => {
    const source = 'a /* b\n */ + "c//d" + `e${f({ g: `h` })}i` / 2; // j\nk = /["`]l/.test(m);';
    const code = codeOf(source);
    expect(code.match(/[a-z]\w*/g)).toEqual(['a', 'f', 'g', 'k', 'test', 'm']);
    expect(code.split('\n').map((line) => line.length)).toEqual(source.split('\n').map((line) => line.length));
  });

  it('finds functions, methods and arrow functions, and takes no call or loop for one', () => {
    const source = [
      'export async function a<T>(b: { c: T }): Promise<{ d: T }> {', // 1
      '  for (const e of f(b)) {', // 2
      '    g(e);', // 3
      '  }', // 4
      '  if (h) {', // 5
      '  }', // 6
      '}', // 7
      'class I {', // 8
      '  private static j(k: () => void = () => {}): void {', // 9
      '  }', // 10
      '}', // 11
      '@inline export function l(m: u32): u32 { return m; }', // 12
      'const n = (): number => {', // 13
      '};', // 14
      'function o(p = {}): () => void {', // 15
      '}', // 16
      'function q(r: number): number;', // 17
    ].join('\n');
    const found = functionsOf(source).map(({ name, line, length }) => `${name} ${line} ${length}`);
    expect(found.toSorted()).toEqual(['a 1 7', 'arrow 13 2', 'arrow 9 1', 'j 9 2', 'l 12 1', 'o 15 2']);
  });
});
