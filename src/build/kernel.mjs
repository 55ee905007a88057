// Compiles the modelled kernel (AssemblyScript) to WebAssembly: every build from the same sources, in one process, and
// only when a source changed. Also writes the exports' TypeScript types, so that host code is checked against the kernel.
//
//   node src/build/kernel.mjs                             all builds -> dist/kernel/<build>.wasm
//   node src/build/kernel.mjs --only fast,perturbed       some
//   node src/build/kernel.mjs --entry FILE --out NAME     another entry file -> dist/kernel/NAME-<build>.wasm
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { addBranchHints, shiftSourceMap } from './branch-hints.mjs';
import { exportsDeclaration } from './kernel-exports.mjs';
import { ROOT, hashFiles, listFiles, messageOf, readIfThere, replaceFile } from './files.mjs';
import { raiseInlining } from './inlining.mjs';
import { withLock } from './lock.mjs';

const SOURCES = path.join(ROOT, 'src/kernel');
const OUTPUT = path.join(ROOT, 'dist/kernel');
const BUILDS = ['fast', 'fast-stat', 'perturbed', 'controlled'];

/**
 * Memory: imported, so that every thread's instance shares one; declared as small as it can be and up to 4 GiB, so that any
 * shard fits. asc's static data, if any, lies below the kernel's own (64 KiB up). --debug keeps function names for traces;
 * the code is the same with and without it.
 */
const FLAGS = [
  ['-O3', '--runtime', 'stub', '--use', 'abort=', '--debug', '--sourceMap', '--noColors'],
  ['--enable', 'threads', '--importMemory', '--noExportMemory', '--sharedMemory'],
  ['--initialMemory', '1', '--maximumMemory', '65536', '--memoryBase', '1024'],
  ['--bindings', 'raw', '--baseDir', ROOT],
].flat();

/** Functions called seldom (checks that fail, locks that are contended): the test in front of the call is hinted as not taken. */
const RARE = [
  'point/perturbSlow',
  'oops/oops',
  'mm/page/badRefcount',
  ...['rcu/wakeWaiting', 'srcu/wakeDraining', 'word/wordLockSlow', 'word/wordUnlockSlow'].map((name) => `sync/${name}`),
  ...['rwlockReadSlow', 'rwlockWriteSlow', 'rwlockWake'].map((name) => `sync/rwlock-slow/${name}`),
  ...['rwsemReadSlow', 'rwsemWriteSlow', 'rwsemWake'].map((name) => `sync/rwsem-slow/${name}`),
  ...['lockdepCheck', 'lockdepRemove'].map((name) => `sync/lockdep/${name}`),
  ...['lockstatAttach', 'lockstatSample', 'lockstatSampled'].map((name) => `sync/lockstat/${name}`),
].map((name) => `src/kernel/${name}`);

const ENTRY = 'src/kernel/index.ts';
/** The controlled build's entry: the kernel and what its scheduler calls. */
const CONTROLLED_ENTRY = 'src/kernel/control/index.ts';

/**
 * Virtual threads: Asyncify instruments what can reach a suspension. That happens inside the module (src/kernel/control/threads.ts), no import
 * suspends by itself. The passes behind it tidy up the locals it introduces.
 */
const ASYNCIFY = [
  '--exportTable',
  '--runPasses',
  'asyncify,simplify-locals,coalesce-locals,reorder-locals,merge-blocks,vacuum',
];
class AsyncifyArguments {
  afterCompile() {
    /** @type {{ binaryen: { setPassArgument(key: string, value: string): void } }} */ (
      /** @type {unknown} */ (this)
    ).binaryen //
      .setPassArgument('asyncify-ignore-imports', '1');
  }
}

/**
 * @param {string} build name of a file in src/kernel/build
 * @param {string} entry relative to the root
 * @param {string} name of the output, without extension
 * @returns {Promise<Map<string, string | Uint8Array>>} what asc wrote, by file extension
 */
