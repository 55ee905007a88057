// One build at a time per checkout: a directory as the lock (mkdir is atomic), taken over when its owner is gone.
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';

const RETRY_MS = 50;
const GIVE_UP_MS = 300_000;
/** An owner that has not written its pid after this time was killed between two system calls. */
const NO_OWNER_MS = 2_000;

/** @param {string} lock */
function tryLock(lock) {
  try {
    mkdirSync(lock);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(`${lock}/pid`, String(process.pid));
  return true;
}

/** @param {string} lock @returns {string | undefined} the dead owner, or undefined while the lock may be in use */
function deadOwner(lock) {
  try {
    const age = Date.now() - statSync(lock).mtimeMs;
    let pid = '';
    try {
      pid = readFileSync(`${lock}/pid`, 'utf8');
    } catch {
      return age > NO_OWNER_MS ? 'unknown' : undefined;
    }
    if (pid === '') return age > NO_OWNER_MS ? 'unknown' : undefined;
    try {
      process.kill(Number(pid), 0);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH') return pid;
    }
    return undefined;
  } catch {
    return undefined; // released in between
  }
}

/**
 * Runs `work` while no other process runs work under the same lock.
 * @template T
 * @param {string} lock path of the lock directory; its parent must exist
 * @param {() => T | Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(lock, work) {
  const deadline = Date.now() + GIVE_UP_MS;
  while (!tryLock(lock)) {
    if (deadOwner(lock) !== undefined) rmSync(lock, { recursive: true, force: true });
    else if (Date.now() > deadline) throw new Error(`another build holds ${lock}; remove it if none is running`);
    else await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}
