// Locks as one step: what they protect is explored with far fewer states, each lock keeps its promise, and who waits for ever is told as a deadlock.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { explore } from '#src/explore/explore.js';
import { programTarget } from '#src/explore/program-target.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { SCENARIOS } from '#src/explore/scenarios/index.js';
import { exploreStates } from '#src/explore/search/explore-states.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import type { Target } from '#src/explore/target.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, atomicSub32, futexWait, futexWake, atomicStore32, load32, store32 } from 'rmptorture/point';
import {
  downRead, downWrite, mutexInit, mutexLock, mutexUnlock, readLock, readUnlock, rwlockInit, rwsemInit, spinLock, spinLockInit, spinUnlock, upRead, upWrite, writeLock,
  writeUnlock,
} from 'rmptorture/sync';
const A: usize = 65672;
const INSIDE: usize = 65676;
const LOCK: usize = 66560;
const OTHER: usize = 66624;
function add(): void { const a = load32(A); atomicAdd32(INSIDE, 1); store32(A, a + 1); atomicSub32(INSIDE, 1); }
function alone(): void { check(atomicAdd32(INSIDE, 1) == 0, 1, 0); atomicSub32(INSIDE, 1); }
export function mutex_setup(): void { mutexInit(LOCK, 0); }
function mutex(): void { mutexLock(LOCK); alone(); add(); mutexUnlock(LOCK); }
export function mutex_thread0(): void { mutex(); }
export function mutex_thread1(): void { mutex(); }
export function mutex_thread2(): void { mutex(); }
export function mutex_finish(): void { check(load32(A) == 3, 2, load32(A)); }
export function spin_setup(): void { spinLockInit(LOCK, 0); }
function spin(): void { spinLock(LOCK); alone(); spinUnlock(LOCK); }
export function spin_thread0(): void { spin(); }
export function spin_thread1(): void { spin(); }
export function spin_thread2(): void { spin(); }
export function rwsem_setup(): void { rwsemInit(LOCK, 0); }
export function rwsem_thread0(): void { downWrite(LOCK); alone(); upWrite(LOCK); }
export function rwsem_thread1(): void { downRead(LOCK); atomicAdd32(INSIDE, 2); atomicSub32(INSIDE, 2); upRead(LOCK); }
export function rwsem_thread2(): void { downRead(LOCK); atomicAdd32(INSIDE, 2); atomicSub32(INSIDE, 2); upRead(LOCK); }
export function rwlock_setup(): void { rwlockInit(LOCK, 0); }
export function rwlock_thread0(): void { writeLock(LOCK); alone(); writeUnlock(LOCK); }
export function rwlock_thread1(): void { readLock(LOCK); atomicAdd32(INSIDE, 2); atomicSub32(INSIDE, 2); readUnlock(LOCK); }
export function abba_setup(): void { mutexInit(LOCK, 0); mutexInit(OTHER, 0); }
function both(first: usize, second: usize): void { mutexLock(first); mutexLock(second); mutexUnlock(second); mutexUnlock(first); }
export function abba_thread0(): void { both(LOCK, OTHER); }
export function abba_thread1(): void { both(OTHER, LOCK); }
export function timed_setup(): void { mutexInit(LOCK, 0); }
export function timed_thread0(): void { mutexLock(LOCK); futexWait(A, 0, 1000000); mutexUnlock(LOCK); }
export function timed_thread1(): void { mutexLock(LOCK); mutexUnlock(LOCK); }
`;

const folder = mkdtempSync(path.join(tmpdir(), 'abstract-'));
let program: CompiledProgram;
beforeAll(async () => {
  const file = path.join(folder, 'abstract.ts');
  writeFileSync(file, SOURCE);
  program = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

const targetOf = (name: string, locks: 'abstract' | 'concrete'): Target =>
  programTarget(program, { name, prefix: `${name}_`, locks, points: 'sync', races: false, frozenClock: true });
const search = (target: Target): ReturnType<typeof exploreStates> =>
  exploreStates(target, { states: 1e7, depth: 5000, bytes: 1 << 26, stop: () => false });

describe('locks as one step', () => {
  it.each(['mutex', 'spin', 'rwsem', 'rwlock'])('%s: keeps its promise, in fewer states', (name) => {
    const [abstract, concrete] = [search(targetOf(name, 'abstract')), search(targetOf(name, 'concrete'))];
    for (const each of [abstract, concrete]) expect(each).toMatchObject({ verdict: 'no-violation', complete: true });
    expect(abstract.states).toBeLessThan(concrete.states / 2);
  });

  it('tell a deadlock with its cycle, in a sample as in a search', () => {
    const cycle = /thread0 holds .* and waits for .*, held by thread1; .*cycle: thread\d -> thread\d -> thread\d/;
    expect(search(targetOf('abba', 'abstract')).violation).toMatchObject({
      kind: expect.stringMatching(/deadlock|locking/) as string,
    });
    const target = targetOf('abba', 'abstract');
    const sampled = explore(target, strategyNamed('random'), { executions: 200, seed: 1, only: 'deadlock' });
    // Lockdep sees the order of the locks first, wherever one thread is through with both.
    if (sampled.violation !== undefined) expect(sampled.violation.message).toMatch(cycle);
    expect(sampled.others ?? sampled.violation).toBeDefined();
  });

  it('let a thread wait whose holder sleeps until its time is up', () => {
    expect(search(targetOf('timed', 'abstract'))).toMatchObject({ verdict: 'no-violation', complete: true });
  });

  it.each(['punch-punch', 'fault-punch-hole'])('%s: the same verdict in fewer states', (name) => {
    const scenario = SCENARIOS.find((each) => each.name === name)!;
    const abstract = search(scenarioTarget(scenario, { frozenClock: true, locks: 'abstract' }));
    expect(abstract).toMatchObject({ verdict: 'no-violation', complete: true });
    const buggy = { ...scenario, variants: ['B05'] };
    expect(search(scenarioTarget(buggy, { frozenClock: true, locks: 'abstract' })).verdict).toBe(
      name === 'punch-punch' ? 'no-violation' : 'violation',
    );
  });
});
