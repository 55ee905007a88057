// Benchmark results as text: one line a benchmark as it is finished, then goals and comparison as tables.
import { table } from '../src/report/units.js';
import type { BenchDocument, Comparison } from './document.js';
import type { Measured } from './runner.js';
import { estimate, quantile } from '../src/host/samples.js';

const NAME_WIDTH = 52;

/** Three significant digits, without exponent. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value === 0 || Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
}

export const HEADER = `${'benchmark'.padEnd(NAME_WIDTH)} ${'median'.padStart(9)} ${'p95'.padStart(9)} ${'95% interval'.padStart(19)}  ${'ratio'.padStart(6)}  hash`;

export function line({ name, samples, reference, hash }: Measured): string {
  const { median, low, high } = estimate(samples);
  const ratio = reference === undefined ? '' : digits(reference.ratio.median);
  const columns = [
    name.padEnd(NAME_WIDTH),
    digits(median).padStart(9),
    digits(quantile(samples, 0.95)).padStart(9),
    `${digits(low)} .. ${digits(high)}`.padStart(19),
    ` ${ratio.padStart(6)}`,
    ` ${hash.slice(0, 8)}`,
  ];
  return columns.join(' ');
}

export function goalsTable(goals: BenchDocument['goals']): string {
  const rows = goals.map(({ name, atLeast, atMost, unit, measured, interval: [low, high], met }) => [
    name,
    atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`,
    digits(measured),
    `${digits(low)} .. ${digits(high)}`,
    unit,
    met ? 'met' : 'MISSED',
  ]);
  return table([['goal', 'limit', 'measured', '95% interval', 'unit', ''], ...rows]);
}

export function comparisonTable(comparison: readonly Comparison[]): string {
  const rows = comparison.map(({ name, ratio, interval: [low, high], pValue, verdict }) => [
    name,
    digits(ratio),
    `${digits(low)} .. ${digits(high)}`,
    pValue < 0.0001 ? '<0.0001' : pValue.toFixed(4),
    verdict,
  ]);
  return table([['compared with the saved run', 'ratio', '95% interval', 'p', ''], ...rows]);
}
