// Strategies on toy programs: what each promises, measured.
import { describe, expect, it } from 'vitest';
import { objectOf } from '#src/explore/interest.js';
import type { Strategy, View } from '#src/explore/strategy.js';
import { DelayBounding } from '#src/explore/strategies/delay-bounding.js';
import { PreemptionBounding } from '#src/explore/strategies/preemption-bounding.js';
import { Surw } from '#src/explore/strategies/surw.js';
import { WeightedWalk } from '#src/explore/strategies/weighted.js';
import { POINT_ADD, POINT_LOAD, POINT_STORE } from '#src/kernel/abi/point.js';
import { add, everyTrace, lock, read, type ToyProgram, ToyRun, type ToyStep, unlock, write } from './dpor/toy.js';

/** A toy run as a strategy sees it; `creator` makes a step for each other thread before that one can begin. */
function viewOf(run: ToyRun, threadCount: number, creator = -1): View & { step: number } {
  const enabled = new Int32Array(threadCount);
  const isEnabled = (thread: number): boolean =>
    (run.enabled & (1 << thread)) !== 0 &&
    (creator < 0 || thread === creator || run.events.filter((event) => event.thread === creator).length >= thread);
  const touch = (thread: number): { first: number; write: boolean } | undefined => run.operations[thread]?.touches[0];
  return {
    threadCount,
    enabled,
    get enabledCount() {
      let count = 0;
      for (let thread = 0; thread < threadCount; thread++) if (isEnabled(thread)) enabled[count++] = thread;
      return count;
    },
    get current() {
      return run.current;
    },
    step: 0,
    isEnabled,
    hasEnded: (thread) => run.operations[thread] === undefined,
    kind: (thread) => {
      const operation = run.operations[thread];
      if (operation === undefined) return 0;
      return touch(thread) === undefined ? POINT_ADD : touch(thread)!.write ? POINT_STORE : POINT_LOAD;
    },
    address: (thread) => (touch(thread)?.first ?? 1000 + (run.operations[thread]?.lock ?? 0)) * 4,
    bytes: () => 4,
    low: () => 0,
    writes: (thread) => touch(thread)?.write ?? true,
    wokenBy: () => -1,
  };
}

interface Executed {
  run: ToyRun;
  threads: string;
}

/** Executions until the strategy has no more, `limit` at most. */
function* executions(program: ToyProgram, strategy: Strategy, limit = 1_000_000, creator = -1): Generator<Executed> {
  for (let index = 0; index < limit; index++) {
    const run = new ToyRun(program);
    const view = viewOf(run, program.length, creator);
    if (!strategy.begin(index, Math.imul(index + 1, 0x9e3779b1), view)) return;
    while (view.enabledCount > 0) {
      const thread = strategy.pick(view);
      strategy.performed?.(thread, view);
      run.step(thread);
      view.step++;
    }
    strategy.end?.({ steps: view.step, complete: true, failed: false });
    yield { run, threads: run.events.map((event) => event.thread).join('') };
  }
}

const straight = (...steps: ToyStep[]) =>
  function* thread(): Generator<ToyStep, void, number> {
    for (const step of steps) yield step;
  };
const repeat = (n: number, step: ToyStep): ToyStep[] => Array.from({ length: n }, () => step);

function preemptions(threads: string, program: ToyProgram): number {
  const run = new ToyRun(program);
  let count = 0;
  for (const next of threads) {
    if (run.current >= 0 && Number(next) !== run.current && (run.enabled & (1 << run.current)) !== 0) count++;
    run.step(Number(next));
  }
  return count;
}

describe('preemption bounding', () => {
  const program: ToyProgram = [
    straight(...repeat(3, add(0))),
    straight(lock(1), add(0), unlock(1)),
    straight(lock(1), add(0), unlock(1)),
  ];

  it('runs every schedule of up to the limit of preemptions, and counts those once that were not seen under a lower bound', () => {
    const strategy = new PreemptionBounding(2);
    const counted: string[] = [];
    const all = new Set<string>();
    for (const { threads } of executions(program, strategy)) {
      all.add(threads);
      if (!strategy.seenBefore({ steps: 0, complete: true, failed: false })) counted.push(threads);
    }
    const every = allSchedules(program).filter((threads) => preemptions(threads, program) <= 2);
    expect([...all].toSorted()).toEqual(every.toSorted());
    expect(counted.toSorted()).toEqual(every.toSorted());
  });

  it('ends when a higher bound finds nothing more', () => {
    const strategy = new PreemptionBounding(100);
    const found = new Set([...executions(program, strategy)].map(({ threads }) => threads));
    expect(found.size).toBe(allSchedules(program).length);
    expect(strategy.bound).toBeLessThan(10);
  });
});

