// Metrics as Prometheus text (exposition format 0.0.4). Names follow OpenTelemetry's rule for Prometheus: dots become underscores, the unit and `_total` are
// added (opentelemetry.io, "Prometheus and OpenMetrics Compatibility").
import { BOUNDS_NS, metricsOf, NS_PER_SECOND, type HistogramPoint, type Labels, type Metric } from './metrics.js';
import type { TortureProgress } from '../torture/window.js';

/** Units in braces only annotate; they are in no name. */
const UNIT_NAMES: Record<string, string> = { s: '_seconds' };

/** The name under which Prometheus knows a metric. */
export function prometheusName({ name, unit, kind }: Pick<Metric, 'name' | 'unit' | 'kind'>): string {
  return `${name.replaceAll('.', '_')}${UNIT_NAMES[unit] ?? ''}${kind === 'counter' ? '_total' : ''}`;
}

function sample(name: string, labels: Labels & { le?: string }, value: number): string {
  const inside = Object.entries(labels).map(([key, text]) => `${key}="${text.replaceAll(/[\\"\n]/g, '_')}"`);
  return `${name}${inside.length === 0 ? '' : `{${inside.join(',')}}`} ${value}`;
}

function histogram(name: string, { labels, counts, count, sumNs }: HistogramPoint): string[] {
  let below = 0;
  const buckets = BOUNDS_NS.map((boundNs, n) => {
    below += counts[n]!;
    return sample(`${name}_bucket`, { ...labels, le: String(boundNs / NS_PER_SECOND) }, below);
  });
  return [
    ...buckets,
    sample(`${name}_bucket`, { ...labels, le: '+Inf' }, count),
    sample(`${name}_sum`, labels, sumNs / NS_PER_SECOND),
    sample(`${name}_count`, labels, count),
  ];
}

function family(metric: Metric): string {
  const name = prometheusName(metric);
  const lines =
    metric.kind === 'histogram'
      ? metric.points.flatMap((point) => histogram(name, point))
      : metric.points.map(({ labels, value }) => sample(name, labels, value));
  return [`# HELP ${name} ${metric.help}`, `# TYPE ${name} ${metric.kind}`, ...lines, ''].join('\n');
}

/** Everything that is known of the run at this moment. */
export function prometheusText(progress: TortureProgress): string {
  return metricsOf(progress).map(family).join('');
}
