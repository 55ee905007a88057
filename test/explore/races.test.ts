// The race detector against a reference that keeps every access with its full vector clock and compares all pairs.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RaceDetector } from '#src/explore/races.js';
import {
  POINT_ADD,
  POINT_ATOMIC_LOAD,
  POINT_ATOMIC_STORE,
  POINT_CAS,
  POINT_CAS_RELAXED,
  POINT_COPY,
  POINT_FENCE,
  POINT_FILL,
  POINT_LOAD,
  POINT_LOAD_RELAXED,
  POINT_STORE,
} from '#src/kernel/abi/point.js';

const BASE = 0x1000;
const THREADS = 4;
type Step = [thread: number, kind: number, address: number, size?: number];
type Wake = [wake: 'wake', waker: number, waiter: number];

/** Index of the first step that races, -1 for none. */
function firstRace(detector: RaceDetector, steps: (Step | Wake)[]): number {
  detector.restart();
  return steps.findIndex((step) => {
    if (step[0] === 'wake') detector.wake(step[1], step[2]);
    else return detector.access(step[0], step[1], BASE + step[2], step[3] ?? 4) !== undefined;
    return false;
  });
}

interface Access {
  thread: number;
  clock: number[];
  write: boolean;
  atomic: boolean;
}

const later = (a: number[], b: number[]): number[] => a.map((clock, n) => Math.max(clock, b[n]!));

/** The definition, quadratic: every earlier access of the word is compared with this one. */
function firstRaceByDefinition(steps: (Step | Wake)[]): number {
  const clocks: number[][] = Array.from({ length: THREADS }, (_, t) =>
    Array.from({ length: THREADS }, (__, n) => (n === t ? 1 : 0)),
  );
  const words = new Map<number, Access[]>();
  const carried = new Map<number, number[]>();
  return steps.findIndex((step) => {
    if (step[0] === 'wake') {
      const [, waker, waiter] = step;
      clocks[waiter] = later(clocks[waiter]!, clocks[waker]!);
      clocks[waker]![waker]!++;
      return false;
    }
    const [thread, kind, address, size = 4] = step;
    const atomic = kind !== POINT_LOAD && kind !== POINT_STORE;
    const write = kind !== POINT_LOAD && kind !== POINT_ATOMIC_LOAD && kind !== POINT_LOAD_RELAXED;
    const relaxed = kind === POINT_LOAD_RELAXED || kind === POINT_CAS_RELAXED;
    const acquires = kind !== POINT_ATOMIC_STORE && !relaxed;
    if (atomic && acquires && carried.has(address)) {
      clocks[thread] = later(clocks[thread]!, carried.get(address)!);
    }
    let race = false;
    for (let at = address; at < address + size; at += 4) {
      const before = words.get(at) ?? [];
      race ||= before.some(
        (other) =>
          other.thread !== thread &&
          (other.write || write) &&
          !(other.atomic && atomic) &&
          other.clock[other.thread]! > clocks[thread]![other.thread]!,
      );
      words.set(at, [...before, { thread, clock: [...clocks[thread]!], write, atomic }]);
    }
    if (atomic && write && !relaxed) {
      const old = kind === POINT_ATOMIC_STORE ? undefined : carried.get(address);
      carried.set(address, old === undefined ? [...clocks[thread]!] : later(old, clocks[thread]!));
      clocks[thread]![thread]!++;
    }
    return race;
  });
}

const thread = fc.nat({ max: THREADS - 1 });
const word = fc.nat({ max: 3 }).map((n) => n * 8);
const plain = fc.tuple(thread, fc.constantFrom(POINT_LOAD, POINT_STORE), word, fc.constantFrom(4, 8));
const atomic = fc.tuple(
  thread,
  fc.constantFrom(POINT_ATOMIC_LOAD, POINT_LOAD_RELAXED, POINT_ATOMIC_STORE, POINT_CAS, POINT_CAS_RELAXED, POINT_ADD),
  fc.constantFrom(64, 72, 0),
  fc.constant(4),
);
const wake = fc.tuple(fc.constant('wake' as const), thread, thread).filter(([, a, b]) => a !== b);
const trace = fc.array(
  fc.oneof({ weight: 3, arbitrary: plain }, { weight: 4, arbitrary: atomic }, { weight: 1, arbitrary: wake }),
  { maxLength: 40 },
) as fc.Arbitrary<(Step | Wake)[]>;

