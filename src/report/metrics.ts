// The metrics of a torture run, named as OpenTelemetry names metrics: namespace, unit apart from the name, `error.type` for errors. What is served to
// Prometheus and what is written for OpenTelemetry are both made of this one list.
import { bucketStart, type HistogramPairs } from '../host/histogram.js';
import { LOCKSTAT_SUB_BITS } from '../kernel/abi/lockstat.js';
import { HIST_SUB_BITS } from '../kernel/abi/program.js';
import type { TortureProgress } from '../torture/window.js';

export const NS_PER_SECOND = 1e9;
/** Upper bounds of histograms in nanoseconds: powers of two, where our buckets end, so that no count is split; 128 ns to 8.6 s. */
export const BOUNDS_NS: readonly number[] = Array.from({ length: 14 }, (_, n) => 2 ** (7 + 2 * n));

/** What a point speaks of, by its label for Prometheus; ATTRIBUTES has the names for OpenTelemetry. */
export type Labels = Partial<Record<keyof typeof ATTRIBUTES, string>>;

export const ATTRIBUTES = {
  operation: 'rmptorture.operation.name',
  errno: 'error.type',
  class: 'rmptorture.lock.class',
  state: 'rmptorture.page.state',
} as const;

export interface HistogramPoint {
  labels: Labels;
  /** Counts between the bounds: one more than there are bounds. */
  counts: number[];
  count: number;
  sumNs: number;
}

interface Described {
  /** `rmptorture.operation.duration` */
  name: string;
  /** UCUM: `s`, `{operation}`. */
  unit: string;
  help: string;
}

export type Metric = Described &
  (
    | { kind: 'counter' | 'gauge'; points: { labels: Labels; value: number }[] }
    | { kind: 'histogram'; points: HistogramPoint[] }
  );

/** A histogram of ours by the bounds of all. Of the sum only the middles of buckets are known when it is not given. */
function histogramPoint(labels: Labels, pairs: HistogramPairs, subBits: number, sumNs?: number): HistogramPoint {
  const counts = Array.from({ length: BOUNDS_NS.length + 1 }, () => 0);
  let count = 0;
  let middles = 0;
  for (const [n, times] of pairs) {
    const at = BOUNDS_NS.findIndex((boundNs) => bucketStart(n + 1, subBits) <= boundNs);
    counts[at < 0 ? BOUNDS_NS.length : at]! += times;
    count += times;
    middles += (times * (bucketStart(n, subBits) + bucketStart(n + 1, subBits) - 1)) / 2;
  }
  return { labels, counts, count, sumNs: sumNs ?? middles };
}

/** Everything that is known of a run at one moment. Metrics without a point are left out. */
export function metricsOf(progress: TortureProgress): Metric[] {
  const { elapsedMs, pages, violations } = progress;
  const all: Metric[] = [
    {
      kind: 'gauge',
      name: 'rmptorture.elapsed',
      unit: 's',
      help: 'Recorded time so far.',
      points: [{ labels: {}, value: elapsedMs / 1000 }],
    },
    ...operationMetrics(progress),
    ...lockMetrics(progress),
    {
      kind: 'gauge',
      name: 'rmptorture.pages',
      unit: '{page}',
      help: 'Pages of the host, by state; assigned ones are also allocated.',
      points: Object.entries(pages).map(([state, count]) => ({ labels: { state }, value: count as number })),
    },
    {
      kind: 'gauge',
      name: 'rmptorture.violations',
      unit: '{violation}',
      help: 'Violations of invariants so far.',
      points: [{ labels: {}, value: violations }],
    },
  ];
  return all.filter(({ points }) => points.length > 0);
}

function operationMetrics({ operations }: TortureProgress): Metric[] {
  const each = Object.entries(operations);
  return [
    {
      kind: 'counter',
      name: 'rmptorture.operations',
      unit: '{operation}',
      help: 'Operations, by what they did.',
      points: each.map(([operation, { count }]) => ({ labels: { operation }, value: count })),
    },
    {
      kind: 'counter',
      name: 'rmptorture.operation.errors',
      unit: '{operation}',
      help: 'Operations that returned an errno.',
      points: each.flatMap(([operation, { errors }]) =>
        Object.entries(errors).map(([errno, value]) => ({ labels: { operation, errno }, value })),
      ),
    },
    {
      kind: 'histogram',
      name: 'rmptorture.operation.duration',
      unit: 's',
      help: 'Latency from the due time, or from the start in a closed loop.',
      points: each.map(([operation, { histogram }]) => histogramPoint({ operation }, histogram, HIST_SUB_BITS)),
    },
  ];
}

function lockMetrics({ locks }: TortureProgress): Metric[] {
  const each = Object.entries(locks);
  return [
    {
      kind: 'counter',
      name: 'rmptorture.lock.acquisitions',
      unit: '{acquisition}',
      help: 'Acquisitions, in builds with lock statistics.',
      points: each.map(([name, { acquisitions }]) => ({ labels: { class: name }, value: acquisitions })),
    },
    {
      kind: 'counter',
      name: 'rmptorture.lock.contended',
      unit: '{acquisition}',
      help: 'Acquisitions that had to wait.',
      points: each.map(([name, { contended }]) => ({ labels: { class: name }, value: contended })),
    },
    {
      kind: 'histogram',
      name: 'rmptorture.lock.wait.duration',
      unit: 's',
      help: 'Waits for a lock; of srcu and rcu for a grace period.',
      points: each.map(([name, { waitHistogram, waitNs }]) =>
        histogramPoint({ class: name }, waitHistogram, LOCKSTAT_SUB_BITS, waitNs.mean * waitNs.samples),
      ),
    },
    {
      kind: 'histogram',
      name: 'rmptorture.lock.hold.duration',
      unit: 's',
      help: 'How long a lock was held, one acquisition of 64.',
      points: each.map(([name, { holdHistogram, holdNs }]) =>
        histogramPoint({ class: name }, holdHistogram, LOCKSTAT_SUB_BITS, holdNs.mean * holdNs.samples),
      ),
    },
  ];
}
