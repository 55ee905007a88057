// What a run leaves for other programs: histograms of lock classes, invariants, the machine, the folder's files, OpenTelemetry's JSON.
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { SeriesFiles } from '#src/cli/series-files.js';
import { writeTortureFiles } from '#src/cli/torture-files.js';
import { bucketStart } from '#src/host/histogram.js';
import { environmentFingerprint } from '#src/host/environment.js';
import { runTorture, type TortureResult } from '#src/index.js';
import { LOCKSTAT_SUB_BITS } from '#src/kernel/abi/lockstat.js';
import { otlpJson } from '#src/report/metrics-otlp.js';
import { prometheusName } from '#src/report/metrics-prometheus.js';
import { tortureText } from '#src/report/torture.js';
import { invariantsOf } from '#src/torture/invariants.js';
import { profileSchema } from '#src/torture/schema.js';

const PROFILE = {
  host: { memory: '64MiB' },
  vms: [{ name: 'g', vcpus: 2, memory: '4MiB' }],
  actors: [
    { kind: 'vcpu', threads: 2, operations: 5000 },
    { kind: 'invalidator', operations: 300 },
  ],
  duration: '1h',
};
const out = mkdtempSync(join(tmpdir(), 'files-'));
let result: TortureResult;
beforeAll(async () => {
  const series = new SeriesFiles(out);
  result = await runTorture({
    profile: profileSchema.parse(PROFILE),
    profilePath: '.',
    seed: 1n,
    again: '',
    onSeries: (rows, state) => series.add(rows, state),
  });
  await writeTortureFiles(out, { result, profile: 'x: y\n', log: ['line\n'] });
});

const total = (pairs: readonly [number, number][]): number => pairs.reduce((sum, [, count]) => sum + count, 0);

describe('lock classes', () => {
  it('have histograms that hold each wait and each sampled hold, with the percentiles taken from them', () => {
    const { mmu } = result.locks;
    expect(mmu!.acquisitions).toBeGreaterThan(64);
    expect(total(mmu!.holdHistogram)).toBe(mmu!.holdNs.samples);
    expect(total(mmu!.waitHistogram)).toBe(mmu!.waitNs.samples);
    expect(mmu!.waitNs.samples).toBe(mmu!.contended);
    expect(mmu!.holdNs.samples).toBeGreaterThan(0);
    expect(mmu!.holdNs.samples).toBeLessThanOrEqual(mmu!.acquisitions / 64);
    const last = mmu!.holdHistogram.at(-1)![0];
    expect(mmu!.holdNs.max).toBeGreaterThanOrEqual(bucketStart(last, LOCKSTAT_SUB_BITS));
    expect(mmu!.holdNs.max).toBeLessThan(bucketStart(last + 1, LOCKSTAT_SUB_BITS));
    expect(mmu!.holdNs.mean).toBeLessThanOrEqual(mmu!.holdNs.max);
  });

  it('have a file of HdrHistogram text each, as operations have', () => {
    expect(readFileSync(join(out, 'locks/mmu.hold.hgrm'), 'utf8')).toMatch(/^ +Value +Percentile/);
    expect(readFileSync(join(out, 'latency/touch.hgrm'), 'utf8')).toMatch(/^ +Value +Percentile/);
    expect(existsSync(join(out, 'locks/asid.wait.hgrm'))).toBe(false);
  });
});

describe('the folder', () => {
  it('has all files that docs/load.md lists', () => {
    expect(readdirSync(out).toSorted()).toEqual([
      'latency',
      'locks',
      'log.ndjson',
      'metrics.otlp.json',
      'profile.yaml',
      'result.json',
      'series.csv',
      'state.csv',
    ]);
  });
});

describe('invariants', () => {
  it('are all looked at and hold in a run of perturbed that passed', () => {
    expect(result.verdict).toBe('passed');
    expect(result.invariants).toHaveLength(10);
    expect(result.invariants.every(({ holds }) => holds === true)).toBe(true);
    expect(tortureText(result)).toContain('\ninvariants that held: host-page, stale-mapping, ');
  });

  it('are told from those at which nobody looked: fast looks at the state at rest, a failed run not even at that', () => {
    const held = (build: string, audited: boolean, oracles: string[]): (boolean | null)[] => {
      const violations = oracles.map((oracle) => ({ oracle, message: '', thread: '', details: {} }));
      const all = invariantsOf(build, audited, violations);
      return ['host-page', 'guest-data', 'conservation'].map((name) => all.find((one) => one.oracle === name)!.holds);
    };
    expect(held('fast', true, [])).toEqual([true, null, true]);
    expect(held('perturbed', true, [])).toEqual([true, true, true]);
    expect(held('perturbed', false, ['host-page'])).toEqual([false, true, null]);
  });
});

