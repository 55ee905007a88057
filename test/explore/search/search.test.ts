// The stateful searches against plain recursion: the same states, the same verdict, the shortest way; and loops told from livelocks.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BreadthFirst, breadthFirst } from '#src/explore/search/breadth-first.js';
import { DepthFirst, depthFirst } from '#src/explore/search/depth-first.js';
import { VisitedSet } from '#src/explore/visited.js';
import { everyState, type Instruction, ToyMachine } from './toy-machine.js';

const LIMITS = { states: 1_000_000, depth: 10_000, stop: () => false };
const set = (): VisitedSet => VisitedSet.create(1 << 17);

const word = fc.nat({ max: 2 });
const value = fc.nat({ max: 2 });
const instruction: fc.Arbitrary<Instruction> = fc.oneof(
  word.map((at): Instruction => ({ op: 'load', word: at })),
  fc.tuple(word, value).map(([at, to]): Instruction => ({ op: 'store', word: at, value: to })),
  word.map((at): Instruction => ({ op: 'store', word: at, value: 'r' })),
  fc.tuple(word, value).map(([at, expected]): Instruction => ({ op: 'exchange', word: at, expected, value: 2 })),
  word.map((at): Instruction => ({ op: 'choose', word: at, count: 3 })),
  fc.tuple(word, value).map(([at, wanted]): Instruction => ({ op: 'wait', word: at, value: wanted })),
  fc.tuple(fc.nat({ max: 4 }), value).map(([to, unless]): Instruction => ({ op: 'jump', to: to + 1, unless })),
);
/** What a thread does that gets on now and then, so that loops may be no livelocks. */
const server: fc.Arbitrary<Instruction> = fc.oneof(
  { weight: 4, arbitrary: instruction },
  { weight: 1, arbitrary: fc.constant<Instruction>({ op: 'progress' }) },
);
const check = fc
  .tuple(word, value)
  .map(([at, wanted]): Instruction => ({ op: 'check', word: at, value: wanted, message: 'another value' }));
/** Jumps that jump to one another without a shared instruction in between would never settle: at most one a thread. */
const thread = fc
  .array(fc.oneof({ weight: 6, arbitrary: instruction }, { weight: 1, arbitrary: check }), {
    minLength: 1,
    maxLength: 5,
  })
  .filter((code) => code.filter(({ op }) => op === 'jump').length < 2)
  .map((code) => (code[0]!.op === 'jump' ? code.slice(1) : code))
  .filter((code) => !code.some((at, n) => at.op === 'jump' && at.to === n));
const program = fc.array(thread, { minLength: 1, maxLength: 3 });
/** Threads that go round for ever. */
const servers = fc.array(
  fc
    .array(server, { minLength: 1, maxLength: 3 })
    .map((code) => code.filter(({ op }) => op !== 'jump'))
    .filter((code) => code.some(({ op }) => op !== 'progress'))
    .map((code): Instruction[] => [...code, { op: 'jump', to: 0 }]),
  { minLength: 1, maxLength: 3 },
);

/** How many steps a schedule makes: each takes a thread and the answers to its choices. */
function stepsOf(code: Instruction[][], schedule: readonly number[]): number {
  const machine = new ToyMachine(code);
  let steps = 0;
  for (let at = 0; at < schedule.length; at += 1 + machine.answers.length) {
    machine.step(schedule[at]!, schedule.slice(at + 1));
    steps++;
  }
  return steps;
}

const spinUntilOne = (at: number): Instruction[] => [
  { op: 'load', word: at },
  { op: 'jump', to: 0, unless: 1 },
];

