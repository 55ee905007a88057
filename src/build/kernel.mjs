// Compiles the modelled kernel (AssemblyScript) to WebAssembly: every build from the same sources, in one process (a thread each), and
// only when a source changed. Also writes the exports' TypeScript types, so that host code is checked against the kernel.
//
//   node src/build/kernel.mjs                             all builds -> dist/kernel/<build>.wasm
//   node src/build/kernel.mjs --only fast,perturbed       some
//   node src/build/kernel.mjs --entry FILE --out NAME     another entry file -> dist/kernel/NAME-<build>.wasm
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { ENTRY } from './compile.mjs';
import { exportsDeclaration } from './kernel-exports.mjs';
import { ROOT, hashFiles, listFiles, messageOf, readIfThere, replaceFile } from './files.mjs';
import { withLock } from './lock.mjs';

/** @typedef {import('./compile.mjs').Compiled} Compiled */

const SOURCES = path.join(ROOT, 'src/kernel');
const OUTPUT = path.join(ROOT, 'dist/kernel');
const BUILDS = ['fast', 'fast-stat', 'perturbed', 'controlled'];
/** The longest first, so that threads end at about the same time. */
const SLOW = ['controlled', 'perturbed'];

/**
 * Compiles the builds, as many at once as there are processors for, and writes each as it is done.
 * @param {string[]} builds
 * @param {string} entry relative to the root
 * @param {string} prefix of the output files' names
 */
async function compileAll(builds, entry, prefix) {
  const started = performance.now();
  const typesOf = builds.includes('perturbed') ? 'perturbed' : builds[0];
  const queue = builds.toSorted((a, b) => SLOW.indexOf(b) - SLOW.indexOf(a));
  const lanes = Array.from({ length: Math.min(availableParallelism(), queue.length) }, async () => {
    const thread = new Worker(new URL('compile-thread.mjs', import.meta.url));
    try {
      for (let build = queue.shift(); build !== undefined; build = queue.shift()) {
        const compiled = await compileOn(thread, { build, entry, name: prefix + build });
        write(prefix + build, compiled);
        if (build === typesOf) writeTypes(prefix === '' ? 'exports' : prefix.slice(0, -1), compiled, entry);
      }
    } finally {
      await thread.terminate();
    }
  });
  await Promise.all(lanes);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stderr.write(`kernel: ${builds.map((build) => prefix + build).join(', ')} compiled in ${seconds} s\n`);
}

/**
 * @param {Worker} thread
 * @param {{ build: string, entry: string, name: string }} job
 * @returns {Promise<Compiled>}
 */
async function compileOn(thread, job) {
  thread.postMessage(job);
  const [{ compiled, failure }] = await once(thread, 'message');
  if (failure !== undefined) throw new Error(failure);
  return compiled;
}

/**
 * @param {string} name of the output, without extension
 * @param {Compiled} compiled
 */
function write(name, { module, map, messages }) {
  if (messages !== '') process.stderr.write(`${messages}\n`);
  replaceFile(path.join(OUTPUT, `${name}.wasm.map`), map);
  replaceFile(path.join(OUTPUT, `${name}.wasm`), module);
}

/**
 * @param {string} name of the output, without extension
 * @param {Compiled} compiled
 * @param {string} entry
 */
function writeTypes(name, { types }, entry) {
  replaceFile(path.join(OUTPUT, `${name}.d.ts`), exportsDeclaration(types, entry));
  replaceFile(path.join(OUTPUT, `${name}.js`), 'export {};\n');
}

/**
 * @param {string[]} builds
 * @param {string} entry relative to the root
 * @param {string} prefix
 */
async function buildWhenChanged(builds, entry, prefix) {
  const own = ['kernel.mjs', 'compile.mjs', 'kernel-exports.mjs', 'branch-hints.mjs', 'inlining.mjs'].map((name) =>
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
