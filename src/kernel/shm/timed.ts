// Timed attempts: try, then try again with growing naps until the time is up. A timed waiter stands in no queue, so others may pass it; in return it
// can leave at any moment without undoing anything. The kernel has no timed locks; ./shm users ask for them.
import {
  TIMED_MUTEX, TIMED_RWLOCK_READ, TIMED_RWLOCK_WRITE, TIMED_RWSEM_READ, TIMED_RWSEM_WRITE, TIMED_SPINLOCK,
} from '../abi/shm';
import { TASK_ID, WAIT_MUTEX } from '../abi/layout';
import { checkStop, cpuRelax, current, futexWait, nowNs } from '../point';
import { mutexTrylock } from '../sync/mutex';
import { readTrylock, writeTrylock } from '../sync/rwlock';
import { downReadTrylock, downWriteTrylock } from '../sync/rwsem';
import { spinTrylock } from '../sync/spinlock';
import { spinTurns } from '../sync/word';
import { currentId, heartbeat, waitBegin, waitEnd } from '../task';

const FIRST_NAP_NS: f64 = 20_000;
const LAST_NAP_NS: f64 = 1_000_000;

function attempt(kind: u32, l: usize): bool {
  if (kind == TIMED_MUTEX) return mutexTrylock(l);
  if (kind == TIMED_SPINLOCK) return spinTrylock(l);
  if (kind == TIMED_RWSEM_READ) return downReadTrylock(l);
  if (kind == TIMED_RWSEM_WRITE) return downWriteTrylock(l);
  if (kind == TIMED_RWLOCK_READ) return readTrylock(l);
  return kind == TIMED_RWLOCK_WRITE && writeTrylock(l);
}

/** Takes lock `l` (kind TIMED_*) within `timeoutNs`; 0 tries once. @context sleeps unless the time is 0. */
export function lockTimed(kind: u32, l: usize, timeoutNs: f64): bool {
  if (attempt(kind, l)) return true;
  if (!(timeoutNs > 0)) return false;
  const deadline = nowNs() + timeoutNs;
  for (let n = spinTurns(); n > 0; n--) {
    cpuRelax();
    if (attempt(kind, l)) return true;
  }
  let nap = FIRST_NAP_NS;
  let taken = false;
  waitBegin(l, WAIT_MUTEX);
  while (!taken) {
    const left = deadline - nowNs();
    if (!(left > 0)) break;
    heartbeat();
    checkStop();
    // A nap on a word that nobody wakes.
    futexWait(current + TASK_ID, currentId(), <i64>min<f64>(nap, left) + 1);
    nap = min<f64>(nap * 2, LAST_NAP_NS);
    taken = attempt(kind, l);
  }
  waitEnd();
  return taken;
}
