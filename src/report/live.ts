// What a terminal shows while a run goes on, as lines that fit it: rates and p99 of the last second, where threads wait, pages, violations.
import { bucketsOf, percentile } from '../host/histogram.js';
import { LOCKSTAT_BUCKETS, LOCKSTAT_SUB_BITS } from '../kernel/abi/lockstat.js';
import type { LockStatistics } from '../host/statistics.js';
import type { TortureProgress } from '../torture/window.js';
import { showCount, showNs, showShare, table } from './units.js';

/** What does not change during the run. */
export interface LiveAbout {
  /** One line: profile, threads, build, protocol. */
  title: string;
  threads: number;
}

export interface Size {
  columns: number;
  rows: number;
}

const BAR = 24;
const LEAST_LOCKS = 3;
const MOST_LOCKS = 12;

/**
 * The lines for a terminal of this size: at most `rows - 1`, none longer than `columns - 1`. `before` is the state about a second ago, which rates and
 * percentiles are counted from; from the beginning without it.
 */
export function liveLines(
  about: LiveAbout,
  now: TortureProgress,
  before: TortureProgress | undefined,
  { columns, rows }: Size,
): string[] {
  const room = Math.max(1, rows - 1);
  const head = [about.title, timeLine(now)];
  const foot = [pagesLine(now), violationsLine(now)];
  const shown: [string[][], string[][]] =
    now.elapsedMs === 0 ? [[], []] : [operationRows(now, before), lockRows(about, now, before)];
  const tables = fit(shown, room - head.length - foot.length);
  const lines = [...head, ...tables, ...foot];
  if (room > lines.length) lines.push('Ctrl-C ends the run with its report, twice at once');
  // On a terminal too small for all, what matters most: the violations, then the time, then as many lines of the tables as there is room for.
  const kept =
    lines.length <= room ? lines : [...lines.slice(0, Math.max(0, room - foot.length)), ...foot].slice(-room);
  return kept.map((line) => line.slice(0, Math.max(1, columns - 1)));
}

/** As much of both tables as there is room for, the second one giving way first; blank lines between them if there is room for those, too. */
function fit([operations, locks]: [string[][], string[][]], room: number): string[] {
  const least = locks.length === 0 ? 0 : Math.min(locks.length, LEAST_LOCKS);
  const first = operations.slice(0, Math.max(0, room - least));
  const second = locks.slice(0, Math.max(0, room - first.length));
  const parts = [first, second].filter((rows) => rows.length > 1).map((rows) => table(rows).split('\n'));
  const spare = room - parts.reduce((sum, lines) => sum + lines.length, 0);
  return spare > parts.length ? [...parts.flatMap((lines) => ['', ...lines]), ''] : parts.flat();
}

function timeLine({ elapsedMs, totalMs }: TortureProgress): string {
  if (elapsedMs === 0) return 'threads come up';
  const share = Math.min(1, Math.max(0, elapsedMs / totalMs));
  const bar = '='.repeat(Math.round(share * BAR)).padEnd(BAR, '.');
  return `[${bar}] ${(elapsedMs / 1000).toFixed(1)} of ${(totalMs / 1000).toFixed(totalMs < 10_000 ? 1 : 0)} s`;
}

function secondsBetween(now: TortureProgress, before: TortureProgress | undefined): number {
  return Math.max(now.elapsedMs - (before?.elapsedMs ?? 0), 1) / 1000;
}

function operationRows(now: TortureProgress, before: TortureProgress | undefined): string[][] {
  const seconds = secondsBetween(now, before);
  const rows = Object.entries(now.operations).map(([name, operation]) => {
    const earlier = before?.operations[name];
    const { p99, max } = operation.latencyNs;
    const errors = Object.values(operation.errors).reduce((sum, count) => sum + count, 0);
    return [
      name,
      showCount((operation.count - (earlier?.count ?? 0)) / seconds),
      showNs(percentile(bucketsOf(operation.histogram, earlier?.histogram), 0.99)),
      showNs(p99),
      showNs(max),
      errors === 0 ? '-' : showShare(errors / operation.count),
    ];
  });
  return [['operation', 'per second', 'p99 now', 'p99', 'max', 'errors'], ...rows];
}

/** Lock classes, those first for which threads wait most: the last column is the share of all threads' time that goes there. */
function lockRows(about: LiveAbout, now: TortureProgress, before: TortureProgress | undefined): string[][] {
  const seconds = secondsBetween(now, before);
  const waited = ({ waitNs }: LockStatistics): number => waitNs.mean * waitNs.samples;
  const rows = Object.entries(now.locks).map(([name, lock]) => {
    const earlier = before?.locks[name];
    const waiting = (waited(lock) - (earlier === undefined ? 0 : waited(earlier))) / (seconds * 1e9 * about.threads);
    const acquired = lock.acquisitions - (earlier?.acquisitions ?? 0);
    const contended = lock.contended - (earlier?.contended ?? 0);
    const waits = bucketsOf(lock.waitHistogram, earlier?.waitHistogram, LOCKSTAT_BUCKETS);
    return { name, waiting, acquired, contended, p99: percentile(waits, 0.99, LOCKSTAT_SUB_BITS) };
  });
  if (rows.length === 0) return [];
  const busiest = rows.toSorted((a, b) => b.waiting - a.waiting || b.acquired - a.acquired);
  return [
    ['lock class', 'per second', 'contended', 'wait p99', 'threads waiting'],
    ...busiest
      .slice(0, MOST_LOCKS)
      .map(({ name, waiting, acquired, contended, p99 }) => [
        name,
        showCount(acquired / seconds),
        acquired === 0 ? '-' : showShare(contended / acquired),
        showNs(p99),
        showShare(Math.min(1, Math.max(0, waiting))),
      ]),
  ];
}

function pagesLine({ pages }: TortureProgress): string {
  const states = (['free', 'allocated', 'assigned', 'leaked'] as const).map((state) => {
    return `${state} ${showCount(pages[state])}`;
  });
  return `pages  ${states.join('  ')}`;
}

function violationsLine({ violations, violation }: TortureProgress): string {
  return violations === 0 ? 'violations: none' : `violations: ${violations}  ${violation ?? ''}`.trimEnd();
}
