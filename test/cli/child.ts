// The command line in a child process, in a folder of its own with a small profile.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { documentIn } from '../schemas.js';
import { type Ran, run as runInThisProcess } from './run.js';

export const BIN = fileURLToPath(new URL('../../dist/src/cli/bin.js', import.meta.url));

export const PROFILE = `
host: { memory: 64MiB }
vms:
  - { name: g, memory: 4MiB }
actors:
  - { kind: vcpu }
  - { kind: invalidator, rate: 50/s, range: { pages: [1, 16] } }
duration: 100ms
`;

export const VIOLATED = PROFILE.replace('duration: 100ms', 'duration: 1h\nvariants: [B05]').replace(', rate: 50/s', '');

/** The first hole punch never comes back from the hook; the watchdog has patience. */
export const STUCK = `${PROFILE.replace('50/s', '1000/s')}hook: ./hook.mjs\nstuckAfter: 10m\n`;
const HOOK = `import { isMainThread } from 'node:worker_threads';
import { writeSync } from 'node:fs';
export default () => { if (!isMainThread) { writeSync(2, 'in the hook\\n'); for (;;); } };
`;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** An empty working folder, but for a small profile. */
export function folder(profile = PROFILE): string {
  const path = mkdtempSync(join(tmpdir(), 'cli-'));
  writeFileSync(join(path, 'small.yaml'), profile);
  if (profile.includes('hook.mjs')) writeFileSync(join(path, 'hook.mjs'), HOOK);
  return path;
}

const running = new Set<ChildProcess>();

afterAll(() => {
  // Only when a test has failed is any of them still there.
  for (const child of running) child.kill('SIGKILL');
});

export function start(cwd: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [BIN, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const ended: Ended = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ended.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ended.stderr += text));
  return {
    child,
    ended: new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        running.delete(child);
        // As a shell tells the end by a signal.
        resolve({ ...ended, code: signal === null ? code : 128 + constants.signals[signal] });
      });
    }),
  };
}

export const run = async (cwd: string, ...args: string[]): Promise<Ended> => {
  const ended = await start(cwd, args).ended;
  if (args.includes('--json') && ended.stdout !== '') documentIn(ended.stdout);
  return ended;
};

/** As `run`, but in this process: for what ends before any thread starts. */
export async function runHere(cwd: string, ...args: string[]): Promise<Ran> {
  const before = process.cwd();
  process.chdir(cwd);
  try {
    return await runInThisProcess(...args);
  } finally {
    process.chdir(before);
  }
}
