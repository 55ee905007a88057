// Source-DPOR against all interleavings: exactly one complete execution of each trace; and against published numbers of traces.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DivergenceError, SourceDpor } from '#src/explore/dpor/source-dpor.js';
import { TraceOrder } from '#src/explore/dpor/trace.js';
import { add, everyTrace, lock, read, type ToyProgram, ToyRun, type ToyStep, unlock, write } from './toy.js';

interface Explored {
  traces: string[];
  redundant: number;
  deadlocks: number;
}

/** The next execution of a search: its trace, undefined when it was given up; false when there is none. */
function next(dpor: SourceDpor, program: ToyProgram): { trace?: string; waits: boolean } | false {
  if (!dpor.begin()) return false;
  const run = new ToyRun(program);
  while (run.enabled !== 0) {
    const thread = dpor.pick(run);
    if (thread < 0) return { waits: false };
    run.step(thread);
  }
  dpor.end(run.waiting);
  return { trace: new TraceOrder(run.events, program.length).canonical(), waits: run.waiting.length > 0 };
}

function explore(program: ToyProgram): Explored {
  const dpor = new SourceDpor();
  const traces: string[] = [];
  let deadlocks = 0;
  for (let made = next(dpor, program); made !== false; made = next(dpor, program)) {
    if (made.waits) deadlocks++;
    if (made.trace !== undefined) traces.push(made.trace);
  }
  expect(dpor.complete).toBe(traces.length);
  return { traces, redundant: dpor.redundant, deadlocks };
}

/** As `explore`, but each search is left after so many executions, divided, and taken up from its JSON by others. */
function exploreInParts(program: ToyProgram, turn: number): { traces: string[]; parts: number } {
  const traces: string[] = [];
  const queue = [new SourceDpor().rest()!];
  let parts = 0;
  for (let part = queue.pop(); part !== undefined; part = queue.pop()) {
    parts++;
    expect(part.weight).toBeGreaterThan(0);
    expect(part.weight).toBeLessThanOrEqual(1);
    const dpor = new SourceDpor();
    dpor.take((JSON.parse(JSON.stringify(part)) as typeof part).state);
    for (let n = 0; n < turn; n++) {
      const made = next(dpor, program);
      if (made === false) break;
      if (made.trace !== undefined) traces.push(made.trace);
    }
    for (const rest of [dpor.split(), dpor.rest()]) if (rest !== undefined) queue.push(rest);
  }
  return { traces, parts };
}

const straight = (...steps: ToyStep[]) =>
  function* thread(): Generator<ToyStep, void, number> {
    for (const step of steps) yield step;
  };
const times = (n: number, thread: (index: number) => () => Generator<ToyStep, void, number>): ToyProgram =>
  Array.from({ length: n }, (_, index) => thread(index));
const repeat = (n: number, step: ToyStep): ToyStep[] => Array.from({ length: n }, () => step);

/** N threads write their own cell from the neighbour's; one looks for the last cell that is 0. Abdulla et al. 2014. */
function lastZero(n: number): ToyProgram {
  return times(
    n + 1,
    (index) =>
      function* thread() {
        if (index > 0) {
          const before = yield read(index - 1);
          yield write(index, before + 1);
          return;
        }
        for (let at = n; (yield read(at)) !== 0; at--);
      },
  );
}

/** Godefroid's file system, from Flanagan and Godefroid 2005. */
function filesystem(n: number): ToyProgram {
  const [inodes, blocks] = [32, 26];
  const [inode, lockInode, busy, lockBusy] = [
    (i: number) => i,
    (i: number) => 100 + i,
    (b: number) => 200 + b,
    (b: number) => 300 + b,
  ];
  return times(
    n,
    (index) =>
      function* thread() {
        const i = index % inodes;
        yield lock(lockInode(i));
        if ((yield read(inode(i))) === 0) {
          for (let b = (i * 2) % blocks; ; b = (b + 1) % blocks) {
            yield lock(lockBusy(b));
            if ((yield read(busy(b))) === 0) {
              yield write(busy(b), 1);
              yield write(inode(i), b + 1);
              yield unlock(lockBusy(b));
              break;
            }
            yield unlock(lockBusy(b));
          }
        }
        yield unlock(lockInode(i));
      },
  );
}

/** The hash table indexer of Flanagan and Godefroid 2005: 4 messages a thread, 128 cells taken by compare-and-swap. */
function indexer(n: number): ToyProgram {
  return times(
    n,
    (index) =>
      function* thread() {
        for (let message = 1; message <= 4; message++) {
          const key = message * 11 + index;
          for (let at = (key * 7) % 128; ; at = (at + 1) % 128) {
            const cell = at;
            const old = yield {
              operation: { kind: 'access', touches: [{ first: cell, end: cell + 1, write: true }] },
              run: (memory) => {
                const seen = memory[cell] ?? 0;
                if (seen === 0) memory[cell] = key;
                return seen;
              },
            };
            if (old === 0) break;
          }
        }
      },
  );
}

