// The table of a failing execution, letter by letter: what each step read and wrote, and why a thread stopped where another one goes on.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { counterexampleOf } from '#src/explore/counterexample.js';
import { explore } from '#src/explore/explore.js';
import { programTarget } from '#src/explore/program-target.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import { failureText } from '#src/report/explore.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, atomicLoad32, atomicStore32, cpuRelax, futexWait, futexWake } from 'rmptorture/point';
import { kmalloc } from 'rmptorture/heap';
import { mutexInit, mutexLock, mutexUnlock, srcuInit, srcuReadLock, srcuReadUnlock, synchronizeSrcu } from 'rmptorture/sync';
const A: usize = 65672;
const B: usize = 65676;
const FIRST: usize = 66560;
const SECOND: usize = 66624;
export function abba_setup(): void { mutexInit(FIRST, 0); mutexInit(SECOND, 0); }
function both(first: usize, second: usize): void { mutexLock(first); mutexLock(second); mutexUnlock(second); mutexUnlock(first); }
export function abba_thread0(): void { both(FIRST, SECOND); }
export function abba_thread1(): void { both(SECOND, FIRST); }
export function woken_thread0(): void { futexWait(A, 0, -1); check(atomicLoad32(B) == 0, 3, atomicLoad32(B)); }
export function woken_thread1(): void { atomicAdd32(B, 5); atomicStore32(A, 1); futexWake(A, 1); }
export function spun_thread0(): void { atomicStore32(B, 1); futexWake(B, 1); while (atomicLoad32(A) == 0) cpuRelax(); check(false, 4); }
export function spun_thread1(): void { if (atomicLoad32(B) == 0) futexWait(B, 0, -1); atomicStore32(A, 1); }
let srcu: usize = 0;
export function grace_setup(): void { mutexInit(FIRST, 0); srcu = kmalloc(1024); srcuInit(srcu, 0); }
export function grace_thread0(): void { const idx = srcuReadLock(srcu); mutexLock(FIRST); mutexUnlock(FIRST); srcuReadUnlock(srcu, idx); }
export function grace_thread1(): void { mutexLock(FIRST); synchronizeSrcu(srcu); mutexUnlock(FIRST); }
`;

const folder = mkdtempSync(path.join(tmpdir(), 'reasons-'));
let module: CompiledProgram;
beforeAll(async () => {
  const file = path.join(folder, 'reasons.ts');
  writeFileSync(file, SOURCE);
  module = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** The report of the program's smallest failing execution. */
function reportOf(name: string): string {
  const target = programTarget(module, { name, prefix: `${name}_`, stepLimit: 2000, threadNames: ['one', 'two'] });
  const { violation } = explore(target, strategyNamed('random'), { executions: 2000, seed: 1 });
  const { failure } = counterexampleOf(target, violation!, { tries: 500, milliseconds: Infinity, nowMs: () => 0 });
  // Lines of the kernel's sources come and go.
  return failureText(target, failure).replaceAll(/\.ts:\d+$/gm, '.ts');
}

const ABBA = `
 step  one                                              two                                              at
       ---                                              ---
       (2 steps on its own)
    3  cas spare 0 -> 1                                                                                  both sync/word.ts
       (4 steps on its own)
                                                        <- the scheduler preempts one before cas 0x10440
                                                        (2 steps on its own)
   10                                                   cas 0x10440 0 -> 1                               both sync/word.ts
                                                        (4 steps on its own)
   15                                                   cas spare stays 1                                both sync/word.ts
   16                                                   store two.task.wait_lock 0 -> 0x10400            wordLockSlow sync/word.ts
   17                                                   load spare = 1                                   wordLockSlow sync/word.ts
   18                                                   cas spare 1 -> 3                                 wordLockSlow sync/word.ts
   19                                                   sleep on spare = 3                               park@varargs sync/word.ts
       <- two waits for spare, held by one, holding 0x10440
   20  cas 0x10440 stays 1                                                                               both sync/word.ts
   21  store one.task.wait_lock 0 -> 0x10440                                                             wordLockSlow sync/word.ts
   22  load 0x10440 = 1                                                                                  wordLockSlow sync/word.ts
   23  cas 0x10440 1 -> 3                                                                                wordLockSlow sync/word.ts
   24  sleep on 0x10440 = 3                                                                              park@varargs sync/word.ts

deadlock: one waits for 0x10440, held by two, holding spare; two waits for spare, held by one, holding 0x10440 (cycle: one -> two -> one)
`.slice(1);

describe('the reason of each switch', () => {
  it('is a preemption, or the lock that is waited for with who holds it', () => {
    expect(reportOf('abba')).toBe(ABBA);
  });

  it('is the end of the thread before; what is read and added is there with its values', () => {
    const report = reportOf('woken');
    expect(report).toContain('<- two has ended\n');
    expect(report).toContain('add 0x1008c 0 -> 5 ');
    expect(report).toContain('load 0x1008c = 5 ');
  });

  it('is synchronize_srcu() with the reader that it waits for', () => {
    const report = reportOf('grace');
    expect(report).toMatch(/<- two is in synchronize_srcu\(\) of 0x[0-9a-f]+, held by one, holding spare: it spins\n/);
    expect(report).toMatch(/<- one waits for spare, held by two, holding 0x[0-9a-f]+\n/);
  });

  it('is a spin loop that waits for a write', () => {
    expect(reportOf('spun')).toContain('<- one spins until somebody writes\n');
  });
});
