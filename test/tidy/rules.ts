// The house rules that a program can check. Each rule reads one file and returns what is wrong with it.
import path from 'node:path';
import { blank, codeOf, functionsOf, lineAt } from './source.js';

export const LINES_PER_FILE = 400;
export const LINES_PER_FUNCTION = 60;

/** Returns problems, each as `line: what`. */
type Check = (file: string, text: string) => string[];
export interface Rule {
  applies: (file: string) => boolean;
  check: Check;
}

const isCode = (file: string): boolean => /\.(?:ts|mjs)$/.test(file);
const isKernel = (file: string): boolean => file.startsWith('src/kernel/') && file.endsWith('.ts');
const isOurs = (file: string): boolean => isCode(file) && /^(?:src|workers|bench)\//.test(file);
const isWithin = (file: string, rooms: readonly string[]): boolean => rooms.some((room) => file.startsWith(room));

/** What a room may import besides itself. `src/` is the library's front: index.ts and its neighbours. */
const HOST = ['src/kernel/abi/', 'src/host/', 'src/shm/'];
const ENGINES = [...HOST, 'src/torture/', 'src/explore/'];
const MAY_IMPORT: [room: string, imports: string[]][] = [
  ['src/kernel/abi/', []],
  ['src/kernel/', []],
  ['src/host/', HOST],
  ['src/shm/', HOST],
  ['src/torture/', HOST],
  ['src/explore/', HOST],
  ['src/catalogue/', ENGINES],
  ['src/import/', [...HOST, 'src/explore/', 'src/catalogue/']],
  ['src/report/', [...ENGINES, 'src/catalogue/', 'src/import/']],
  ['src/schemas/', ENGINES],
  ['src/cli/', [...ENGINES, 'src/catalogue/', 'src/import/', 'src/report/', 'bench/']],
  ['src/build/', []],
  ['src/', [...ENGINES, 'src/catalogue/', 'src/import/', 'src/report/']],
  ['workers/', ENGINES],
  ['bench/', [...ENGINES, 'src/catalogue/', 'src/report/', 'src/index']],
  ['test/', ['src/', 'workers/', 'bench/', 'vitest.config']],
];

const IMPORT = /\b(?:from|import)\s*\(?\s*(['"])([^'"\n]+)\1/g;

/** Path of an import inside the project, without extension; undefined for a package. */
function target(file: string, specifier: string): string | undefined {
  const found = specifier.startsWith('.')
    ? path.posix.join(path.posix.dirname(file), specifier)
    : specifier.replace(/^#/, '');
  return specifier.startsWith('.') || /^#(?:src|workers|bench)\//.test(specifier) ? found : undefined;
}

function importProblem(file: string, specifier: string): string | undefined {
  const found = target(file, specifier);
  const entry = MAY_IMPORT.find(([room]) => file.startsWith(room));
  if (entry === undefined) return undefined;
  const [room, others] = entry;
  if (found === undefined) return isKernel(file) ? 'the kernel imports nothing but itself' : undefined;
  if (room === 'test/' && specifier.startsWith('.') && isWithin(found, ['src/', 'workers/', 'bench/'])) {
    return isWithin(found, ['src/build/'])
      ? undefined
      : 'tests run the compiled code: import #src/..., not a relative path';
  }
  const isNeighbour = room === 'src/' ? /^src\/[^/]+$/.test(found) : found.startsWith(room);
  return isNeighbour || isWithin(found, others) ? undefined : `${room} may not import ${found}`;
}

const importOrder: Check = (file, text) => {
  const code = blank(text, { comments: true, strings: false });
  const bare = codeOf(text); // an `import` inside a string is no import
  const imports = [...code.matchAll(IMPORT)].filter((match) => bare[match.index] !== ' ');
  return imports.flatMap((match) => {
    const problem = importProblem(file, match[2]!);
    return problem === undefined ? [] : [`${lineAt(code, match.index)}: ${problem}`];
  });
};

/** A rule that looks for `pattern` in code, not in comments and strings. */
function banned(pattern: RegExp, why: string, applies: (file: string) => boolean): Rule {
  const check: Check = (_, text) => {
    const code = codeOf(text);
    return [...code.matchAll(pattern)].map((match) => `${lineAt(code, match.index)}: ${match[0]}: ${why}`);
  };
  return { applies, check };
}

const RAW_MEMORY =
  /\b(?:load|store)\s*<|\batomic\.\w+|\bmemory\.(?:copy|fill|compare|repeat|data|atomic)\b|\b(?:[iuf](?:8|16|32|64)|[iu]size|v128)\.(?:load|store|atomic)\w*/g;

// Spelt so that this file does not match.
const UNFINISHED = /\b(?:TO(?:DO)|FIX(?:ME))\b/;

const opening: Check = (_, text) =>
  /^(?:#!.*\n)?\/[/*]/.test(text) ? [] : ['1: begins with no comment saying what the file is'];

const fileLength: Check = (_, text) => {
  const lines = text.trimEnd().split('\n').length;
  return lines > LINES_PER_FILE ? [`1: ${lines} lines, at most ${LINES_PER_FILE}`] : [];
};

const functionLength: Check = (_, text) =>
  functionsOf(text)
    .filter(({ length }) => length > LINES_PER_FUNCTION)
    .map(({ name, line, length }) => `${line}: ${name} has ${length} lines, at most ${LINES_PER_FUNCTION}`);

const oneTitle: Check = (_, text) => {
  const titles = text.replace(/^(```|~~~)[^]*?^\1/gm, '').match(/^# .+/gm) ?? [];
  return titles.length === 1 ? [] : [`1: ${titles.length} titles, there must be one`];
};

const unfinished: Check = (_, text) =>
  text
    .split('\n')
    .flatMap((line, index) => (UNFINISHED.test(line) ? [`${index + 1}: finish it or write it down elsewhere`] : []));

export const RULES = {
  'import order': { applies: isCode, check: importOrder },
  'raw atomics': banned(
    /\bAtomics\.\w+/g,
    'only src/host and src/shm touch shared memory by themselves',
    (file) => isCode(file) && isWithin(file, ['src/', 'workers/']) && !isWithin(file, ['src/host/', 'src/shm/']),
  ),
  'random numbers': banned(/\bMath\.random\b/g, 'runs are reproducible: take numbers from the seed', isCode),
  clocks: banned(
    /\b(?:Date\.now|performance\.now|process\.hrtime)\b/g,
    'the one clock is src/host/clock.ts',
    (file) => isCode(file) && !isWithin(file, ['src/host/clock.ts', 'src/build/', 'bench/']),
  ),
  'console output': banned(
    /\bconsole\.\w+/g,
    'results go through the reporter, logs through the logger',
    (file) => isOurs(file) && file.startsWith('src/'),
  ),
  'raw kernel memory': banned(
    RAW_MEMORY,
    'shared memory is reached through point.ts',
    (file) => isKernel(file) && file !== 'src/kernel/point.ts',
  ),
  'focused or skipped tests': banned(
    /\b(?:it|test|describe|suite)\.(?:only|skip|todo)\b/g,
    'a test runs or does not exist',
    (file) => isCode(file) && file.startsWith('test/'),
  ),
  'opening comment': { applies: isCode, check: opening },
  'file length': { applies: isOurs, check: fileLength },
  'function length': { applies: isOurs, check: functionLength },
  'one title': { applies: (file) => file.endsWith('.md'), check: oneTitle },
  'unfinished work': { applies: () => true, check: unfinished },
} satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;
