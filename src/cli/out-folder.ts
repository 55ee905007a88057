// Where a command writes its result files: the folder asked for, which must hold no results yet, or a new one named after the time. While a run writes there second by
// second, no other may.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { wallMs } from '../host/clock.js';
import { UsageError } from '../host/errors.js';

/** Holds the number of the process that writes to the folder now. */
const CLAIM = '.running';

/** The folder's path; it need not exist. Throws UsageError when it holds a result.json already. */
export function outFolder(asked: string | undefined, command: string): string {
  if (asked === undefined) return newFolder(command);
  if (existsSync(path.join(asked, 'result.json')))
    throw new UsageError('--out', `--out ${asked}: there is a result.json already; name another folder`);
  return path.resolve(asked);
}

function newFolder(command: string): string {
  const stamp = new Date(wallMs()).toISOString().replaceAll(':', '-').slice(0, 19);
  const first = path.resolve(path.join('results', `${stamp}-${command}`));
  let folder = first;
  for (let n = 2; existsSync(folder); n++) folder = `${first}-${n}`;
  return folder;
}

/**
 * Takes the folder for this process, making it if need be; a claim of a process that is gone does not count. Returns what ends the claim, and takes an empty folder away again.
 * Throws UsageError when another process has it.
 */
export function claimFolder(folder: string): () => void {
  const claim = path.join(folder, CLAIM);
  const made = mkdirSync(folder, { recursive: true });
  const other = existsSync(claim) ? Number(readFileSync(claim, 'utf8')) : 0;
  if (other > 0 && !isAlive(other)) rmSync(claim, { force: true });
  try {
    writeFileSync(claim, `${process.pid}`, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new UsageError('--out', `--out ${folder}: another run writes there now; name another folder`);
  }
  return () => {
    rmSync(claim, { force: true });
    if (made !== undefined) removeEmpty(folder, made);
  };
}

/** Removes folders that were made for nothing, from `folder` up to `last`. */
function removeEmpty(folder: string, last: string): void {
  for (let each = folder; each.startsWith(last) && readdirSync(each).length === 0; each = path.dirname(each)) {
    rmdirSync(each);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
