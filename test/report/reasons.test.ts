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
import { LC_USER } from '#src/kernel/abi/classes.js';
import { failureText } from '#src/report/explore.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, atomicLoad32, atomicStore32, cpuRelax, futexWait, futexWake, load32, store32 } from 'rmptorture/point';
import { kmalloc } from 'rmptorture/heap';
import { name } from 'rmptorture/name';
import { mutexInit, mutexLock, mutexUnlock, srcuInit, srcuReadLock, srcuReadUnlock, synchronizeSrcu } from 'rmptorture/sync';
const A: usize = 65672;
const B: usize = 65676;
const FIRST: usize = 66560;
const SECOND: usize = 66624;
export function abba_setup(): void { mutexInit(FIRST, 0); mutexInit(SECOND, 0); name(FIRST, 'first', 64); name(SECOND, 'second', 64); }
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
export function order_setup(): void { mutexInit(FIRST, ${LC_USER}); mutexInit(SECOND, ${LC_USER + 1}); name(FIRST, 'first', 64); name(SECOND, 'second', 64); }
export function order_thread0(): void { both(FIRST, SECOND); }
export function order_thread1(): void { both(SECOND, FIRST); }
export function racy_setup(): void { name(A, 'data'); name(B, 'ready'); }
export function racy_thread0(): void { store32(A, 5); atomicStore32(B, 1); }
export function racy_thread1(): void { atomicLoad32(B); load32(A); }
`;

const folder = mkdtempSync(path.join(tmpdir(), 'reasons-'));
let module: CompiledProgram;
beforeAll(async () => {
  const file = path.join(folder, 'reasons.ts');
  writeFileSync(file, SOURCE);
  module = await compileProgram(file);
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** The report of the program's smallest failing execution. */
function reportOf(name: string, races = false): string {
  const target = programTarget(module, {
    name,
    prefix: `${name}_`,
    stepLimit: 2000,
    threadNames: ['one', 'two'],
    races,
  });
  const { violation } = explore(target, strategyNamed('random'), { executions: 2000, seed: 1 });
  const { failure } = counterexampleOf(target, violation!, { tries: 500, milliseconds: Infinity, nowMs: () => 0 });
  // Lines of the kernel's sources come and go.
  return failureText(target, failure).replaceAll(/\.ts:\d+/g, '.ts');
}

const ABBA = `
 step  one                                              two                                              at
       ---                                              ---
       (2 steps on its own)                                                                              both
    3  cas first 0 -> 1                                                                                  both reasons.ts (sync/word.ts)
       (4 steps on its own)                                                                              both
                                                        <- the scheduler preempts one before cas second
                                                        (2 steps on its own)                             both
   10                                                   cas second 0 -> 1                                both reasons.ts (sync/word.ts)
                                                        (4 steps on its own)                             both
   15                                                   cas first stays 1                                both reasons.ts (sync/word.ts)
                                                        (2 steps on its own)                             both
   18                                                   cas first 1 -> 257                               both reasons.ts (sync/word.ts)
   19                                                   load first = 257                                 both reasons.ts (sync/word.ts)
   20                                                   sleep on first = 257                             both reasons.ts (sync/word.ts)
       <- two holds second and waits for first, held by one
   21  cas second stays 1                                                                                both reasons.ts (sync/word.ts)
       (2 steps on its own)                                                                              both
   24  cas second 1 -> 257                                                                               both reasons.ts (sync/word.ts)
   25  load second = 257                                                                                 both reasons.ts (sync/word.ts)
   26  sleep on second = 257                                                                             both reasons.ts (sync/word.ts)

deadlock: one holds first and waits for second, held by two; two holds second and waits for first, held by one (cycle: one -> two -> one)

Locks at the end:
  one  holds first, taken in step 3, at both reasons.ts (sync/word.ts)
       waits for second, held by two, at both reasons.ts (sync/word.ts)
  two  holds second, taken in step 10, at both reasons.ts (sync/word.ts)
       waits for first, held by one, at both reasons.ts (sync/word.ts)
`.slice(1);

describe('below the table', () => {
  it('stands which lock was taken under which before, of a broken lock order', () => {
    expect(reportOf('order')).toMatch(
      /\nTaken under one another before:\n {2}(?:one|two) took (?:first|second), at both reasons\.ts \(.*\), under (?:first|second), at both /,
    );
  });

  it('stand the two accesses of a data race', () => {
    const step = String.raw`step \d, \w+: (?:write data 0 -> 5|read data = \d), at .*`;
    expect(reportOf('racy', true)).toMatch(new RegExp(`\ndata-race: data: .*\n  ${step}\n  ${step}\n`));
  });
});

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
    expect(report).toMatch(/<- two holds spare and is in synchronize_srcu\(\) of 0x[0-9a-f]+, held by one: it spins\n/);
    expect(report).toMatch(/<- one holds 0x[0-9a-f]+ and waits for spare, held by two\n/);
  });

  it('is a spin loop that waits for a write', () => {
    expect(reportOf('spun')).toContain('<- one spins until somebody writes\n');
  });
});
