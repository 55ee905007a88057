// A comparison as text: one line a metric, what the verdict rests on.
import type { MetricComparison } from '../torture/compare.js';
import { showCount, showNs, table } from './units.js';

/** The table, and what the letters mean. */
export function compareText(
  { a, b, seed, again }: { a: string; b: string; seed?: string; again?: string },
  metrics: readonly MetricComparison[],
  notes: readonly string[],
): string {
  const rows = [['metric', 'A', 'B', 'B / A', '95 % interval', 'p', 'B is']];
  for (const { name, unit, a: before, b: after, ratio, interval, pValue, verdict } of metrics) {
    const show = unit === 'ns' ? showNs : showCount;
    const [low, high] = interval.map((value) => value.toFixed(3));
    const p = pValue < 0.001 ? '< 0.001' : pValue.toFixed(3);
    rows.push([name, show(before.median), show(after.median), ratio.toFixed(3), `${low} .. ${high}`, p, verdict]);
  }
  const repeat = seed === undefined ? [] : [`seed ${seed}; again: ${again}`];
  return [`A: ${a}`, `B: ${b}`, ...repeat, '', table(rows), '', ...notes.map((note) => `note: ${note}`), ''].join('\n');
}
