// The searches on real code: programs compiled from AssemblyScript, every state of theirs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { explore } from '#src/explore/explore.js';
import { programTarget } from '#src/explore/program-target.js';
import { depthFirst } from '#src/explore/search/depth-first.js';
import type { SearchResult } from '#src/explore/search/machine.js';
import { StateMachine } from '#src/explore/search/state-machine.js';
import { RandomWalk } from '#src/explore/strategies/random.js';
import type { Target } from '#src/explore/target.js';
import { VisitedSet } from '#src/explore/visited.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, atomicLoad32, atomicStore32, cpuRelax, load32, store32 } from 'rmptorture/point';
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

export function flag_thread0(): void { while (atomicLoad32(A) == 0) cpuRelax(); check(atomicLoad32(B) == 1, 4); }
export function flag_thread1(): void { atomicStore32(B, 1); atomicStore32(A, 1); }
`;

const directory = mkdtempSync(path.join(tmpdir(), 'states-'));
let program: CompiledProgram;
beforeAll(async () => {
  const file = path.join(directory, 'states.ts');
  writeFileSync(file, SOURCE);
  program = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true }));

const targetOf = (name: string): Target =>
  programTarget(program, { name, prefix: `${name}_`, stepLimit: 2000, frozenClock: true });

function search(name: string, sleepSets = true): SearchResult & { limited: boolean } {
  const machine = new StateMachine(targetOf(name));
  const limits = { states: 100_000, depth: 500, stop: () => false };
  const result = depthFirst(machine, VisitedSet.create(4 << 20), { ...limits, sleepSets });
  return { ...result, limited: machine.limited };
}

describe('every state of a program', () => {
  it('is seen once: two threads of three additions have 15 before the end', () => {
    // 4 x 4 places, of which the last is the end, which needs no look at what comes after it.
    expect(search('adds', false)).toMatchObject({ complete: true, limited: false, states: 15 });
  });

  it.each(['mutex', 'flag', 'adds'])('passes: %s, with and without sleep sets', (name) => {
    const [with_, without] = [search(name, true), search(name, false)];
    expect(with_).toMatchObject({ complete: true, limited: false });
    expect(without).toMatchObject({ complete: true, limited: false });
    expect(with_.transitions).toBeLessThanOrEqual(without.transitions);
  });

  it('includes the one that loses an update', () => {
    expect(search('lost').violation).toMatchObject({ kind: 'assertion' });
  });

  it('includes the deadlock of two mutexes', () => {
    expect(search('abba').violation?.kind).toBe('deadlock');
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
