// Smaller failing schedules and their reasons, on programs whose answers are known.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Deviation,
  DeviationRecorder,
  DeviationScheduler,
  defaultChoice,
  deviationsOf,
} from '#src/explore/deviations.js';
import { constraintsOf, type Turned } from '#src/explore/explain.js';
import { Budget, ddmin, type Failing, minimiseSchedule } from '#src/explore/minimise.js';
import { add, lock, read, type ToyProgram, ToyRun, type ToyStep, unlock, write } from './dpor/toy.js';

const plenty = (): Budget => new Budget(100_000, 60_000, () => 0);

interface Outcome extends Failing {
  run: ToyRun;
}

/** Runs to the end by `pick`. */
function play(program: ToyProgram, pick: (enabled: number, current: number) => number): Outcome {
  const run = new ToyRun(program);
  const recorder = new DeviationRecorder();
  while (run.enabled !== 0) {
    const thread = pick(run.enabled, run.current);
    recorder.step(thread, run.enabled);
    run.step(thread);
  }
  const { deviations, blocks, preemptions, switches } = recorder;
  return { run, deviations, blocks, preemptions, switches, length: run.events.length };
}

const byDeviations = (program: ToyProgram, deviations: readonly Deviation[]): Outcome => {
  const scheduler = new DeviationScheduler(deviations);
  return play(program, (enabled, current) => scheduler.pick(enabled, current));
};

/** Deterministic noise: a schedule from a list of numbers. */
function byNumbers(program: ToyProgram, numbers: readonly number[]): Outcome {
  let at = 0;
  return play(program, (enabled) => {
    const able = [0, 1, 2, 3].filter((thread) => (enabled & (1 << thread)) !== 0);
    return able[numbers[at++ % numbers.length]! % able.length]!;
  });
}

/** Two threads add 1 without a lock, each amid steps that do not matter. */
const LOST_UPDATE: ToyProgram = [0, 1, 2].map(
  (index) =>
    function* thread(): Generator<ToyStep, void, number> {
      for (let n = 0; n < 4; n++) yield add(10 + index);
      if (index === 2) return;
      const seen = yield read(0);
      yield write(0, seen + 1);
      for (let n = 0; n < 3; n++) yield add(20 + index);
    },
);
const lostUpdate = ({ run }: Outcome): boolean => run.memory[0] === 1;

const CROSSED_LOCKS: ToyProgram = [
  [1, 2],
  [2, 1],
].map(
  ([first, second]) =>
    function* thread(): Generator<ToyStep, void, number> {
      yield add(30);
      yield lock(first!);
      yield add(31);
      yield lock(second!);
      yield unlock(second!);
      yield unlock(first!);
    },
);
const deadlocked = ({ run }: Outcome): boolean => run.waiting.length > 0;

describe('deviations', () => {
  it('repeat the schedule they were recorded from', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 40 }), (numbers) => {
        const outcome = byNumbers(LOST_UPDATE, numbers);
        const again = byDeviations(LOST_UPDATE, outcome.deviations);
        expect(again.run.events.map(({ thread }) => thread)).toEqual(outcome.run.events.map(({ thread }) => thread));
        expect(again).toMatchObject({ preemptions: outcome.preemptions, switches: outcome.switches });
      }),
      { seed: 20261123, numRuns: 300 },
    );
  });

  it('can be made of blocks', () => {
    const { deviations, blocks } = byNumbers(LOST_UPDATE, [3, 1, 4, 1, 5, 9, 2, 6]);
    const runs = [deviations, deviationsOf(blocks)].map((list) => byDeviations(LOST_UPDATE, list).run.events);
    expect(runs[1]!.map(({ thread }) => thread)).toEqual(runs[0]!.map(({ thread }) => thread));
  });

  it('are none for the default schedule', () => {
    expect(play(LOST_UPDATE, defaultChoice)).toMatchObject({ deviations: [], preemptions: 0, switches: 2 });
  });
});

describe('ddmin', () => {
  it('finds the smallest list where it is unique, whatever stands around it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 1000 }), { maxLength: 30 }),
        fc.subarray([2000, 2001, 2002]),
        (noise, cause) => {
          const items = [...noise.slice(0, 10), ...cause.slice(0, 1), ...noise.slice(10), ...cause.slice(1)];
          const fails = (list: readonly number[]): boolean => cause.every((item) => list.includes(item));
          expect(ddmin(items, fails, plenty())).toEqual(cause);
        },
      ),
      { seed: 20261123, numRuns: 300 },
    );
  });

  it('stops when its tries are spent, with a list that fails', () => {
    let tries = 0;
    const fails = (list: readonly number[]): boolean => {
      tries++;
      return list.includes(5) && list.includes(9);
    };
    const items = Array.from({ length: 64 }, (_, n) => n);
    expect(fails(ddmin(items, fails, new Budget(7, 60_000, () => 0)))).toBe(true);
    expect(tries).toBeLessThanOrEqual(8);
    expect(ddmin(items, fails, new Budget(1000, 0, () => 0))).toEqual(items);
  });
});

describe('minimising a schedule', () => {
  const cases: [string, ToyProgram, (outcome: Outcome) => boolean, number][] = [
    ['a lost update', LOST_UPDATE, lostUpdate, 1],
    ['a deadlock', CROSSED_LOCKS, deadlocked, 1],
  ];

  it.each(cases)('leaves one preemption of %s', (_, program, failed, preemptions) => {
    let started = 0;
    for (let seed = 1; seed < 60; seed++) {
      const numbers = Array.from({ length: 40 }, (__, n) => (Math.imul(seed * 41 + n, 0x9e3779b1) >>> 16) % 6);
      const first = byNumbers(program, numbers);
      if (!failed(first)) continue;
      started++;
      const attempt = (deviations: readonly Deviation[]): Failing | undefined => {
        const outcome = byDeviations(program, deviations);
        return failed(outcome) ? outcome : undefined;
      };
      const smallest = minimiseSchedule(first, attempt, plenty());
      expect(smallest.preemptions).toBe(preemptions);
      expect(smallest.switches).toBeLessThanOrEqual(3);
      expect(failed(byDeviations(program, smallest.deviations))).toBe(true);
    }
    expect(started).toBeGreaterThan(5);
  });
});

describe('the reasons of a failure', () => {
  it('are the orders that a lost update needs, and no other race', () => {
    // Thread 0 reads, thread 1 does all it does, thread 0 writes what it read plus one.
    const failing = byDeviations(LOST_UPDATE, [{ from: 0, steps: 5, to: 1 }]);
    expect(lostUpdate(failing)).toBe(true);
    const { events } = failing.run;
    const outcome = (order: readonly number[]): Turned => {
      let at = 0;
      const again = play(LOST_UPDATE, (enabled, current) => {
        const wanted = order[at++];
        const able = wanted !== undefined && (enabled & (1 << events[wanted]!.thread)) !== 0;
        return able ? events[wanted]!.thread : defaultChoice(enabled, current);
      });
      return lostUpdate(again) ? 'fails' : 'passes';
    };
    const roots = constraintsOf(events, outcome);
    const described = roots.map(({ earlier, later }) =>
      [earlier, later]
        .map((n) => `${events[n]!.thread}${events[n]!.operation.touches[0]!.write ? 'w' : 'r'}`)
        .join('<'),
    );
    // Of "0 reads before 1 writes" and "1 reads before 0 writes" each is needed; flipping the two writes alone changes nothing.
    expect(described.toSorted()).toEqual(['0r<1w', '1r<0w']);
  });
});
