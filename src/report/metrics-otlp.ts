// Metrics of a run that has ended, in OpenTelemetry's protocol as JSON (opentelemetry-proto, ExportMetricsServiceRequest; proto3 JSON: 64-bit numbers are
// text, enums numbers): one line, as the collector's otlpjsonfile receiver reads it, or to be posted to /v1/metrics.
import { ATTRIBUTES, BOUNDS_NS, metricsOf, NS_PER_SECOND, type Labels, type Metric } from './metrics.js';
import type { TortureResult } from '../torture/run.js';

/** AGGREGATION_TEMPORALITY_CUMULATIVE: counted from the start of the run. */
const CUMULATIVE = 2;

interface Attribute {
  key: string;
  value: { stringValue: string } | { intValue: string };
}

function attribute(key: string, value: string | number): Attribute {
  return { key, value: typeof value === 'string' ? { stringValue: value } : { intValue: String(value) } };
}

function attributesOf(labels: Labels): Attribute[] {
  return Object.entries(labels).map(([label, text]) => attribute(ATTRIBUTES[label as keyof typeof ATTRIBUTES], text));
}

/** The machine and the run, by OpenTelemetry's names for resources. */
function resourceAttributes(result: TortureResult): Attribute[] {
  const { environment: env, seed, build, protocol, hook, workers } = result;
  return Object.entries({
    'service.name': 'rmptorture',
    'service.version': env.version,
    'host.arch': env.arch === 'x64' ? 'amd64' : env.arch,
    'host.cpu.model.name': env.cpu,
    'os.type': process.platform,
    'os.version': env.kernel,
    'process.runtime.name': 'nodejs',
    'process.runtime.version': env.node.slice(1),
    'rmptorture.seed': seed,
    'rmptorture.build': build,
    'rmptorture.protocol': protocol,
    'rmptorture.hook': hook,
    'rmptorture.threads': workers,
    'rmptorture.verdict': result.verdict,
  }).map(([key, value]) => attribute(key, value));
}

type Times = Record<'startTimeUnixNano' | 'timeUnixNano', string>;

function metricJson(metric: Metric, times: Times): object {
  const { name, unit, help } = metric;
  const about = { name, unit, description: help };
  if (metric.kind === 'histogram') {
    const dataPoints = metric.points.map(({ labels, counts, count, sumNs }) => ({
      attributes: attributesOf(labels),
      ...times,
      count: String(count),
      sum: sumNs / NS_PER_SECOND,
      bucketCounts: counts.map(String),
      explicitBounds: BOUNDS_NS.map((boundNs) => boundNs / NS_PER_SECOND),
    }));
    return { ...about, histogram: { aggregationTemporality: CUMULATIVE, dataPoints } };
  }
  const dataPoints = metric.points.map(({ labels, value }) => {
    const number = Number.isInteger(value) ? { asInt: String(value) } : { asDouble: value };
    return { attributes: attributesOf(labels), ...times, ...number };
  });
  return metric.kind === 'gauge'
    ? { ...about, gauge: { dataPoints } }
    : { ...about, sum: { aggregationTemporality: CUMULATIVE, isMonotonic: true, dataPoints } };
}

/** The document, one line. `endedAtMs`: wall-clock time at which the run ended. */
export function otlpJson(result: TortureResult, endedAtMs: number): string {
  const { operations, locks, pages, durationMs, violations, environment } = result;
  const nanoseconds = (ms: number): string => `${BigInt(Math.round(ms * 1000)) * 1000n}`;
  const times = { startTimeUnixNano: nanoseconds(endedAtMs - durationMs), timeUnixNano: nanoseconds(endedAtMs) };
  const progress = { elapsedMs: durationMs, totalMs: durationMs, violations: violations.length };
  const metrics = metricsOf({ ...progress, operations, locks, pages }).map((metric) => metricJson(metric, times));
  const scope = { name: 'rmptorture', version: environment.version };
  const resource = { attributes: resourceAttributes(result) };
  return `${JSON.stringify({ resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics }] }] })}\n`;
}
