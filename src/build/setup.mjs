// Brings a checkout to a state that runs: packages, kernel, TypeScript; each only when something changed. Needs nothing but
// Node and npm beforehand. Everything it says goes to stderr, so that a command's stdout carries nothing but its result.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { ROOT, hashFiles, listFiles, messageOf, readIfThere, replaceFile } from './files.mjs';
import { withLock } from './lock.mjs';

const LOCK_FILE = path.join(ROOT, 'package-lock.json');
const MODULES = path.join(ROOT, 'node_modules');
const MODULES_STAMP = path.join(MODULES, '.rmptorture-setup');
const TYPES_STAMP = path.join(ROOT, 'dist/.types.stamp');
const TYPED_ROOMS = ['src', 'workers', 'bench', 'test'];

/** Runs a program with its output on stderr. @param {string} command @param {string[]} args @returns {boolean} success */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2] });
  if (error !== undefined) process.stderr.write(`${command}: ${error.message}\n`);
  return status === 0;
}

/** True when node_modules holds exactly what the lock file asks for (npm keeps its own record of what it installed). */
function modulesMatchLockFile() {
  const installed = readIfThere(path.join(MODULES, '.package-lock.json'));
  if (installed === undefined) return false;
  /** @type {Record<string, { version: string }>} */
  const there = JSON.parse(installed).packages;
  /** @type {Record<string, { version: string, optional?: boolean }>} */
  const wanted = JSON.parse(readFileSync(LOCK_FILE, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([where, { version, optional }]) =>
      where === '' || there[where]?.version === version || (optional === true && there[where] === undefined),
  );
}

function installPackages() {
  const hash = hashFiles([LOCK_FILE]);
  if (readIfThere(MODULES_STAMP) === hash) return true;
  if (!modulesMatchLockFile()) {
    process.stderr.write('setup: installing packages (npm ci)\n');
    const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
    // npm starts as a .cmd file on Windows; as a script of this very Node everywhere when npm started us.
    const npm = process.env['npm_execpath'];
    const installed = npm?.endsWith('.js') ? run(process.execPath, [npm, ...args]) : run('npm', args);
    if (!installed) return false;
  }
  replaceFile(MODULES_STAMP, hash);
  return true;
}

/** Names, sizes and times of all that tsc reads of ours: cheaper to compare than starting tsc. */
function typesFingerprint() {
  const files = TYPED_ROOMS.filter((room) => existsSync(path.join(ROOT, room)))
    .flatMap((room) => listFiles(path.join(ROOT, room), /\.(ts|mjs|json)$/))
    .concat(
      ['package.json', 'tsconfig.json', 'tsconfig.base.json', 'vitest.config.ts'].map((name) => path.join(ROOT, name)),
    );
  const declarations = path.join(ROOT, 'dist/kernel/exports.d.ts');
  if (existsSync(declarations)) files.push(declarations);
  return files
    .map((file) => {
      const { size, mtimeMs } = statSync(file);
      return `${file} ${size} ${mtimeMs}`;
    })
    .join('\n');
}

function compileTypes() {
  const fingerprint = typesFingerprint();
  if (readIfThere(TYPES_STAMP) === fingerprint) return true;
  const compiled = run(process.execPath, [path.join(MODULES, 'typescript/lib/tsc.js'), '-b', 'test']);
  if (compiled) replaceFile(TYPES_STAMP, fingerprint);
  return compiled;
}

/** A broken kernel does not keep TypeScript from being checked, nor the other way round. */
function setup() {
  if (!installPackages()) return false;
  const kernel = run(process.execPath, [path.join(ROOT, 'src/build/kernel.mjs')]);
  const types = compileTypes();
  return kernel && types;
}

try {
  mkdirSync(path.join(ROOT, 'dist'), { recursive: true });
  if (!(await withLock(path.join(ROOT, 'dist/.setup.lock'), setup))) process.exitCode = 1;
} catch (error) {
  process.stderr.write(`setup: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
