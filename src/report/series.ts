// The time series of a torture run as CSV: RFC 4180, one line for each second and operation.
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
