// Programs of a user's, in AssemblyScript: compiled, explored, and each way to fail told apart.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { explore, type ExploreResult, replay } from '#src/explore/explore.js';
import { programTarget, type ProgramOptions } from '#src/explore/program-target.js';
import { Pct } from '#src/explore/strategies/pct.js';
import { Pos } from '#src/explore/strategies/pos.js';
import { RandomWalk } from '#src/explore/strategies/random.js';
import type { Strategy } from '#src/explore/strategy.js';
import { OOPS_ASSERTION } from '#src/kernel/abi/oops.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, cpuRelax, futexWait, futexWake, load32, store32 } from 'rmptorture/point';
import { mutexInit, mutexLock, mutexUnlock } from 'rmptorture/sync';

const A: usize = 65672;
const B: usize = 65676;
const C: usize = 65680;
const LOCKS: usize = 66560;

// Two plain increments: one of them may get lost.
function increment(): void { store32(A, load32(A) + 1); }
export function lost_thread0(): void { increment(); }
export function lost_thread1(): void { increment(); }
export function lost_finish(): void { check(load32(A) == 2, 1, load32(A)); }

// The same with an atomic.
export function atomic_thread0(): void { atomicAdd32(A, 1); }
export function atomic_thread1(): void { atomicAdd32(A, 1); }
export function atomic_finish(): void { check(load32(A) == 2, 2); }

// The same inside a mutex.
export function locked_setup(): void { mutexInit(LOCKS, 0); }
function lockedIncrement(): void { mutexLock(LOCKS); increment(); mutexUnlock(LOCKS); }
export function locked_thread0(): void { lockedIncrement(); }
export function locked_thread1(): void { lockedIncrement(); }
export function locked_thread2(): void { lockedIncrement(); }
export function locked_finish(): void { check(load32(A) == 3, 3, load32(A)); }

// Two mutexes in both orders.
export function abba_setup(): void { mutexInit(LOCKS, 0); mutexInit(LOCKS + 64, 0); }
function both(first: usize, second: usize): void { mutexLock(first); mutexLock(second); mutexUnlock(second); mutexUnlock(first); }
export function abba_thread0(): void { both(LOCKS, LOCKS + 64); }
export function abba_thread1(): void { both(LOCKS + 64, LOCKS); }

// Looks, then sleeps: who sets the flag in between finds no sleeper.
export function sleep_thread0(): void { if (atomicLoad32(A) == 0) { atomicStore32(B, 1); futexWait(B, 1, -1); } }
export function sleep_thread1(): void { atomicStore32(A, 1); if (atomicLoad32(B) == 1) { atomicStore32(B, 0); futexWake(B, 1); } }

// The same with a time limit: the sleeper wakes up by itself.
export function timed_thread0(): void { if (atomicLoad32(A) == 0) { atomicStore32(B, 1); check(futexWait(B, 1, 1000) != 3, 4); } }
export function timed_thread1(): void { sleep_thread1(); }

// Each waits for a flag that only the other one sets, later.
export function spin_thread0(): void { while (atomicLoad32(A) == 0) cpuRelax(); atomicStore32(B, 1); }
export function spin_thread1(): void { while (atomicLoad32(B) == 0) cpuRelax(); atomicStore32(A, 1); }

// A flag that is set in the end: no livelock.
export function flag_thread0(): void { while (atomicLoad32(A) == 0) cpuRelax(); }
export function flag_thread1(): void { atomicStore32(B, 1); atomicStore32(A, 1); }

// Division by what another thread has set to 0.
export function trap_setup(): void { store32(A, 1); }
export function trap_thread0(): void { store32(B, 8 / load32(A)); }
export function trap_thread1(): void { store32(A, 0); }

// Never ends.
export function endless_thread0(): void { while (atomicLoad32(A) == 0) atomicAdd32(B, 1); }

// A promise about two words that is broken for one step.
export function pair_thread0(): void { atomicStore32(A, 1); atomicStore32(B, 1); }
export function pair_invariant(): void { check(load32(A) == load32(B), 5); }

// Woken for no reason: the flag is looked at once only.
export function spurious_thread0(): void { atomicStore32(B, 1); if (atomicLoad32(A) == 0) { futexWait(B, 1, -1); check(atomicLoad32(A) == 1, 6); } }
export function spurious_thread1(): void { atomicStore32(A, 1); atomicStore32(B, 0); futexWake(B, 1); }

