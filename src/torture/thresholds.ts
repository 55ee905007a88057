// Thresholds: `operation.metric: "< value unit"`, evaluated on the merged results.
import { UsageError } from '../host/errors.js';
import { nearestWords } from '../host/issues.js';
import { parseDuration } from '../host/units.js';
import type { Complaint } from './document.js';
import { ACTOR_KINDS } from './schema.js';
import { operationNames, type OperationResult, type Progress } from './results.js';

export interface Threshold {
  key: string;
  text: string;
  operation: string;
  metric: string;
  compare: string;
  limit: number;
}

const LATENCIES = ['min', 'p50', 'p90', 'p99', 'p999', 'max'];
const METRICS = [...LATENCIES, 'rate', 'count'];
/** Of the threads of one kind of actor. */
const PROGRESS = ['fairness', 'least', 'most'];
const EXAMPLE = 'write for example invalidate.p99: "< 5ms"';

/** Other names of operations: what the invalidator does is a hole punch. */
const ALIASES: Record<string, string> = { invalidate: 'punch_hole' };

/** Parses the thresholds of a profile; throws UsageError naming the first that is not understood. */
export function parseThresholds(thresholds: Readonly<Record<string, string>>): Threshold[] {
  return Object.entries(thresholds).map(([key, text]) => {
    const parsed = parseThreshold(key, text);
    if ('message' in parsed) throw new UsageError('thresholds', parsed.message);
    return parsed;
  });
}

/** What is wrong with the thresholds of a profile, each with its place. */
export function thresholdComplaints({ thresholds }: { thresholds: Readonly<Record<string, string>> }): Complaint[] {
  return Object.entries(thresholds).flatMap(([key, text]) => {
    const parsed = parseThreshold(key, text);
    return 'message' in parsed ? [parsed] : [];
  });
}

function parseThreshold(key: string, text: string): Threshold | Complaint {
  const complain = (inKey: boolean, what: string): Complaint => ({
    path: ['thresholds', key],
    inKey,
    message: `thresholds.${key}: ${what}`,
  });
  const dot = key.lastIndexOf('.');
  const [name, metric] = key === 'violations' ? [key, 'count'] : [key.slice(0, Math.max(dot, 0)), key.slice(dot + 1)];
  const operation = ALIASES[name] ?? name;
  if (name === '') return complain(true, `no operation and metric; ${EXAMPLE}`);
  const isKind = ACTOR_KINDS.some((kind) => kind === name) && PROGRESS.includes(metric);
  if (name !== 'violations' && !isKind && !operationNames().includes(operation)) {
    return complain(true, `no operation is called '${name}'; ${suggestions(name)}`);
  }
  const metrics = name === 'violations' ? ['count'] : isKind ? PROGRESS : METRICS;
  if (!metrics.includes(metric)) {
    return complain(true, `'${metric}' is no metric of ${name}; known are ${metrics.join(', ')}`);
  }
  const match = /^\s*(<=|>=|==|<|>)\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|\/s|)\s*$/.exec(text);
  if (match === null) return complain(false, `"${text}" is not understood; ${EXAMPLE}`);
  const [, compare, number, unit] = match;
  const isTime = unit !== '' && unit !== '/s';
  if (isTime !== LATENCIES.includes(metric)) {
    return complain(false, `"${text}": ${metric} is ${isTime ? 'no time' : 'a time and needs its unit'}; ${EXAMPLE}`);
  }
  return {
    key,
    text,
    operation,
    metric,
    compare: compare!,
    limit: isTime ? parseDuration(`${number}${unit}`) : Number(number),
  };
}

function suggestions(name: string): string {
  const known = ['violations', ...Object.keys(ALIASES), ...operationNames()];
  const near = nearestWords(name, known).map((each) => `'${each}'`);
  return near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known are ${known.join(', ')}`;
}

/** One line for each threshold that does not hold. A missing operation does not hold. */
export function missedThresholds(
  thresholds: readonly Threshold[],
  operations: Readonly<Record<string, OperationResult>>,
  violations: number,
  progress: Readonly<Record<string, Progress>> = {},
): string[] {
  const missed: string[] = [];
  for (const threshold of thresholds) {
    const value = valueOf(threshold, operations, violations, progress);
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
  progress: Readonly<Record<string, Progress>>,
): number | undefined {
  if (threshold.operation === 'violations') return violations;
  if (PROGRESS.includes(threshold.metric)) return progress[threshold.operation]?.[threshold.metric as 'fairness'];
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