function allSchedules(program: ToyProgram): string[] {
  const found: string[] = [];
  const explore = (prefix: number[]): void => {
    const run = new ToyRun(program);
    for (const thread of prefix) run.step(thread);
    if (run.enabled === 0) found.push(prefix.join(''));
    for (let thread = 0; thread < program.length; thread++)
      if ((run.enabled & (1 << thread)) !== 0) explore([...prefix, thread]);
  };
  explore([]);
  return found;
}

describe('delay bounding', () => {
  it('needs no delay for round robin without preemption, and finds a lost update with one', () => {
    const lost: ToyProgram = [0, 1].map(
      () =>
        function* thread(): Generator<ToyStep, void, number> {
          const seen = yield read(0);
          yield write(0, seen + 1);
        },
    );
    const [first] = [...executions(lost, new DelayBounding(0))];
    expect(first!.threads).toBe('0011');
    const failing = [...executions(lost, new DelayBounding(1))].filter(({ run }) => run.memory[0] === 1);
    expect(failing.map(({ threads }) => threads)).toContain('0110');
  });

  it('has a number of schedules that does not depend on the number of threads', () => {
    const counts = [3, 6].map((threads) => {
      const program = Array.from({ length: threads }, () => straight(...repeat(12 / threads, add(0))));
      return new Set([...executions(program, new DelayBounding(1))].map((execution) => execution.threads)).size;
    });
    expect(Math.abs(counts[0]! - counts[1]!)).toBeLessThanOrEqual(2);
  });
});

/** How often each order of the accesses to word 0 was seen, and how far that is from even. */
function ordersSeen(runs: Iterable<Executed>): { seen: Map<string, number>; chiSquare: number } {
  const seen = new Map<string, number>();
  let count = 0;
  for (const { run } of runs) {
    const events = run.events.filter((event) => event.operation.touches[0]?.first === 0);
    const order = events.map((event) => event.thread).join('');
    seen.set(order, (seen.get(order) ?? 0) + 1);
    count++;
  }
  const even = count / seen.size;
  return { seen, chiSquare: [...seen.values()].reduce((sum, n) => sum + (n - even) ** 2 / even, 0) };
}

