// The lines of the live view: what they say, and that they fit every terminal.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TortureProgress } from '#src/index.js';
import { liveLines } from '#src/report/live.js';

const ABOUT = { title: 'quickstart.yaml: 4 threads', threads: 4 };
const LARGE = { columns: 200, rows: 60 };

/** A state in which everything was done `n` times: bucket 96 of latencies begins at 512 ns, bucket 34 of waits at 768 ns. */
function state(n: number, elapsedMs: number): TortureProgress {
  const operation = {
    count: n,
    pages: n,
    ratePerSecond: 1,
    latencyNs: { min: 1, p50: 2, p90: 3, p99: 4000, p999: 5000, max: 6_000_000 },
    errors: { EFAULT: n / 4 },
    histogram: [[96, n]] as [number, number][],
  };
  const times = { samples: n, mean: 1e6, p50: 1, p99: 1, max: 1 };
  const lock = {
    acquisitions: 10 * n,
    contended: n,
    waitNs: times,
    holdNs: times,
    waitHistogram: [[34, n]] as [number, number][],
    holdHistogram: [],
  };
  return {
    elapsedMs,
    totalMs: 10_000,
    operations: { touch: operation, punch_hole: operation },
    locks: { mmu: lock, slots: { ...lock, waitNs: { ...times, mean: 0 } } },
    pages: { total: 10, free: 7, allocated: 3, assigned: 2, leaked: 0 },
    violations: 0,
  };
}

describe('the live view', () => {
  const lines = liveLines(ABOUT, state(3000, 4000), state(1000, 2000), LARGE);

  it('has rates, p99s and errors, counted from the state before', () => {
    expect(lines.find((line) => line.startsWith('touch '))).toMatch(/^touch +1000 +543 ns +4\.00 us +6\.00 ms +25 %$/);
  });

  it('has the lock first on which most of the threads wait, with the share of their time that they do', () => {
    const [mmu, slots] = lines.filter((line) => /^(mmu|slots) /.test(line));
    // 2000 waits of 1 ms in 2 s of four threads.
    expect(mmu).toMatch(/^mmu +10\.0k +10 % +895 ns +25 %$/);
    expect(slots).toMatch(/^slots .* 0\.0 %$/);
  });

  it('has the time, the pages and the violations, the first of them in words', () => {
    expect(lines[1]).toBe('[==========..............] 4.0 of 10 s');
    expect(lines).toContain('pages  free 7  allocated 3  assigned 2  leaked 0');
    expect(lines).toContain('violations: none');
    const violated = { ...state(1, 1), violations: 2, violation: 'free of pfn 0x1' };
    expect(liveLines(ABOUT, violated, undefined, LARGE)).toContain('violations: 2  free of pfn 0x1');
  });

  it('has no rates before the recorded time has begun', () => {
    const starting = liveLines(ABOUT, state(3, 0), undefined, LARGE);
    expect(starting[1]).toBe('threads come up');
    expect(starting.some((line) => /^(touch|mmu) /.test(line))).toBe(false);
    expect(starting).toContain('violations: none');
  });

  it('fits a terminal of any size, and shows the violations on every one', () => {
    const size = fc.record({ columns: fc.integer({ min: 12, max: 200 }), rows: fc.integer({ min: 2, max: 60 }) });
    fc.assert(
      fc.property(size, ({ columns, rows }) => {
        const shown = liveLines(ABOUT, state(3000, 4000), undefined, { columns, rows });
        expect(shown.length).toBeLessThan(rows);
        expect(Math.max(...shown.map(({ length }) => length))).toBeLessThan(columns);
        expect(shown.some((line) => 'violations: none'.startsWith(line))).toBe(true);
      }),
      { seed: 4, numRuns: 300 },
    );
  });
});
