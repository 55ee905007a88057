// Where a command writes its result files: the folder asked for, which must hold no results yet, or a new one named after the time. It is taken before any work is done, so that
// no result is lost for want of a place, and given back afterwards: while one command works there, no other may.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { wallMs } from '../host/clock.js';
import { UsageError } from '../host/errors.js';
import { interruptible, type Interrupt } from './signals.js';

/** Holds the number of the process that writes to the folder now. */
const CLAIM = '.running';

/** A folder that this process has taken. */
export interface Claim {
  folder: string;
  /** Ends the claim, and takes away again what was made and is empty. */
  release(): void;
}

/**
 * Takes the folder asked for, or a new one, for the time of `work`, in which Ctrl-C and SIGTERM abort a signal. Throws UsageError when nothing can be written there, another
 * process has it, or it holds a result.json.
 */
export async function inFolder<T>(
  asked: string | undefined,
  command: string,
  work: (folder: string, interrupt: Interrupt) => Promise<T>,
): Promise<T> {
  const { folder, release } = asked === undefined ? claimNew(command) : claimAsked(asked);
  const interrupt = interruptible(release);
  try {
    return await work(folder, interrupt);
  } finally {
    interrupt.dispose();
  }
}

/** Makes a folder in which files are to be written, and sees whether they can. Throws UsageError when not. Returns what takes it away again if it was made and is empty. */
export function writableFolder(asked: string, option: string): () => void {
  const folder = folderOf(asked, option);
  const { release } = claim(folder, `${option} ${asked}`);
  rmSync(path.join(folder, CLAIM), { force: true });
  return release;
}

function folderOf(asked: string, option = '--out'): string {
  if (asked.trim() === '') throw new UsageError(option, `${option} '${asked}': expected a folder`);
  return path.resolve(asked);
}

/** Takes the folder for a command that no signal ends in order. */
export function claimAsked(asked: string): Claim {
  const folder = folderOf(asked);
  const claimed = claim(folder, `--out ${asked}`);
  // With the claim: who had it before may just have written its result.
  if (!existsSync(path.join(folder, 'result.json'))) return claimed;
  claimed.release();
  throw new UsageError('--out', `--out ${asked}: there is a result.json already; name another folder`);
}

function claimNew(command: string): Claim {
  const stamp = new Date(wallMs()).toISOString().replaceAll(':', '-').slice(0, 19);
  const first = path.resolve(path.join('results', `${stamp}-${command}`));
  let folder = first;
  for (let n = 2; existsSync(folder); n++) folder = `${first}-${n}`;
  try {
    return claim(folder, folder);
  } catch (error) {
    // Another process has taken that name this very moment.
    if (error instanceof Taken) return claimNew(command);
    throw error;
  }
}

/** Another process has the folder. */
class Taken extends UsageError {}

/** Takes the folder, making it if need be; a claim of a process that is gone does not count. Mistakes are told of `name`. */
function claim(folder: string, name: string): Claim {
  const made: string[] = [];
  const file = path.join(folder, CLAIM);
  const release = (): void => {
    rmSync(file, { force: true });
    removeEmpty(made);
  };
  try {
    makeFolder(folder, made);
    const other = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    if (other > 0 && !isAlive(other)) rmSync(file, { force: true });
    writeFileSync(file, `${process.pid}`, { flag: 'wx' });
  } catch (error) {
    removeEmpty(made);
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && existsSync(file))
      throw new Taken('--out', `${name}: another run writes there now; name another folder`);
    const why = code === undefined ? message : (REASONS[code] ?? message);
    throw new UsageError('--out', `${name}: ${why}; name another folder${name.startsWith('--') ? '' : ' with --out'}`);
  }
  return { folder, release };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTDIR: 'a file is in the way',
  EEXIST: 'a file is in the way',
  EACCES: 'no right to write there',
  EPERM: 'no right to write there',
  EROFS: 'the file system is read-only',
  ENOENT: 'no folder can be made there',
  ENOSPC: 'no space left on the device',
  ENAMETOOLONG: 'the name is too long',
};

/** Makes the folder with those above it, and adds what it makes to `made`, outermost first. Node's own way to do so never ends below /proc. */
function makeFolder(folder: string, made: string[]): void {
  const missing: string[] = [];
  for (let each = folder; !isFolder(each); each = path.dirname(each)) missing.push(each);
  for (const each of missing.toReversed()) {
    try {
      mkdirSync(each);
      made.push(each);
    } catch (error) {
      // Made by another process meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isFolder(each)) throw error;
    }
  }
}

function isFolder(at: string): boolean {
  return statSync(at, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Removes folders that were made for nothing, innermost first. */
function removeEmpty(made: readonly string[]): void {
  for (const each of made.toReversed()) {
    if (existsSync(each) && readdirSync(each).length === 0) rmdirSync(each);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