describe('the samplers', () => {
  it('SURW: draws the orders evenly though one thread is created before the other', () => {
    const program: ToyProgram = [
      straight(...repeat(2, add(5))),
      straight(...repeat(3, add(0))),
      straight(...repeat(3, add(0))),
    ];
    const { seen, chiSquare } = ordersSeen(executions(program, new Surw(), 2000, 0));
    expect(seen.size).toBe(20);
    // 19 degrees of freedom: 99.9 % lie below 44. Who draws among those that are there has thread 1 first far too often.
    expect(chiSquare).toBeLessThan(60);
  });

  it('SURW: a thread that often returns early is let go first as often as the others where it does not', () => {
    const program: ToyProgram = [
      straight(write(5, 1), ...repeat(2, add(0))),
      function* thread(): Generator<ToyStep, void, number> {
        if ((yield read(5)) === 0) return;
        yield add(0);
        yield add(0);
      },
    ];
    const { seen } = ordersSeen(executions(program, new Surw(), 2500));
    const both = [...seen].filter(([order]) => order.length === 4);
    expect(both.length).toBe(6);
    const sum = (some: [string, number][]): number => some.reduce((total, [, count]) => total + count, 0);
    const share = sum(both.filter(([order]) => order.startsWith('1'))) / sum(both);
    expect(share).toBeGreaterThan(0.4);
    expect(share).toBeLessThan(0.6);
  });

  it('SURW: draws the orders of the interesting events evenly, however many other steps a thread makes', () => {
    // 4 + 4 additions to one word have 70 orders; thread 1 makes 40 steps more of its own.
    const program: ToyProgram = [straight(...repeat(4, add(0))), straight(...repeat(40, add(5)), ...repeat(4, add(0)))];
    const { seen, chiSquare } = ordersSeen(executions(program, new Surw(), 7000));
    expect(seen.size).toBe(70);
    // 69 degrees of freedom: 99.9 % lie below 111; the first executions, without counts, are not even.
    expect(chiSquare).toBeLessThan(150);
  });

  it('SURW: draws the orders of an object of several words as evenly, in the executions that it draws it in', () => {
    // Each thread adds to both words of one object by turns, thread 1 after 40 steps of its own: 70 orders, which no word alone tells.
    const turns = [0, 1, 0, 1].map((word) => add(word));
    const program: ToyProgram = [straight(...turns), straight(...repeat(40, add(5)), ...turns)];
    const objects = new Surw('surw-objects', [(address) => (address < 8 ? 0 : address)]);
    const seen = new Map<string, number>();
    const RUNS = 7000;
    for (const { run } of executions(program, objects, RUNS)) {
      const order = run.events
        .filter((event) => event.operation.touches[0]!.first < 2)
        .map((event) => event.thread)
        .join('');
      seen.set(order, (seen.get(order) ?? 0) + 1);
    }
    expect(seen.size).toBe(70);
    // Half of the executions are for the object, and those for a word add to that.
    expect(Math.min(...seen.values())).toBeGreaterThan(RUNS / 70 / 4);
  });

  it.each([
    ['rmp[0x11].lo', 'page 0x11'],
    ['page[0x11].refcount', 'page 0x11'],
    ['file0.rm.bindings[0x1]', 'file0.rm.bindings[0x1]'],
    ['vm0.spte[0x9]', 'vm0 gfn 0x9'],
    ['vm0.old_spte[0x9]', 'vm0 gfn 0x9'],
    ['vm0.mem_attr_array[0x9]', 'vm0 gfn 0x9'],
    ['vm0.spte[0x0/2]', 'vm0.spte[0x0/2]'],
    ['vm0.mmu_invalidate_range_end', 'vm0.mmu_invalidate'],
    ['vm0.mmu_lock+0x20', 'vm0.mmu_lock'],
    ['vm0.mmu_lock.wait_lock', 'vm0.mmu_lock'],
    ['first.task.wait_lock', 'first.task.wait_lock'],
    ['vm0.mmu_lock', 'vm0.mmu_lock'],
  ])('SURW: %s is part of %s', (word, object) => {
    expect(objectOf(word)).toBe(object);
  });

  it('SURW: a plain random walk would find the rarest of these orders hardly ever, SURW finds all traces of a small program', () => {
    const program: ToyProgram = [
      straight(read(0), write(1, 1)),
      straight(write(0, 1), read(1)),
      straight(add(0), add(1)),
    ];
    const all = everyTrace(program).traces.size;
    const memories = new Set([...executions(program, new Surw(), 3000)].map(({ threads }) => threads));
    expect(memories.size).toBeGreaterThan(all / 2);
  });

  it('weighted: makes one thread late far more often than a random walk does', () => {
    // Thread 0's only step comes last: 2^-10 for a random walk.
    const program: ToyProgram = [straight(add(0)), straight(...repeat(10, add(0)))];
    const late = [...executions(program, new WeightedWalk(), 4000)].filter(({ threads }) =>
      threads.endsWith('0'),
    ).length;
    expect(late).toBeGreaterThan(150);
  });

  it.each([new Surw(), new WeightedWalk()])('$name: repeats an execution from its seed', (strategy) => {
    const program: ToyProgram = [
      straight(...repeat(5, add(0))),
      straight(...repeat(5, add(0))),
      straight(...repeat(5, add(1))),
    ];
    const one = (): string => {
      const run = new ToyRun(program);
      const view = viewOf(run, 3);
      strategy.begin(1000, 77, view);
      while (view.enabledCount > 0) run.step(strategy.pick(view));
      return run.events.map((event) => event.thread).join('');
    };
    expect(one()).toBe(one());
  });
});