describe('the environment', () => {
  it('names machine, programs and load, and how long threads waited for a CPU', () => {
    const { environment } = result;
    expect(environment).toMatchObject({ node: process.version, version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    expect(environment.commit).toMatch(/^[0-9a-f]{40}$/);
    expect(environmentFingerprint().commit).toBe(environment.commit);
    if (process.platform === 'linux') {
      expect(environment.cpusAllowed).toMatch(/^\d[\d,-]*$/);
      expect(environment.runDelayShare).toBe(result.trust.runDelayShare);
    }
  });
});

interface OtlpMetric {
  name: string;
  unit: string;
  sum?: { isMonotonic: boolean; dataPoints: { asInt: string; attributes: { key: string }[] }[] };
  gauge?: object;
  histogram?: { dataPoints: { count: string; bucketCounts: string[]; explicitBounds: number[] }[] };
}

describe('the metrics for OpenTelemetry', () => {
  it('are one line, with the run as resource and a point for each operation', () => {
    const text = readFileSync(join(out, 'metrics.otlp.json'), 'utf8');
    expect(text.endsWith('}\n')).toBe(true);
    expect(text.trim()).not.toContain('\n');
    const [{ resource, scopeMetrics }] = (
      JSON.parse(text) as { resourceMetrics: [{ resource: object; scopeMetrics: [{ metrics: OtlpMetric[] }] }] }
    ).resourceMetrics;
    expect(resource).toMatchObject({
      attributes: expect.arrayContaining([{ key: 'service.name', value: { stringValue: 'rmptorture' } }]),
    });
    const { metrics } = scopeMetrics[0];
    const touches = metrics.find(({ name }) => name === 'rmptorture.operations')!;
    expect(touches.sum!.isMonotonic).toBe(true);
    expect(touches.sum!.dataPoints[0]).toMatchObject({
      asInt: String(result.operations['touch']!.count),
      attributes: [{ key: 'rmptorture.operation.name', value: { stringValue: 'touch' } }],
    });
    const durations = metrics.find(({ name }) => name === 'rmptorture.operation.duration')!.histogram!.dataPoints;
    for (const { count, bucketCounts, explicitBounds } of durations) {
      expect(bucketCounts).toHaveLength(explicitBounds.length + 1);
      expect(bucketCounts.reduce((sum, each) => sum + Number(each), 0)).toBe(Number(count));
    }
    // Each metric is exactly one of the three.
    for (const { sum, gauge, histogram } of metrics)
      expect([sum, gauge, histogram].filter((data) => data !== undefined)).toHaveLength(1);
  });

  it('count from the start of the run to its end', () => {
    const text = otlpJson({ ...result, durationMs: 1500 }, 1_700_000_000_000.25);
    expect(text).toContain('"startTimeUnixNano":"1699999998500250000","timeUnixNano":"1700000000000250000"');
  });

  it('have the names that Prometheus gets by rule', () => {
    expect(prometheusName({ name: 'a.b', unit: 's', kind: 'histogram' })).toBe('a_b_seconds');
    expect(prometheusName({ name: 'a.b', unit: '{page}', kind: 'counter' })).toBe('a_b_total');
    expect(prometheusName({ name: 'a.b', unit: '{page}', kind: 'gauge' })).toBe('a_b');
  });

  it.each(['docs/load.md'])('are those that %s lists, each with its attributes', (file) => {
    const text = readFileSync(file, 'utf8');
    const { metrics } = (
      JSON.parse(otlpJson(result, 0)) as { resourceMetrics: [{ scopeMetrics: [{ metrics: OtlpMetric[] }] }] }
    ).resourceMetrics[0].scopeMetrics[0];
    for (const { name, unit, sum } of metrics) {
      const line = text.split('\n').find((each) => each.startsWith(`| \`${name}\` |`));
      expect(line, name).toBeDefined();
      expect(line).toContain(`| \`${unit}\` |`);
      for (const { key } of sum?.dataPoints[0]?.attributes ?? []) expect(line).toContain(`\`${key}\``);
    }
  });
});
