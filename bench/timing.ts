// Times one call on the thread that makes it. On a machine that other programs use, too, the time this thread stood in the run queue is told by
// Linux (schedstat) and is not counted; elsewhere it counts.
import { readdirSync, readFileSync } from 'node:fs';
import { nowNs } from '../src/host/clock.js';

export interface Timing {
  /** Nanoseconds on a CPU or asleep, not waiting for a CPU. */
  ns: number;
  /** Nanoseconds this thread was ready but another one ran. */
  waitedNs: number;
  /** What the call returned. */
  value: number;
}

const OWN_THREAD = '/proc/thread-self';
const ALL_THREADS = '/proc/self/task';

/** Nanoseconds a thread has waited for a CPU since it began; 0 where the system does not tell, or the thread has gone. */
function runDelayNs(thread: string): number {
  try {
    return Number(readFileSync(`${thread}/schedstat`, 'latin1').split(' ')[1]);
  } catch {
    return 0;
  }
}

function processRunDelayNs(): number {
  try {
    return readdirSync(ALL_THREADS).reduce((sum, id) => sum + runDelayNs(`${ALL_THREADS}/${id}`), 0);
  } catch {
    return 0;
  }
}

/** Times work of the calling thread alone. */
export function timed(call: () => number): Timing {
  const before = runDelayNs(OWN_THREAD);
  const start = nowNs();
  const value = call();
  const end = nowNs();
  const waitedNs = runDelayNs(OWN_THREAD) - before;
  // The wait may have been between the two clocks' readings: then nothing of the call is to be taken off.
  const ns = end - start > waitedNs ? end - start - waitedNs : end - start;
  return { ns, waitedNs, value };
}

/** Times a call whose work other threads of the process share: all of the time counts, and the waits of all threads tell how disturbed it was. */
export function timedWithHelpers(call: () => number): Timing {
  const before = processRunDelayNs();
  const start = nowNs();
  const value = call();
  const ns = nowNs() - start;
  return { ns, waitedNs: processRunDelayNs() - before, value };
}
