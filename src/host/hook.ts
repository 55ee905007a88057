// A platform hook of the user's: a module whose default export is called for each range that goes back to the host.
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { UserHook } from './attach.js';
import { UsageError } from './errors.js';

/** Loads the module. Throws UsageError when there is none, or it exports no function. */
export async function loadHook(path: string): Promise<UserHook> {
  const wanted = 'write none, snp, or the path of a module whose default export is a function';
  if (!existsSync(path)) throw new UsageError('hook', `hook: ${path}: no such file; ${wanted}`);
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (error) {
    throw new UsageError('hook', `hook: ${path}: ${(error as Error).message}`);
  }
  if (typeof module.default === 'function') return module.default as UserHook;
  throw new UsageError('hook', `hook: ${path}: it has no function as its default export; ${wanted}`);
}
