// The time series of a torture run as CSV, written and read: RFC 4180, one line for each second and operation.
import { UsageError } from '../host/errors.js';
import type { SeriesRow } from '../torture/series.js';

const HEADER = 'seconds,operation,count,rate_per_second,errors,p50_ns,p99_ns';

function number(value: number): string {
  return Number.isFinite(value) ? String(Math.round(value)) : '';
}

/** The rows as CSV; a percentile without samples is empty. */
export function seriesCsv(rows: readonly SeriesRow[]): string {
  const lines = rows.map(({ seconds, operation, count, ratePerSecond, errors, p50Ns, p99Ns }) =>
    [seconds.toFixed(3), operation, count, number(ratePerSecond), errors, number(p50Ns), number(p99Ns)].join(','),
  );
  return [HEADER, ...lines, ''].join('\r\n');
}

/** Reads what seriesCsv writes. Throws UsageError with the line that is none. */
export function parseSeriesCsv(text: string, path: string): SeriesRow[] {
  const [header, ...lines] = text.split(/\r?\n/);
  if (header !== HEADER) throw new UsageError('series', `${path}:1:1: expected ${HEADER}`);
  return lines
    .filter((line) => line !== '')
    .map((line, n) => {
      const cells = line.split(',');
      const [seconds, , count, ratePerSecond, errors, p50Ns, p99Ns] = cells.map((cell) =>
        cell === '' ? NaN : Number(cell),
      );
      if (cells.length !== 7 || !Number.isFinite(seconds))
        throw new UsageError('series', `${path}:${n + 2}:1: expected ${HEADER}`);
      return {
        seconds: seconds!,
        operation: cells[1]!,
        count: count!,
        ratePerSecond: ratePerSecond!,
        errors: errors!,
        p50Ns: p50Ns!,
        p99Ns: p99Ns!,
      };
    });
}
