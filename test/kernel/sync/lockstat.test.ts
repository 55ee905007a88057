// Lock statistics: every acquisition is counted, every wait measured, hold times sampled; and the buckets are where the layout says.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LC_MAX, LC_USER } from '#src/kernel/abi/classes.js';
import { SH_LOCKSTAT } from '#src/kernel/abi/layout.js';
import * as stat from '#src/kernel/abi/lockstat.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { LOCKS, READER_LOCKS, until, waitersOf } from './support.js';

/** First duration of a bucket, as abi/lockstat.ts defines it. */
const bucketStart = (bucket: number): number =>
  bucket < 4 ? bucket : (4 + (bucket % 4)) * 2 ** (Math.floor(bucket / 4) - 1);

/** Sum over all tasks. */
function statistics(k: TestKernel, cls: number) {
  const total = { acquisitions: 0, contended: 0, waits: 0, waitMaxNs: 0, holdSamples: 0, holds: 0, holdMaxNs: 0 };
  const view = new DataView(k.buffer);
  const histogram = (at: number): number =>
    new Uint32Array(k.buffer, at, stat.LOCKSTAT_BUCKETS).reduce((sum, n) => sum + n, 0);
  for (let task = 0; task < 16; task++) {
    const entry = k.u32(SH_LOCKSTAT) + (task * LC_MAX + cls) * stat.LOCKSTAT_ENTRY_SIZE;
    total.acquisitions += Number(k.u64(entry + stat.LOCKSTAT_ACQUISITIONS));
    total.contended += Number(k.u64(entry + stat.LOCKSTAT_CONTENDED));
    total.holdSamples += k.u32(entry + stat.LOCKSTAT_HOLD_SAMPLES);
    total.waitMaxNs = Math.max(total.waitMaxNs, view.getFloat64(entry + stat.LOCKSTAT_WAIT_MAX_NS, true));
    total.holdMaxNs = Math.max(total.holdMaxNs, view.getFloat64(entry + stat.LOCKSTAT_HOLD_MAX_NS, true));
    total.waits += histogram(entry + stat.LOCKSTAT_WAIT_HISTOGRAM);
    total.holds += histogram(entry + stat.LOCKSTAT_HOLD_HISTOGRAM);
  }
  return total;
}

describe.each(['fast-stat', 'perturbed'] as const)('%s build', (build) => {
  it.each(LOCKS)('$name: acquisitions are exact, one hold in 64 is sampled', (kind) => {
    const k = bootKernel({ build });
    const lock = k.alloc(64);
    k.x[kind.init](lock, LC_USER);
    for (let n = 0; n < 640; n++) {
      const mode = n % 2 === 1 && kind.read !== undefined ? kind.read : kind.write;
      if (n % 4 === 3) expect(k.x[mode.tryLock](lock)).toBe(1);
      else k.x[mode.lock](lock);
      k.x[mode.unlock](lock);
    }
    const after = statistics(k, LC_USER);
    expect(after.acquisitions).toBe(640);
    expect([after.holdSamples, after.holds, after.contended, after.waits]).toEqual([10, 10, 0, 0]);
    expect(after.holdMaxNs).toBeGreaterThan(0);
  });
});

it.each(READER_LOCKS)('$name: a wait is counted and measured, for readers and writers', async (kind) => {
  const k = bootKernel({ build: 'fast-stat' });
  const lock = k.alloc(64);
  k.x[kind.init](lock, LC_USER);
  k.x[kind.write.lock](lock);
  const run = k.threads(
    2,
    (w, index, { lock: l, kind: { read, write } }) => {
      const mode = index === 0 ? read : write;
      w.x[mode.lock](l);
      w.x[mode.unlock](l);
    },
    { lock, kind },
  );
  await until(() => waitersOf(k, lock) === 2);
  k.x[kind.write.unlock](lock);
  await run;
  const found = statistics(k, LC_USER);
  expect([found.contended, found.waits]).toEqual([2, 2]);
  expect(found.waitMaxNs).toBeGreaterThan(0);
});

it('buckets are log-linear, ordered and without gaps', () => {
  const k = bootKernel({ build: 'fast-stat' });
  const last = stat.LOCKSTAT_BUCKETS - 1;
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e13, noNaN: true }), (ns) => {
      const bucket = k.x.lockstatBucket(ns);
      expect(bucketStart(bucket)).toBeLessThanOrEqual(Math.floor(ns));
      if (bucket < last) expect(bucketStart(bucket + 1)).toBeGreaterThan(Math.floor(ns));
    }),
    { seed: 4, numRuns: 300 },
  );
  for (let bucket = 0; bucket <= last; bucket++) expect(k.x.lockstatBucket(bucketStart(bucket))).toBe(bucket);
});
