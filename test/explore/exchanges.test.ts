// Which steps a table shows: those at which threads meet each other's accesses.
import { describe, expect, it } from 'vitest';
import { exchangingSteps } from '#src/explore/exchanges.js';
import type { RecordedStep } from '#src/explore/recorder.js';
import { LOCK_HEAP } from '#src/kernel/abi/layout.js';
import * as points from '#src/kernel/abi/point.js';

const A = 70_000;
const B = 70_004;

function step(thread: number, kind: number, address: number, wrote = true, bytes = 4): RecordedStep {
  const values = { low: 0, before: 0, beforeHigh: 0, after: 0, afterHigh: 0 };
  return { thread, kind, address, bytes, ...values, wrote, others: 1, wokenBy: -1 };
}
const read = (thread: number, address: number): RecordedStep => step(thread, points.POINT_LOAD, address, false);
const write = (thread: number, address: number): RecordedStep => step(thread, points.POINT_STORE, address);
const shown = (...steps: RecordedStep[]): number[] => [...exchangingSteps(steps)].toSorted((a, b) => a - b);

describe('exchanging steps', () => {
  it('are of a lost update both reads and both writes', () => {
    expect(shown(read(0, A), read(1, A), write(1, A), write(0, A))).toEqual([0, 1, 2, 3]);
  });

  it('are of many reads in a row the first one after the other thread, and the last one before it', () => {
    const loop = [read(0, A), read(0, A), read(0, A)];
    expect(shown(write(1, A), ...loop, write(1, A))).toEqual([0, 1, 3, 4]);
  });

  it('are none where threads only read, or use words of their own, but the last step', () => {
    expect(shown(read(0, A), read(1, A), write(0, B), write(0, B), read(1, A))).toEqual([4]);
  });

  it('are not those of the heap, which only changes where things lie', () => {
    const take = (thread: number): RecordedStep => step(thread, points.POINT_CAS, LOCK_HEAP);
    expect(shown(take(0), take(1), take(0), read(1, A))).toEqual([3]);
  });

  it('are each wait, and what follows on it', () => {
    expect(shown(step(0, points.POINT_FUTEX_WAIT, A), read(1, B), step(0, 0, A), read(1, B))).toEqual([0, 2, 3]);
  });

  it('meet over every word of a range', () => {
    expect(shown(step(0, points.POINT_FILL, A, true, 64), read(1, A + 40), read(1, A + 40), read(1, B + 800))).toEqual([
      0, 1, 3,
    ]);
  });

  it('do not count a compare-and-exchange that fails as a write', () => {
    expect(shown(read(0, A), step(1, points.POINT_CAS, A, false), read(0, B))).toEqual([2]);
  });
});
