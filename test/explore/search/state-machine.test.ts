// The searches on real code: programs compiled from AssemblyScript, every state of theirs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { explore, type ExploreResult } from '#src/explore/explore.js';
import { programTarget } from '#src/explore/program-target.js';
import { depthFirst } from '#src/explore/search/depth-first.js';
import { probeLocality } from '#src/explore/search/locality.js';
import type { SearchResult } from '#src/explore/search/machine.js';
import { StateMachine } from '#src/explore/search/state-machine.js';
import { RandomWalk } from '#src/explore/strategies/random.js';
import type { Target, TargetOptions } from '#src/explore/target.js';
import { exploreStates, shortestViolation } from '#src/explorer.js';
import { VisitedSet } from '#src/explore/visited.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, cpuRelax, futexWait, futexWake, load32, store32 } from 'rmptorture/point';
import { mutexInit, mutexLock, mutexUnlock } from 'rmptorture/sync';

const A: usize = 65672;
const B: usize = 65676;
const LOCK: usize = 66560;

export function adds_thread0(): void { for (let n = 0; n < 3; n++) atomicAdd32(A, 1); }
export function adds_thread1(): void { for (let n = 0; n < 3; n++) atomicAdd32(A, 1); }

function increment(): void { store32(A, load32(A) + 1); }
export function lost_thread0(): void { increment(); }
export function lost_thread1(): void { increment(); }
export function lost_finish(): void { check(load32(A) == 2, 1, load32(A)); }

export function mutex_setup(): void { mutexInit(LOCK, 0); }
function locked(): void { mutexLock(LOCK); increment(); mutexUnlock(LOCK); }
export function mutex_thread0(): void { locked(); }
export function mutex_thread1(): void { locked(); }
export function mutex_finish(): void { check(load32(A) == 2, 3); }

export function abba_setup(): void { mutexInit(LOCK, 0); mutexInit(LOCK + 64, 0); }
function both(first: usize, second: usize): void { mutexLock(first); mutexLock(second); mutexUnlock(second); mutexUnlock(first); }
export function abba_thread0(): void { both(LOCK, LOCK + 64); }
export function abba_thread1(): void { both(LOCK + 64, LOCK); }

function sleeps(): void { futexWait(B, 0, -1); }
export function woken_thread0(): void { sleeps(); }
export function woken_thread1(): void { sleeps(); }
export function woken_thread2(): void { futexWake(B, 1); atomicStore32(B, 1); futexWake(B, 2); }

function timed(me: i32): void { if (futexWait(B, 0, 1000) == 2) atomicCas32(A, 0, me); }
export function timed_thread0(): void { timed(1); }
export function timed_thread1(): void { timed(2); }
export function timed_finish(): void { check(atomicLoad32(A) == 1, 6); }

export function early_thread0(): void { check(futexWait(B, 0, -1) != 0 || atomicLoad32(B) == 1, 7); }
export function early_thread1(): void { atomicStore32(B, 1); futexWake(B, 1); }

// Each thread has a word of its own: only the invariant sees them together.
export function apart_thread0(): void { atomicStore32(A, 1); atomicStore32(A, 0); }
export function apart_thread1(): void { atomicStore32(B, 1); atomicStore32(B, 0); }
export function apart_invariant(): void { check(load32(A) == 0 || load32(B) == 0, 8); }

// Nothing of it concerns anybody else, and it has no end.
export function alone_thread0(): void { while (atomicLoad32(A) == 0) {} }
export function alone_thread1(): void { atomicAdd32(B, 1); }

