// The state of a running torture as Prometheus text (exposition format 0.0.4): counters by operation, error and lock class, latencies as a histogram.
import { bucketStart } from '../host/histogram.js';
import type { OperationResult } from '../torture/results.js';
import type { TortureProgress } from '../torture/window.js';

const NS_PER_SECOND = 1e9;
/** Upper bounds of the histogram in nanoseconds: powers of two, where our buckets end, so that no count is split; 128 ns to 8.6 s. */
const BOUNDS_NS = Array.from({ length: 14 }, (_, n) => 2 ** (7 + 2 * n));

type Labels = Record<string, string>;

function sample(name: string, labels: Labels, value: number): string {
  const inside = Object.entries(labels).map(([key, text]) => `${key}="${text.replaceAll(/[\\"\n]/g, '_')}"`);
  return `${name}${inside.length === 0 ? '' : `{${inside.join(',')}}`} ${value}`;
}

function family(name: string, type: 'counter' | 'gauge' | 'histogram', help: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n');
}

function histogram(name: string, operation: string, { histogram: counts }: OperationResult): string[] {
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const below = (boundNs: number): number =>
    counts.reduce((sum, [bucket, count]) => (bucketStart(bucket + 1) <= boundNs ? sum + count : sum), 0);
  // Only the middles of buckets are known.
  const sumNs = counts.reduce((sum, [n, count]) => sum + (count * (bucketStart(n) + bucketStart(n + 1) - 1)) / 2, 0);
  return [
    ...BOUNDS_NS.map((boundNs) =>
      sample(`${name}_bucket`, { operation, le: String(boundNs / NS_PER_SECOND) }, below(boundNs)),
    ),
    sample(`${name}_bucket`, { operation, le: '+Inf' }, total),
    sample(`${name}_sum`, { operation }, sumNs / NS_PER_SECOND),
    sample(`${name}_count`, { operation }, total),
  ];
}

/** Everything that is known of the run at this moment. */
export function metricsText({ elapsedMs, operations, locks, pages, violations }: TortureProgress): string {
  const each = Object.entries(operations);
  const classes = Object.entries(locks);
  const latency = 'rmptorture_operation_duration_seconds';
  return [
    family('rmptorture_elapsed_seconds', 'gauge', 'Recorded time so far.', [
      sample('rmptorture_elapsed_seconds', {}, elapsedMs / 1000),
    ]),
    family(
      'rmptorture_operations_total',
      'counter',
      'Operations, by what they did.',
      each.map(([operation, { count }]) => sample('rmptorture_operations_total', { operation }, count)),
    ),
    family(
      'rmptorture_operation_errors_total',
      'counter',
      'Operations that returned an errno.',
      each.flatMap(([operation, { errors }]) =>
        Object.entries(errors).map(([errno, n]) =>
          sample('rmptorture_operation_errors_total', { operation, errno }, n),
        ),
      ),
    ),
    family(
      latency,
      'histogram',
      'Latency from the due time, or from the start in a closed loop.',
      each.flatMap(([operation, result]) => histogram(latency, operation, result)),
    ),
    family(
      'rmptorture_lock_acquisitions_total',
      'counter',
      'Acquisitions, in builds with lock statistics.',
      classes.map(([name, lock]) => sample('rmptorture_lock_acquisitions_total', { class: name }, lock.acquisitions)),
    ),
    family(
      'rmptorture_lock_contended_total',
      'counter',
      'Acquisitions that had to wait.',
      classes.map(([name, lock]) => sample('rmptorture_lock_contended_total', { class: name }, lock.contended)),
    ),
    family(
      'rmptorture_pages',
      'gauge',
      'Pages of the host, by state; assigned ones are also allocated.',
      Object.entries(pages).map(([state, count]) => sample('rmptorture_pages', { state }, count as number)),
    ),
    family('rmptorture_violations', 'gauge', 'Violations of invariants so far.', [
      sample('rmptorture_violations', {}, violations),
    ]),
  ].join('');
}