describe('the stateful searches', () => {
  it('see every state of a correct program, and find what plain recursion finds', () => {
    let correct = 0;
    const kinds = new Set<string>();
    fc.assert(
      fc.property(program, (code) => {
        const machine = new ToyMachine(code);
        const all = everyState(new ToyMachine(code));
        const start = machine.save();
        const depth = depthFirst(machine, set(), LIMITS);
        machine.restore(start);
        const breadth = breadthFirst(machine, set(), LIMITS);
        // Breadth first no loop is looked at.
        const [forDepth, forBreadth] = [all.failures, new Set([...all.failures].filter((kind) => kind !== 'livelock'))];
        for (const [result, failures] of [
          [depth, forDepth],
          [breadth, forBreadth],
        ] as const) {
          expect(result.violation === undefined).toBe(failures.size === 0);
          if (result.violation === undefined) expect(result).toMatchObject({ complete: true, states: all.states });
          else expect(failures).toContain(result.violation.kind);
          kinds.add(result.violation?.kind ?? 'none');
        }
        if (depth.violation?.kind === 'livelock') expect(stepsOf(code, depth.violation.schedule)).toBeGreaterThan(1024);
        if (breadth.violation !== undefined) expect(stepsOf(code, breadth.violation.schedule)).toBe(all.shortest);
        else correct++;
      }),
      { seed: 20261123, numRuns: 500 },
    );
    expect(correct).toBeGreaterThan(100);
    expect([...kinds].toSorted()).toEqual(['check', 'deadlock', 'livelock', 'none']);
  });

  it('tell livelocks and starvation from loops in which everybody gets on, as plain recursion does', () => {
    const verdicts = new Map<string, number>();
    fc.assert(
      fc.property(servers, (code) => {
        const machine = new ToyMachine(code);
        const { violation, states } = depthFirst(machine, set(), LIMITS);
        const kind = violation?.kind ?? 'none';
        fc.pre(states < 100);
        const all = everyState(new ToyMachine(code));
        verdicts.set(kind, (verdicts.get(kind) ?? 0) + 1);
        if (violation === undefined) expect([states, [...all.failures]]).toEqual([all.states, []]);
        else expect(all.failures).toContain(kind);
      }),
      { seed: 20261130, numRuns: 300 },
    );
    for (const kind of ['none', 'livelock', 'starvation', 'deadlock']) expect(verdicts.get(kind)).toBeGreaterThan(10);
  });

  it('give a schedule that leads to the violation', () => {
    const code: Instruction[][] = [0, 1].map(() => [
      { op: 'load', word: 0 },
      { op: 'add', value: 1 },
      { op: 'store', word: 0, value: 'r' },
    ]);
    const lost = (shared: Int32Array): { kind: string; message: string } | undefined =>
      shared[0] === 2 ? undefined : { kind: 'lost', message: 'lost update' };
    for (const search of [
      (machine: ToyMachine) => breadthFirst(machine, set(), LIMITS),
      (machine: ToyMachine) => depthFirst(machine, set(), LIMITS),
    ]) {
      const { violation, complete } = search(new ToyMachine(code, lost));
      expect(complete).toBe(false);
      const again = new ToyMachine(code, lost);
      for (const next of violation!.schedule) again.step(next);
      expect(again.atRest()).toMatchObject({ kind: 'lost' });
    }
  });

  it('call a loop a livelock only if a fair scheduler does not end it', () => {
    const livelock = (code: Instruction[][]): string | undefined =>
      depthFirst(new ToyMachine(code), set(), LIMITS).violation?.kind;
    // Somebody will set the word.
    expect(livelock([spinUntilOne(0), [{ op: 'store', word: 0, value: 1 }]])).toBeUndefined();
    // Nobody will.
    expect(livelock([spinUntilOne(0), [{ op: 'store', word: 1, value: 1 }]])).toBe('livelock');
    // Two threads too polite to go first: each sees the other's flag, takes its own back, and tries again.
    const polite = (own: number, other: number): Instruction[] => [
      { op: 'store', word: own, value: 1 },
      { op: 'load', word: other },
      { op: 'jump', to: 5, unless: 1 },
      { op: 'store', word: own, value: 0 },
      { op: 'jump', to: 0 },
      { op: 'store', word: own, value: 0 },
    ];
    expect(livelock([polite(0, 1), polite(1, 0)])).toBe('livelock');
    // Two that wait, each in a loop of its own: either loop alone is unfair to the other, both together are not.
    expect(livelock([spinUntilOne(0), spinUntilOne(1)])).toBe('livelock');
  });

  it.each(['states', 'depth', 'stop'] as const)('are not complete when they stop at a limit: %s', (limit) => {
    const count: Instruction[] = Array.from({ length: 6 }, (_, n) => ({ op: 'store', word: n % 3, value: n }));
    const limits = { ...LIMITS, ...{ states: { states: 5 }, depth: { depth: 4 }, stop: { stop: () => true } }[limit] };
    for (const result of [
      depthFirst(new ToyMachine([count, count]), set(), limits),
      breadthFirst(new ToyMachine([count, count]), set(), limits),
    ]) {
      expect(result).toMatchObject({ complete: false, limits: [limit] });
    }
  });

  it('breadth first keeps no more states waiting than fit into its memory', () => {
    const count: Instruction[] = Array.from({ length: 6 }, (_, n) => ({ op: 'store', word: n % 3, value: n }));
    const limits = { ...LIMITS, bytesOf: () => 100, frontierBytes: 250 };
    const result = breadthFirst(new ToyMachine([count, count]), set(), limits);
    expect(result).toMatchObject({ complete: false, limits: ['frontier'] });
    const roomier = breadthFirst(new ToyMachine([count, count]), set(), { ...limits, frontierBytes: 10_000 });
    expect(roomier).toMatchObject({ complete: true, limits: [] });
  });

  it('in slices find what they find in one go, and are not complete before the last one', () => {
    const store = (n: number): Instruction => ({ op: 'store', word: n % 3, value: n });
    const code: Instruction[][] = [0, 1].map((first) => Array.from({ length: 6 }, (_, n) => store(n + first)));
    const options = LIMITS;
    const whole = depthFirst(new ToyMachine(code), set(), options);
    const search = new DepthFirst(new ToyMachine(code), set(), options);
    const shares = [];
    while (!search.run(7)) shares.push(search.share);
    expect(search.result()).toEqual(whole);
    expect(search.share).toBe(1);
    expect(shares.length).toBeGreaterThan(3);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    const stopped = new DepthFirst(new ToyMachine(code), set(), options);
    expect(stopped.run(7)).toBe(false);
    expect(stopped.result()).toMatchObject({ complete: false, limits: ['stop'], transitions: 7 });
  });

  it('breadth first go on where they were stopped, and find what they find in one go', () => {
    let resumed = 0;
    fc.assert(
      fc.property(program, fc.nat({ max: 30 }), (code, transitions) => {
        const whole = breadthFirst(new ToyMachine(code), set(), LIMITS);
        const before = set();
        const search = new BreadthFirst(new ToyMachine(code), before, LIMITS);
        search.run(transitions);
        const waits = search.left();
        if (waits === undefined) {
          expect(search.result()).toEqual(whole);
          return;
        }
        resumed++;
        const seen = set();
        seen.insertAll(before.hashes());
        const rest = new BreadthFirst(new ToyMachine(code), seen, LIMITS);
        rest.take(waits);
        rest.run(Infinity);
        expect(rest.result()).toEqual(whole);
      }),
      { seed: 20261130, numRuns: 300 },
    );
    expect(resumed).toBeGreaterThan(100);
  });

  it('breadth first refuse a way that another program cannot go', () => {
    const stores = (count: number): Instruction[][] => [
      Array.from({ length: count }, (_, n) => ({ op: 'store', word: 0, value: n })),
    ];
    const search = new BreadthFirst(new ToyMachine(stores(6)), set(), LIMITS);
    search.run(4);
    const rest = new BreadthFirst(new ToyMachine(stores(2)), set(), LIMITS);
    expect(() => rest.take(search.left()!)).toThrow('a way that was gone before cannot be gone');
  });

  it('that were stopped before their first step have seen nothing', () => {
    const code: Instruction[][] = [[{ op: 'store', word: 0, value: 1 }]];
    for (const search of [
      new DepthFirst(new ToyMachine(code), set(), LIMITS),
      new BreadthFirst(new ToyMachine(code), set(), LIMITS),
    ])
      expect(search.result()).toMatchObject({ complete: false, limits: ['stop'], states: 0 });
    expect(new DepthFirst(new ToyMachine(code), set(), LIMITS).share).toBe(0);
  });

  it('are not complete when states had to be remembered as bits', () => {
    const count: Instruction[] = Array.from({ length: 30 }, (_, n) => ({ op: 'store', word: n % 3, value: n }));
    const result = depthFirst(new ToyMachine([count, count]), VisitedSet.create(4096), LIMITS);
    expect(result).toMatchObject({ complete: false, limits: ['bits'] });
  });
});