describe('the race detector', () => {
  const detector = new RaceDetector(BASE, BASE + 256);

  it('names the same first race as the comparison of all pairs, execution after execution on the same cells', () => {
    let races = 0;
    fc.assert(
      fc.property(trace, (steps) => {
        const found = firstRace(detector, steps);
        if (found >= 0) races++;
        expect(found).toBe(firstRaceByDefinition(steps));
      }),
      { seed: 20261123, numRuns: 2000 },
    );
    expect(races).toBeGreaterThan(200);
    expect(races).toBeLessThan(1900);
  });

  it('says who raced, on what, and how', () => {
    detector.restart();
    detector.access(1, POINT_STORE, BASE + 8, 4);
    expect(detector.access(2, POINT_LOAD, BASE + 8, 4)).toEqual({
      address: BASE + 8,
      first: { thread: 1, write: true, atomic: false },
      second: { thread: 2, write: false, atomic: false },
    });
  });

  it('takes an atomic flag for order, a plain flag for a race', () => {
    const pass = (store: number, load: number): Step[] => [
      [0, POINT_STORE, 0],
      [0, store, 16],
      [1, load, 16],
      [1, POINT_LOAD, 0],
    ];
    expect(firstRace(detector, pass(POINT_ATOMIC_STORE, POINT_ATOMIC_LOAD))).toBe(-1);
    expect(firstRace(detector, pass(POINT_STORE, POINT_LOAD))).toBe(2);
    expect(firstRace(detector, pass(POINT_ATOMIC_STORE, POINT_LOAD))).toBe(2);
    expect(firstRace(detector, pass(POINT_STORE, POINT_ATOMIC_LOAD))).toBe(2);
    // A relaxed load is no race itself, but what was written before the store does not come with it.
    expect(firstRace(detector, pass(POINT_ATOMIC_STORE, POINT_LOAD_RELAXED))).toBe(3);
  });

  it('finds a write behind reads of several threads of which it knows only some', () => {
    const reads: Step[] = [
      [0, POINT_LOAD, 0],
      [1, POINT_LOAD, 0],
      [1, POINT_ADD, 16],
      [2, POINT_ADD, 16],
      [2, POINT_STORE, 0],
    ];
    expect(firstRace(detector, reads)).toBe(4);
    expect(firstRace(detector, reads.slice(1))).toBe(-1);
  });

  it('tells bytes of a word apart, and looks at all words of a range', () => {
    expect(firstRace(detector, [[0, POINT_STORE, 0, 1], [1, POINT_STORE, 1, 1]])).toBe(-1); // prettier-ignore
    expect(firstRace(detector, [[0, POINT_STORE, 0, 1], [1, POINT_LOAD, 0, 2]])).toBe(1); // prettier-ignore
    expect(firstRace(detector, [[0, POINT_STORE, 44], [1, POINT_FILL, 0, 64]])).toBe(1); // prettier-ignore
    expect(firstRace(detector, [[0, POINT_STORE, 64], [1, POINT_FILL, 0, 64]])).toBe(-1); // prettier-ignore
    detector.restart();
    detector.access(0, POINT_STORE, BASE + 100, 4);
    expect(detector.access(1, POINT_COPY, BASE, 16, BASE + 96)?.address).toBe(BASE + 100);
  });

  it('orders nothing by a fence alone, and everything before a wake-up', () => {
    expect(firstRace(detector, [[0, POINT_STORE, 0], [0, POINT_FENCE, 0], [1, POINT_FENCE, 0], [1, POINT_LOAD, 0]])).toBe(3); // prettier-ignore
    expect(firstRace(detector, [[0, POINT_STORE, 0], ['wake', 0, 1], [1, POINT_LOAD, 0]])).toBe(-1); // prettier-ignore
  });
});