// One of three sleepers is woken: any of them.
export function wake_thread0(): void { if (futexWait(B, 0, -1) == 0) atomicAdd32(C, 1); }
export function wake_thread1(): void { if (futexWait(B, 0, -1) == 0) check(false, 7); }
export function wake_thread2(): void { if (futexWait(B, 0, -1) == 0) atomicAdd32(C, 1); }
export function wake_thread3(): void { futexWake(B, 1); atomicStore32(B, 1); futexWake(B, 3); }
`;

const directory = mkdtempSync(path.join(tmpdir(), 'programs-'));
let module: CompiledProgram;

function run(
  prefix: string,
  strategy: Strategy,
  options: Partial<ProgramOptions> = {},
  executions = 500,
): ExploreResult {
  const target = programTarget(module, { name: prefix, prefix: `${prefix}_`, stepLimit: 2000, ...options });
  return explore(target, strategy, { executions, seed: 1 });
}

beforeAll(async () => {
  const file = path.join(directory, 'programs.ts');
  writeFileSync(file, SOURCE);
  module = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true }));

describe('a failure of a program', () => {
  it.each([
    ['lost', 'assertion', /^assertion 1 does not hold \(values 1, 0\)$/],
    ['abba', 'deadlock', /thread0 holds .* and waits for .*held by thread1.*cycle: thread\d -> thread\d -> thread\d/],
    ['sleep', 'lost-wakeup', /thread0 sleeps on/],
    ['spin', 'livelock', /thread0, thread1: each turns its loop/],
    ['trap', 'crash', /thread0: divide by zero/],
    ['pair', 'assertion', /^assertion 5/],
    ['wake', 'assertion', /^assertion 7/],
  ])('%s: %s', (program, kind, message) => {
    const { violation } = run(program, new RandomWalk());
    expect(violation?.kind).toBe(kind);
    expect(violation?.message).toMatch(message);
  });

  it('lost: the assertion is recorded with its number and values', () => {
    const target = programTarget(module, { name: 'lost', prefix: 'lost_', stepLimit: 2000 });
    explore(target, new RandomWalk(), { executions: 500, seed: 1 });
    expect(target.violations()).toMatchObject([{ details: { code: OOPS_ASSERTION, values: [1, 1, 0, 0, 0] } }]);
  });

  it('comes again from its tape, choices of sleepers included', () => {
    const { violation } = run('wake', new RandomWalk());
    const target = programTarget(module, { name: 'wake', prefix: 'wake_' });
    expect(replay(target, violation!.tape)?.message).toBe(violation!.message);
  });

  it('is no verdict when the execution was only too long: it is counted, and the result inconclusive', () => {
    const result = run('endless', new RandomWalk(), {}, 3);
    expect(result).toMatchObject({ verdict: 'inconclusive', executions: 3, stepLimitHits: 3, longest: 2000 });
  });

  it('by a wake-up for no reason is found only where they are asked for', () => {
    expect(run('spurious', new RandomWalk()).verdict).toBe('no-violation');
    expect(run('spurious', new RandomWalk(), { spuriousWakeups: 1 }).violation?.message).toContain('assertion 6');
  });
});

describe('a correct program passes', () => {
  it.each(['atomic', 'locked', 'timed', 'flag'])('%s', (program) => {
    expect(run(program, new RandomWalk()).verdict).toBe('no-violation');
  });
});

describe.each([
  ['random walk', () => new RandomWalk()],
  ['PCT', () => new Pct()],
  ['POS', () => new Pos()],
] as [string, () => Strategy][])('%s', (_, strategy) => {
  it.each(['lost', 'abba', 'sleep', 'trap', 'wake'])('finds what is wrong with %s', (program) => {
    expect(run(program, strategy()).verdict).toBe('violation');
  });

  it('shows every interleaving of two plain increments', () => {
    const target = programTarget(module, { name: 'lost', prefix: 'lost_' });
    const { machine } = target;
    const picked = strategy();
    const seen = new Set<string>();
    for (let index = 0; index < 400; index++) {
      picked.begin(index, index + 1, machine);
      machine.run(picked);
      picked.end?.({ steps: machine.step, complete: true, failed: false });
      seen.add(machine.tape.subarray(0, machine.tapeLength).join(''));
    }
    expect([...seen].toSorted()).toEqual(['0011', '0101', '0110', '1001', '1010', '1100']);
  });
});

describe('a program that cannot be explored', () => {
  it('says where it does not compile', async () => {
    const file = path.join(directory, 'wrong.ts');
    writeFileSync(file, 'export function thread0(): void {\n  nothing();\n}\n');
    await expect(compileProgram(file)).rejects.toThrow(
      /^explore: \S*wrong\.ts:2:3: Cannot find name 'nothing'\. \(TS2304\)$/,
    );
  }, 60_000);

  it('has no thread0', () => {
    expect(() => programTarget(module, { name: 'x', prefix: 'x_' })).toThrow('x: exports no function x_thread0');
  });

  it('is not there', async () => {
    await expect(compileProgram('/nowhere/x.ts')).rejects.toThrow('there is no such file');
  });
});