async function compile(build, entry, name) {
  // Worth 8 % of a fault's and of a cycle's time. Asyncify would only make more code of it.
  await raiseInlining(build !== 'controlled');
  const { default: asc } = await import('assemblyscript/asc');
  /** @type {Map<string, string | Uint8Array>} */
  const written = new Map();
  let messages = '';
  const sink = { write: (/** @type {string | Uint8Array} */ text) => void (messages += text) };
  // A second round of optimization is worth 12 % of a fault's time: for the build that is measured.
  const rounds = build === 'fast' ? ['--converge'] : [];
  const controlled = build === 'controlled';
  const threads = controlled ? ASYNCIFY : [];
  const source = controlled && entry === ENTRY ? CONTROLLED_ENTRY : entry;
  const { error } = await asc.main(
    [`src/kernel/build/${build}.ts`, source, ...FLAGS, ...rounds, ...threads, '--outFile', `${name}.wasm`],
    {
      stdout: sink,
      stderr: sink,
      transforms: controlled ? [/** @type {any} */ (AsyncifyArguments)] : [],
      writeFile: (file, contents) => void written.set(file.slice(name.length), contents),
    },
  );
  if (error !== null) throw new Error(`kernel build '${build}':\n${messages}${messageOf(error)}`);
  messages = messages.replace('Last converge was suboptimal.', '').trim();
  if (messages !== '') process.stderr.write(`${messages}\n`);
  return written;
}

/**
 * @param {string[]} builds
 * @param {string} entry relative to the root
 * @param {string} prefix of the output files' names
 */
async function compileAll(builds, entry, prefix) {
  const started = performance.now();
  const typesOf = builds.includes('perturbed') ? 'perturbed' : builds[0];
  for (const build of builds) {
    const name = prefix + build;
    const written = await compile(build, entry, name);
    const module = written.get('.wasm');
    const map = written.get('.wasm.map');
    if (!(module instanceof Uint8Array) || map === undefined) throw new Error(`asc wrote no module for '${build}'`);
    const { bytes, moved } = addBranchHints(module, RARE);
    replaceFile(path.join(OUTPUT, `${name}.wasm.map`), shiftSourceMap(String(map), moved));
    replaceFile(path.join(OUTPUT, `${name}.wasm`), bytes);
    if (build === typesOf) {
      const types = prefix === '' ? 'exports' : prefix.slice(0, -1);
      replaceFile(path.join(OUTPUT, `${types}.d.ts`), exportsDeclaration(String(written.get('.d.ts')), entry));
      replaceFile(path.join(OUTPUT, `${types}.js`), 'export {};\n');
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stderr.write(`kernel: ${builds.map((build) => prefix + build).join(', ')} compiled in ${seconds} s\n`);
}

/**
 * @param {string[]} builds
 * @param {string} entry relative to the root
 * @param {string} prefix
 */
async function buildWhenChanged(builds, entry, prefix) {
  const own = ['kernel.mjs', 'kernel-exports.mjs', 'branch-hints.mjs', 'inlining.mjs'].map((name) =>
    path.join(ROOT, 'src/build', name),
  );
  const sources = [...new Set([...listFiles(SOURCES, /\.ts$/), path.resolve(ROOT, entry), ...own])];
  const compiler = readIfThere(path.join(ROOT, 'node_modules/assemblyscript/package.json')) ?? '';
  const stale = builds.filter((build) => {
    const stamp = path.join(OUTPUT, `.${prefix}${build}.stamp`);
    const there = existsSync(path.join(OUTPUT, `${prefix}${build}.wasm`));
    return !there || readIfThere(stamp) !== hashFiles(sources, compiler);
  });
  if (stale.length === 0) return;
  const hash = hashFiles(sources, compiler);
  await compileAll(stale, entry, prefix);
  for (const build of stale) replaceFile(path.join(OUTPUT, `.${prefix}${build}.stamp`), hash);
}

async function main() {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, entry: { type: 'string' }, out: { type: 'string' } },
  });
  if ((values.entry === undefined) !== (values.out === undefined)) throw new Error('--entry and --out go together');
  const builds = values.only?.split(',') ?? BUILDS;
  const unknown = builds.filter((build) => !existsSync(path.join(SOURCES, 'build', `${build}.ts`)));
  if (unknown.length > 0) throw new Error(`no build '${unknown.join(', ')}' in src/kernel/build`);
  const entry = path.relative(ROOT, path.resolve(values.entry ?? path.join(ROOT, ENTRY)));
  mkdirSync(OUTPUT, { recursive: true });
  const prefix = values.out === undefined ? '' : `${values.out}-`;
  await withLock(path.join(OUTPUT, '.lock'), () => buildWhenChanged(builds, entry, prefix));
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
