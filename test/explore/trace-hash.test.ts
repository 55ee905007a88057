// Traces are counted as what they are: interleavings that differ in the order of independent steps only are one.
import { describe, expect, it } from 'vitest';
import * as points from '#src/kernel/abi/point.js';
import type { View } from '#src/explore/strategy.js';
import { TraceHash } from '#src/explore/trace-hash.js';

interface Step {
  thread: number;
  kind: number;
  address: number;
  bytes?: number;
}

/** Counts the traces of all interleavings of threads of straight steps. */
function tracesOf(threads: readonly (readonly Omit<Step, 'thread'>[])[]): number {
  const hash = new TraceHash(4096);
  const view = (step: Step): View =>
    ({
      kind: () => step.kind,
      address: () => step.address,
      bytes: () => step.bytes ?? 4,
      low: () => 0,
      writes: () => step.kind !== points.POINT_LOAD && step.kind !== points.POINT_ATOMIC_LOAD,
    }) as unknown as View;
  const all: Step[][] = [];
  const extend = (done: readonly number[], way: readonly Step[]): void => {
    let ended = true;
    for (const [thread, steps] of threads.entries()) {
      const next = steps[done[thread]!];
      if (next === undefined) continue;
      ended = false;
      extend(done.with(thread, done[thread]! + 1), [...way, { thread, ...next }]);
    }
    if (ended) all.push([...way]);
  };
  extend(
    threads.map(() => 0),
    [],
  );
  for (const way of all) {
    hash.begin();
    for (const step of way) hash.performed(step.thread, view(step));
    hash.end();
  }
  return hash.distinct;
}

const read = (address: number, bytes = 4): Omit<Step, 'thread'> => ({ kind: points.POINT_LOAD, address, bytes });
const write = (address: number, bytes = 4): Omit<Step, 'thread'> => ({ kind: points.POINT_STORE, address, bytes });

describe('the number of traces', () => {
  it.each([
    ['two reads of one word are independent', [[read(0)], [read(0)]], 1],
    ['two writes of one word are not', [[write(0)], [write(0)]], 2],
    [
      'writes of different words are independent',
      [
        [write(0), write(4)],
        [write(8), write(12)],
      ],
      1,
    ],
    [
      'two increments',
      [
        [read(0), write(0)],
        [read(0), write(0)],
      ],
      4,
    ],
    ['one writer and three readers', [[write(0)], [read(0)], [read(0)], [read(0)]], 8],
    ['an eight-byte write meets a read of its second word', [[write(0, 8)], [read(4)]], 2],
    ['a four-byte write beside it does not', [[write(0, 4)], [read(4)]], 1],
  ])('%s', (_, threads, count) => {
    expect(tracesOf(threads)).toBe(count);
  });
});
