// Thresholds: `operation.metric: "< value unit"`, evaluated on the merged results.
import { UsageError } from '../host/errors.js';
import { parseDuration } from '../host/units.js';
import type { OperationResult } from './results.js';

export interface Threshold {
  key: string;
  text: string;
  operation: string;
  metric: string;
  compare: string;
  limit: number;
}

const METRICS = new Set(['p50', 'p90', 'p99', 'p999', 'max', 'min', 'rate', 'count']);

/** Parses the thresholds of a profile; throws UsageError naming the first that is not understood. */
export function parseThresholds(thresholds: Readonly<Record<string, string>>): Threshold[] {
  return Object.entries(thresholds).map(([key, text]) => {
    const [operation = '', metric = ''] = key === 'violations' ? ['violations', 'count'] : key.split('.');
    const match = /^\s*(<=|>=|==|<|>)\s*([\d.]+)\s*([a-z]*)\s*$/i.exec(text);
    if (!METRICS.has(metric) || match === null) {
      throw new UsageError(
        'thresholds',
        `thresholds.${key}: "${text}" is not understood; write for example punch_hole.p99: "< 5ms"`,
      );
    }
    const limit = match[3] === '' ? Number(match[2]) : parseDuration(`${match[2]}${match[3]}`);
    return { key, text, operation, metric, compare: match[1]!, limit };
  });
}

/** One line for each threshold that does not hold. A missing operation does not hold. */
export function missedThresholds(
  thresholds: readonly Threshold[],
  operations: Readonly<Record<string, OperationResult>>,
  violations: number,
): string[] {
  const missed: string[] = [];
  for (const threshold of thresholds) {
    const value = valueOf(threshold, operations, violations);
    if (value === undefined || !holds(value, threshold.compare, threshold.limit)) {
      missed.push(`${threshold.key}: ${threshold.text}, but it was ${value === undefined ? 'not measured' : value}`);
    }
  }
  return missed;
}

function valueOf(
  threshold: Threshold,
  operations: Readonly<Record<string, OperationResult>>,
  violations: number,
): number | undefined {
  if (threshold.operation === 'violations') return violations;
  const result = operations[threshold.operation];
  if (result === undefined) return undefined;
  if (threshold.metric === 'rate') return result.ratePerSecond;
  if (threshold.metric === 'count') return result.count;
  return result.latencyNs[threshold.metric as keyof OperationResult['latencyNs']];
}

function holds(value: number, compare: string, limit: number): boolean {
  switch (compare) {
    case '<':
      return value < limit;
    case '<=':
      return value <= limit;
    case '>':
      return value > limit;
    case '>=':
      return value >= limit;
    default:
      return value === limit;
  }
}
