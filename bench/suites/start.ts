// From nothing to the first guest access on a 512 GiB host: a fresh process each time, Node's own start included.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { nowNs } from '../../src/host/clock.js';
import type { Runner } from '../runner.js';
import { estimate } from '../../src/host/samples.js';
import type { Timing } from '../timing.js';

interface Report {
  pages: number;
  residentBytes: number;
}

async function start(memory: string, reports: Report[]): Promise<Timing> {
  const begin = nowNs();
  const child = fork(new URL('../start-child.js', import.meta.url), [memory]);
  const [report] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [Report | number];
  const ns = nowNs() - begin;
  if (typeof report === 'number') throw new Error(`start: the child ended with code ${report}`);
  reports.push(report);
  await once(child, 'exit');
  return { ns, waitedNs: 0, value: report.pages };
}

export async function start512GiB(runner: Runner): Promise<void> {
  const [memory, gibibytes] = runner.effort === 'smoke' ? ['1GiB', 1] : ['512GiB', 512];
  const reports: Report[] = [];
  const [measured] = await runner.group(
    [
      {
        name: `start/${gibibytes} GiB host to its first operation`,
        operations: 1,
        expected: gibibytes * 262_144 - 256, // memory starts at 1 MiB
        run: () => start(memory, reports),
      },
    ],
    0.25,
  );
  const resident = reports.map(({ residentBytes }) => residentBytes / 2 ** 20);
  const seconds = measured!.samples.map((ns) => ns / 1e9);
  runner.atMost(`start of a ${gibibytes} GiB host to its first operation`, 1.5, estimate(seconds), 's');
  runner.atMost('resident memory after it', 400, estimate(resident), 'MiB');
}
