// The operating system's view of the calling thread, where it tells (Linux): how long it waited for a CPU, and which CPU it is to run on.
// Documentation/scheduler/sched-stats.rst: /proc/<pid>/schedstat is time on a CPU, time in a run queue, time slices.
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { cpus } from 'node:os';

const SELF = '/proc/thread-self';

export interface ThreadTimes {
  onCpuNs: number;
  /** Ready to run, while another thread had the CPU. */
  runDelayNs: number;
}

/** Times of the calling thread since it began; undefined where the system does not tell. */
export function threadTimes(): ThreadTimes | undefined {
  try {
    const [onCpuNs, runDelayNs] = readFileSync(`${SELF}/schedstat`, 'latin1').split(' ').map(Number);
    return { onCpuNs: onCpuNs!, runDelayNs: runDelayNs! };
  } catch {
    return undefined;
  }
}

/** Lets the calling thread run on one CPU only, or on all again without a number. Returns what went wrong, if anything did. */
export function bindThread(cpu?: number): string | undefined {
  try {
    const thread = readlinkSync(SELF).split('/').at(-1)!;
    execFileSync('taskset', ['-pc', cpu === undefined ? `0-${cpus().length - 1}` : String(cpu), thread], {
      stdio: 'pipe',
    });
    return undefined;
  } catch (error) {
    return (error as Error).message.split('\n')[0];
  }
}
