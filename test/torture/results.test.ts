// Histograms and thresholds of a torture run.
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { bucketStart, emptyBuckets, percentile } from '#src/host/histogram.js';
import { missedThresholds, parseThresholds } from '#src/torture/thresholds.js';
import { bootKernel } from '../kernel/harness.js';
import { HIST_BUCKETS } from '#src/kernel/abi/program.js';

const operation = {
  count: 10,
  pages: 10,
  ratePerSecond: 100,
  latencyNs: { min: 1, p50: 2, p90: 3, p99: 4_000_000, p999: 5_000_000, max: 6_000_000 },
  errors: {},
  histogram: [],
};

describe('the latency histogram', () => {
  it('puts every value into the bucket that contains it, as the kernel records it', () => {
    const k = bootKernel();
    const at = k.alloc(HIST_BUCKETS * 8);
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 42n) - 1n }), (value) => {
        const bucket = k.x.histogramBucket(value);
        k.x.histogramRecord(at, value);
        expect(bucketStart(bucket)).toBeLessThanOrEqual(Number(value));
        expect(bucketStart(bucket + 1)).toBeGreaterThan(Number(value));
        expect(k.u32(at + bucket * 8)).toBeGreaterThan(0);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('gives percentiles within one sixteenth of the true value', () => {
    const buckets = emptyBuckets();
    const k = bootKernel();
    for (let value = 1; value <= 10_000; value++) buckets[k.x.histogramBucket(BigInt(value))]! += 1;
    for (const share of [0.5, 0.9, 0.99]) {
      expect(Math.abs(percentile(buckets, share) - share * 10_000)).toBeLessThanOrEqual((share * 10_000) / 16);
    }
  });

  it('has no percentile without values', () => {
    expect(percentile(emptyBuckets(), 0.5)).toBeNaN();
  });
});

describe('thresholds', () => {
  it('hold or are named with the measured value', () => {
    const thresholds = parseThresholds({ 'punch_hole.p99': '< 5ms', 'punch_hole.p50': '>= 1us', violations: '== 0' });
    expect(missedThresholds(thresholds, { punch_hole: operation }, 0)).toEqual([
      'punch_hole.p50: >= 1us, but it was 2',
    ]);
  });

  it('do not hold for an operation that never ran', () => {
    expect(missedThresholds(parseThresholds({ 'touch.max': '< 1s' }), {}, 0)).toEqual([
      'touch.max: < 1s, but it was not measured',
    ]);
  });

  it('take invalidate for the hole punches of the invalidator', () => {
    const thresholds = parseThresholds({ 'invalidate.p99': '< 1ms', 'invalidate.rate': '> 99/s' });
    expect(missedThresholds(thresholds, { punch_hole: operation }, 0)).toEqual([
      'invalidate.p99: < 1ms, but it was 4000000',
    ]);
  });

  it.each([
    [
      'touch.p98',
      '< 1s',
      "thresholds.touch.p98: 'p98' is no metric of touch; known are min, p50, p90, p99, p999, max, rate, count",
    ],
    ['violations.p99', '< 1s', "thresholds.violations.p99: 'p99' is no metric of violations; known are count"],
    ['touch', '< 1s', 'thresholds.touch: no operation and metric; write for example invalidate.p99: "< 5ms"'],
    ['touch.p99', 'fast', 'thresholds.touch.p99: "fast" is not understood; write for example invalidate.p99: "< 5ms"'],
    [
      'touch.p99',
      '< 1.2.3ms',
      'thresholds.touch.p99: "< 1.2.3ms" is not understood; write for example invalidate.p99: "< 5ms"',
    ],
    [
      'touch.p99',
      '< 5',
      'thresholds.touch.p99: "< 5": p99 is a time and needs its unit; write for example invalidate.p99: "< 5ms"',
    ],
    [
      'touch.rate',
      '> 5ms',
      'thresholds.touch.rate: "> 5ms": rate is no time; write for example invalidate.p99: "< 5ms"',
    ],
    [
      'slot_mvoe.max',
      '< 1s',
      "thresholds.slot_mvoe.max: no operation is called 'slot_mvoe'; did you mean 'slot_move'?",
    ],
    [
      'invalidat.max',
      '< 1s',
      "thresholds.invalidat.max: no operation is called 'invalidat'; did you mean 'invalidate' or 'pvalidate'?",
    ],
    [
      'to_sharde.max',
      '< 1s',
      "thresholds.to_sharde.max: no operation is called 'to_sharde'; did you mean 'to_shared'?",
    ],
  ])('are refused before the run: %s "%s"', (key, text, message) => {
    expect(() => parseThresholds({ [key]: text })).toThrow(message);
  });
});