describe('source-DPOR', () => {
  const step = fc.oneof(
    fc.nat({ max: 2 }).map((word) => read(word)),
    fc.nat({ max: 2 }).map((word) => write(word, 1)),
    fc.nat({ max: 2 }).map((word) => add(word)),
  );
  const plain = fc.array(step, { maxLength: 3 });
  /** Steps under one or two locks, in either order: some programs deadlock. */
  const locked = fc
    .tuple(fc.subarray([7, 8], { minLength: 1 }), fc.boolean(), fc.array(step, { maxLength: 1 }))
    .map(([locks, turned, steps]) => {
      const order = turned ? locks.toReversed() : locks;
      return [...order.map(lock), ...steps, ...order.toReversed().map(unlock)];
    });
  const program = fc
    .array(fc.oneof(plain, locked), { minLength: 1, maxLength: 3 })
    .map((threads) => threads.map((steps) => straight(...steps)));

  it('runs exactly one execution of each trace, deadlocks included', () => {
    let deadlocks = 0;
    let saved = 0;
    fc.assert(
      fc.property(program, (threads) => {
        const all = everyTrace(threads);
        const explored = explore(threads);
        expect(new Set(explored.traces)).toEqual(all.traces);
        expect(explored.traces.length).toBe(all.traces.size);
        deadlocks += explored.deadlocks;
        saved += all.executions - explored.traces.length;
      }),
      { seed: 20261123, numRuns: 500 },
    );
    expect(deadlocks).toBeGreaterThan(5);
    expect(saved).toBeGreaterThan(10_000);
  });

  it('divided among several searches runs exactly one execution of each trace, too', () => {
    let most = 0;
    fc.assert(
      fc.property(program, fc.integer({ min: 1, max: 4 }), (threads, turn) => {
        const { traces, parts } = exploreInParts(threads, turn);
        expect(traces.toSorted()).toEqual(explore(threads).traces.toSorted());
        most = Math.max(most, parts);
      }),
      { seed: 20261130, numRuns: 500 },
    );
    expect(most).toBeGreaterThan(20);
  });

  it.each<[string, ToyProgram, number]>([
    ['filesystem, 16 threads', filesystem(16), 8],
    ['indexer, 12 threads', indexer(12), 8],
    ['last-zero, 5', lastZero(5), 64],
  ])('divided counts the published number of traces: %s', (_, threads, traces) => {
    expect(exploreInParts(threads, 3).traces.length).toBe(traces);
  });

  it.each<[string, ToyProgram, number]>([
    ['counter, 2 threads x 3 additions', times(2, () => straight(...repeat(3, add(0)))), 20],
    ['counter, 3 threads x 2 additions', times(3, () => straight(...repeat(2, add(0)))), 90],
    ['uniform, 5 + 5 additions', times(2, () => straight(...repeat(5, add(0)))), 252],
    ['lockcount, 2 threads x 2', times(2, () => straight(lock(1), add(0), unlock(1), lock(1), add(0), unlock(1))), 6],
    ['lockcount, 3 threads x 1', times(3, () => straight(lock(1), add(0), unlock(1))), 6],
    ['readers, 3', [straight(write(0, 1)), ...times(3, () => straight(read(0)))], 8],
    ['readers, 10', [straight(write(0, 1)), ...times(10, () => straight(read(0)))], 1024],
    ['filesystem, 14 threads', filesystem(14), 2],
    ['filesystem, 16 threads', filesystem(16), 8],
    ['indexer, 12 threads', indexer(12), 8],
    ['last-zero, 3', lastZero(3), 12],
    ['last-zero, 5', lastZero(5), 64],
  ])('counts the published number of traces: %s', (_, threads, traces) => {
    const explored = explore(threads);
    expect(new Set(explored.traces).size).toBe(traces);
    expect(explored.traces.length).toBe(traces);
  });

  it('gives up redundant executions only in the last-zero family, which optimal-DPOR is for', () => {
    expect(explore(filesystem(16)).redundant).toBe(0);
    expect(explore(times(3, () => straight(...repeat(2, add(0))))).redundant).toBe(0);
    expect(explore(lastZero(5)).redundant).toBeGreaterThan(0);
  });

  it('tries every alternative of a choice that is no thread, and each trace behind it', () => {
    // Thread 0 draws 0, 1 or 2 behind its first step and makes so many additions more; thread 1 makes one.
    const dpor = new SourceDpor();
    const found = new Map<number, number>();
    while (dpor.begin()) {
      let drawn = 0;
      const run = new ToyRun([
        function* thread() {
          yield add(5);
          for (let n = 0; n < drawn; n++) yield add(0);
          yield add(6);
        },
        straight(add(0)),
      ]);
      let asked = false;
      let picked = 0;
      while (run.enabled !== 0 && picked >= 0) {
        picked = dpor.pick(run);
        if (picked < 0) break;
        if (picked === 0 && !asked) {
          asked = true;
          drawn = dpor.choose(3);
        }
        run.step(picked);
      }
      if (picked < 0) continue;
      dpor.end();
      found.set(drawn, (found.get(drawn) ?? 0) + 1);
    }
    // n additions and one of the other thread have n + 1 orders.
    expect(Object.fromEntries(found)).toEqual({ 0: 1, 1: 2, 2: 3 });
  });

  it('says so when an execution does not repeat itself', () => {
    let runs = 0;
    const unstable: ToyProgram = [
      straight(write(0, 1), write(0, 2)),
      () => straight(...(runs++ < 1 ? [write(0, 3)] : []))(),
    ];
    expect(() => explore(unstable)).toThrow(DivergenceError);
  });
});
