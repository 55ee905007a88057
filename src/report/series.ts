// The time series of a torture run as CSV, written and read: RFC 4180. series.csv has a line for each second and operation, state.csv one for each second.
import { UsageError } from '../host/errors.js';
import type { SeriesRow, StateRow } from '../torture/series.js';

/** First line of series.csv. */
export const SERIES_HEADER = 'seconds,operation,count,rate_per_second,errors,p50_ns,p99_ns';
/** First line of state.csv. */
export const STATE_HEADER =
  'seconds,rss_bytes,heap_bytes,pages_free,pages_allocated,pages_assigned,pages_leaked,lock_wait_ns';
export const LINE_END = '\r\n';

function number(value: number): string {
  return Number.isFinite(value) ? String(Math.round(value)) : '';
}

/** A row of series.csv; a percentile without samples is empty. */
export function seriesLine({ seconds, operation, count, ratePerSecond, errors, p50Ns, p99Ns }: SeriesRow): string {
  return [seconds.toFixed(3), operation, count, number(ratePerSecond), errors, number(p50Ns), number(p99Ns)].join(',');
}

/** A row of state.csv. */
export function stateLine({ seconds, rssBytes, heapBytes, lockWaitNs, ...pages }: StateRow): string {
  const { free, allocated, assigned, leaked } = pages;
  return [seconds.toFixed(3), rssBytes, heapBytes, free, allocated, assigned, leaked, number(lockWaitNs)].join(',');
}

/** Rows as the text of series.csv. */
export function seriesCsv(rows: readonly SeriesRow[]): string {
  return [SERIES_HEADER, ...rows.map(seriesLine), ''].join(LINE_END);
}

/** Rows of numbers behind a header. Throws UsageError with the line that is none. */
function rowsOf(text: string, path: string, header: string): { cells: string[]; numbers: number[] }[] {
  const [first, ...lines] = text.split(/\r?\n/);
  if (first !== header) throw new UsageError('series', `${path}:1:1: expected ${header}`);
  return lines
    .filter((line) => line !== '')
    .map((line, n) => {
      const cells = line.split(',');
      const numbers = cells.map((cell) => (cell === '' ? NaN : Number(cell)));
      if (cells.length !== header.split(',').length || !Number.isFinite(numbers[0]))
        throw new UsageError('series', `${path}:${n + 2}:1: expected ${header}`);
      return { cells, numbers };
    });
}

/** Reads what seriesCsv writes. Throws UsageError with the line that is none. */
export function parseSeriesCsv(text: string, path: string): SeriesRow[] {
  return rowsOf(text, path, SERIES_HEADER).map(({ cells, numbers }) => {
    const [seconds, , count, ratePerSecond, errors, p50Ns, p99Ns] = numbers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return { seconds, operation: cells[1]!, count, ratePerSecond, errors, p50Ns, p99Ns };
  });
}

/** Reads state.csv; `total` is what its states add up to. Throws UsageError with the line that is none. */
export function parseStateCsv(text: string, path: string): StateRow[] {
  return rowsOf(text, path, STATE_HEADER).map(({ numbers }) => {
    const [seconds, rssBytes, heapBytes, free, allocated, assigned, leaked, lockWaitNs] = numbers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const total = free + allocated + leaked;
    return { seconds, rssBytes, heapBytes, lockWaitNs, total, free, allocated, assigned, leaked };
  });
}
