// Where a command writes its result files: the folder asked for, which must hold no results yet, or a new one named after the time.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { wallMs } from '../host/clock.js';
import { UsageError } from '../host/errors.js';

/** The folder's path; it need not exist. Throws UsageError when it holds a result.json already. */
export function outFolder(asked: string | undefined, command: string): string {
  const stamp = new Date(wallMs()).toISOString().replaceAll(':', '-').slice(0, 19);
  if (asked === undefined) return path.resolve(path.join('results', `${stamp}-${command}`));
  if (existsSync(path.join(asked, 'result.json')))
    throw new UsageError('--out', `--out ${asked}: there is a result.json already; name another folder`);
  return path.resolve(asked);
}