export function flag_thread0(): void { while (atomicLoad32(A) == 0) cpuRelax(); check(atomicLoad32(B) == 1, 4); }
export function flag_thread1(): void { atomicStore32(B, 1); atomicStore32(A, 1); }
`;

const directory = mkdtempSync(path.join(tmpdir(), 'states-'));
let program: CompiledProgram;
beforeAll(async () => {
  const file = path.join(directory, 'states.ts');
  writeFileSync(file, SOURCE);
  program = await compileProgram(file);
}, 180_000);
afterAll(() => rmSync(directory, { recursive: true }));

const targetOf = (name: string, options: TargetOptions = {}): Target =>
  programTarget(program, { name, prefix: `${name}_`, stepLimit: 5000, frozenClock: true, ...options });

function search(name: string): SearchResult {
  const machine = new StateMachine(targetOf(name));
  const limits = { states: 100_000, depth: 500, stop: () => false };
  return depthFirst(machine, VisitedSet.create(4 << 20), limits);
}

describe('every state of a program', () => {
  it('is seen once: two threads of three additions have 15 before the end', () => {
    // 4 x 4 places, of which the last is the end, which needs no look at what comes after it.
    expect(search('adds')).toMatchObject({ complete: true, states: 15 });
  });

  it.each(['mutex', 'flag', 'adds'])('passes: %s', (name) => {
    expect(search(name)).toMatchObject({ complete: true });
  });

  it('includes the one that loses an update', () => {
    expect(search('lost').violation).toMatchObject({ kind: 'assertion' });
  });

  it('includes the deadlock of two mutexes', () => {
    expect(search('abba').violation?.kind).toBe('deadlock');
  });
});

describe('the searches that the package exports', () => {
  const limits = { states: 100_000, depth: 500, bytes: 1 << 20, stop: (): boolean => false };

  it('find a lost update, breadth first in the fewest steps: two loads, two stores', () => {
    const shortest = shortestViolation(targetOf('lost'), limits);
    const deepest = exploreStates(targetOf('lost'), limits);
    expect([shortest.violation?.kind, deepest.violation?.kind]).toEqual(['assertion', 'assertion']);
    expect(shortest.violation?.tape).toHaveLength(4);
  });

  it('say that all was seen where nothing fails', () => {
    for (const find of [exploreStates, shortestViolation])
      expect(find(targetOf('mutex'), limits)).toMatchObject({ verdict: 'no-violation', complete: true });
  });
});

describe('local steps', () => {
  const every = (name: string): ExploreResult =>
    exploreStates(targetOf(name), { states: 100_000, depth: 5000, bytes: 1 << 20, stop: () => false });

  it('are none that an invariant may see', () => {
    expect(every('apart').violation?.kind).toBe('assertion');
  });

  it('that go round for ever are met again', () => {
    expect(every('alone').violation?.kind).toBe('livelock');
  });

  it('to a word that was wrongly taken to be touched in order are found out, and what it takes to find that is not lost', () => {
    const target = targetOf('lost');
    const locality = probeLocality(target);
    for (const word of locality.shared()) locality.setOrdered(word);
    const machine = new StateMachine(target, locality);
    const limits = { states: 100_000, depth: 500, stop: () => false };
    depthFirst(machine, VisitedSet.create(4 << 20), limits);
    expect(locality.changed).toBe(true);
    machine.release();
    expect(depthFirst(machine, VisitedSet.create(4 << 20), limits).violation?.kind).toBe('assertion');
  });
});

describe('choices that are no threads', () => {
  const every = (name: string, options: TargetOptions = {}): ExploreResult =>
    exploreStates(targetOf(name, options), { states: 100_000, depth: 500, bytes: 1 << 20, stop: () => false });

  it('are every sleeper that a wake-up may meet', () => {
    const machine = new StateMachine(targetOf('woken'));
    for (const thread of [0, 1]) machine.step(thread);
    const saved = machine.save();
    machine.step(2);
    expect([machine.answers, machine.nextAnswers(), machine.enabled()]).toEqual([[0], [1], 0b101]);
    machine.restore(saved);
    machine.step(2, [1]);
    expect([machine.answers, machine.nextAnswers(), machine.enabled()]).toEqual([[1], undefined, 0b110]);
    expect(every('woken')).toMatchObject({ verdict: 'no-violation', complete: true });
  });

  it('are every wait that may time out when nobody can run, and the failure they lead to is replayed', () => {
    const { verdict, violation } = every('timed');
    expect(verdict).toBe('violation');
    expect(violation).toMatchObject({ kind: 'assertion' });
  });

  it('are returns from a wait for no reason, as many as are allowed', () => {
    expect(every('early')).toMatchObject({ verdict: 'no-violation', complete: true });
    expect(every('early', { spuriousWakeups: 1 }).violation).toMatchObject({ kind: 'assertion' });
  });
});

describe('a saved state', () => {
  it('comes back as it was, whatever was done since, with the same hash', () => {
    const machine = new StateMachine(targetOf('mutex'));
    for (const thread of [0, 0, 1, 0]) machine.step(thread);
    const saved = machine.save();
    const hash = [machine.hashLow, machine.hashHigh];
    const ways = [0, 1].map(() => {
      machine.restore(saved);
      expect([machine.hashLow, machine.hashHigh]).toEqual(hash);
      const way: number[] = [];
      while (machine.enabled() !== 0) {
        const thread = 31 - Math.clz32(machine.enabled());
        expect(machine.step(thread)).toBeUndefined();
        way.push(thread, machine.hashLow);
      }
      expect(machine.unfinished()).toBe(0);
      expect(machine.atRest()).toBeUndefined();
      return way;
    });
    expect(ways[1]).toEqual(ways[0]);
  });

  it('leaves the machine fit for whole executions', () => {
    const target = targetOf('mutex');
    const machine = new StateMachine(target);
    machine.step(1);
    machine.release();
    expect(explore(target, new RandomWalk(), { executions: 50, seed: 1 }).verdict).toBe('no-violation');
  });
});
