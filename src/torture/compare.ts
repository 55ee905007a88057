// Compares two sets of samples of a load: seconds of two runs, or rounds of two settings. A difference counts when the Mann-Whitney test finds it and it is
// larger than the bound for its direction; slower and faster have bounds of their own, since one is guarded against and the other is hoped for.
import { mannWhitney } from '../host/mann-whitney.js';
import { estimate, pairedRatio, unpairedRatio, type Estimate } from '../host/samples.js';
import type { TortureResult } from './run.js';
import type { SeriesRow } from './series.js';

/** Values of each metric, `touch.rate` or `touch.p99`, one for each second or round. */
export type Samples = Record<string, number[]>;

export interface Bounds {
  /** A metric that is worse by more than this share is slower. */
  slower: number;
  /** One that is better by more than this share is faster. */
  faster: number;
}

export type MetricVerdict = 'same' | 'slower' | 'faster' | 'unclear' | 'too few samples';

export interface MetricComparison {
  name: string;
  unit: 'per second' | 'ns';
  samples: [a: number, b: number];
  /** Medians with their 95 % bootstrap intervals. */
  a: Estimate;
  b: Estimate;
  /** b / a, with its interval. */
  ratio: number;
  interval: [low: number, high: number];
  pValue: number;
  /** Of B against A. */
  verdict: MetricVerdict;
}

const SIGNIFICANT = 0.01;
/** With four on each side even complete separation has p = 0.03. */
const LEAST_SAMPLES = 5;
/** Shorter intervals than this, at the end of a run, are no sample of a second. */
const WHOLE_SECOND = 0.9;

function add(samples: Samples, name: string, value: number): void {
  if (Number.isFinite(value)) (samples[name] ??= []).push(value);
}

/** The samples that one round gives: one for each metric. */
export function samplesOfRound(samples: Samples, { operations }: Pick<TortureResult, 'operations'>): void {
  for (const [name, { ratePerSecond, latencyNs }] of Object.entries(operations)) {
    add(samples, `${name}.rate`, ratePerSecond);
    add(samples, `${name}.p50`, latencyNs.p50);
    add(samples, `${name}.p99`, latencyNs.p99);
  }
}

/** The samples of one run's time series: its whole seconds. */
export function samplesOfSeries(rows: readonly SeriesRow[]): Samples {
  const samples: Samples = {};
  const ends = [...new Set(rows.map(({ seconds }) => seconds))].toSorted((a, b) => a - b);
  for (const { seconds, operation, ratePerSecond, p50Ns, p99Ns } of rows) {
    const before = ends[ends.indexOf(seconds) - 1] ?? 0;
    if (seconds - before < WHOLE_SECOND) continue;
    add(samples, `${operation}.rate`, ratePerSecond);
    add(samples, `${operation}.p50`, p50Ns);
    add(samples, `${operation}.p99`, p99Ns);
  }
  return samples;
}

/** Compares each metric that both sides have. `paired`: the nth samples of both were taken one after the other. */
export function compareSamples(a: Samples, b: Samples, bounds: Bounds, paired: boolean): MetricComparison[] {
  return Object.keys(a)
    .filter((name) => b[name] !== undefined)
    .map((name) => compareMetric(name, a[name]!, b[name]!, bounds, paired));
}

function compareMetric(name: string, a: number[], b: number[], bounds: Bounds, paired: boolean): MetricComparison {
  const isRate = name.endsWith('.rate');
  const ratio = paired && a.length === b.length ? pairedRatio(b, a) : unpairedRatio(b, a);
  const pValue = mannWhitney(a, b);
  return {
    name,
    unit: isRate ? 'per second' : 'ns',
    samples: [a.length, b.length],
    a: estimate(a),
    b: estimate(b),
    ratio: ratio.median,
    interval: [ratio.low, ratio.high],
    pValue,
    verdict:
      Math.min(a.length, b.length) < LEAST_SAMPLES
        ? 'too few samples'
        : // How many times as long, or as seldom.
          judge(isRate ? 1 / ratio.median : ratio.median, pValue, bounds),
  };
}

function judge(cost: number, pValue: number, { slower, faster }: Bounds): MetricVerdict {
  const beyond = cost > 1 + slower ? 'slower' : cost < 1 / (1 + faster) ? 'faster' : 'same';
  return beyond !== 'same' && pValue >= SIGNIFICANT ? 'unclear' : beyond;
}

/** Keys in which two profiles differ, `actors.0.rate` for one; the seed does not count. */
export function profileDifferences(a: unknown, b: unknown, path: readonly string[] = []): string[] {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b) ? [] : [path.join('.')];
  }
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => path.length > 0 || key !== 'seed');
  const at = (value: object, key: string): unknown => (value as Record<string, unknown>)[key];
  return keys.flatMap((key) => profileDifferences(at(a, key), at(b, key), [...path, key]));
}
