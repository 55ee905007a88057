// Times one call on the thread that makes it. On a machine that other programs use, too, the time this thread stood in the run queue is told by
// Linux (schedstat) and is not counted; elsewhere it counts.
import { readFileSync } from 'node:fs';
import { nowNs } from '../src/host/clock.js';

export interface Timing {
  /** Nanoseconds on a CPU or asleep, not waiting for a CPU. */
  ns: number;
  /** Nanoseconds this thread was ready but another one ran. */
  waitedNs: number;
  /** What the call returned. */
  value: number;
}

const SCHEDSTAT = '/proc/thread-self/schedstat';
let readable = true;

/** Nanoseconds the calling thread has waited for a CPU since it began; 0 where the system does not tell. */
function runDelayNs(): number {
  if (!readable) return 0;
  try {
    return Number(readFileSync(SCHEDSTAT, 'latin1').split(' ')[1]);
  } catch {
    readable = false;
    return 0;
  }
}

export function timed(call: () => number): Timing {
  const before = runDelayNs();
  const start = nowNs();
  const value = call();
  const end = nowNs();
  const waitedNs = runDelayNs() - before;
  // The wait may have been between the two clocks' readings: then nothing of the call is to be taken off.
  const ns = end - start > waitedNs ? end - start - waitedNs : end - start;
  return { ns, waitedNs, value };
}
