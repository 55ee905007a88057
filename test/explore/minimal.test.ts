// Smaller failures of real programs, and the orders they need.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileProgram, type CompiledProgram } from '#src/explore/compile.js';
import { explore, recordFailure, replay } from '#src/explore/explore.js';
import { Budget } from '#src/explore/minimise.js';
import { isSameFailure, minimise, reasons } from '#src/explore/minimal.js';
import { OPERATIONS } from '#src/explore/operation-names.js';
import { programTarget } from '#src/explore/program-target.js';
import { RandomWalk } from '#src/explore/strategies/random.js';
import type { Target } from '#src/explore/target.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, load32, store32 } from 'rmptorture/point';
import { mutexInit, mutexLock, mutexUnlock } from 'rmptorture/sync';
const A: usize = 65672;
const B: usize = 65676;
const LOCKS: usize = 66560;

function busy(): void { for (let n = 0; n < 10; n++) atomicAdd32(B, 1); }
function increment(): void { busy(); store32(A, load32(A) + 1); busy(); }
export function lost_thread0(): void { increment(); }
export function lost_thread1(): void { increment(); }
export function lost_thread2(): void { busy(); }
export function lost_finish(): void { check(load32(A) == 2, 1, load32(A)); }

export function abba_setup(): void { mutexInit(LOCKS, 0); mutexInit(LOCKS + 64, 0); }
function both(first: usize, second: usize): void { busy(); mutexLock(first); busy(); mutexLock(second); mutexUnlock(second); mutexUnlock(first); }
export function abba_thread0(): void { both(LOCKS, LOCKS + 64); }
export function abba_thread1(): void { both(LOCKS + 64, LOCKS); }
`;

const directory = mkdtempSync(path.join(tmpdir(), 'minimal-'));
let compiled: CompiledProgram;
beforeAll(async () => {
  const file = path.join(directory, 'minimal.ts');
  writeFileSync(file, SOURCE);
  compiled = await compileProgram(file);
}, 180_000);
afterAll(() => rmSync(directory, { recursive: true }));

const targetOf = (name: string): Target => programTarget(compiled, { name, prefix: `${name}_`, stepLimit: 2000 });
const plenty = (): Budget => new Budget(5000, 1, () => 0);

describe('a failing execution', () => {
  it.each(['lost', 'abba'])('shrinks to one preemption, and its tape fails in the same way: %s', (name) => {
    const target = targetOf(name);
    let most = 0;
    for (let seed = 1; seed <= 5; seed++) {
      const { violation } = explore(target, new RandomWalk(), { executions: 1000, seed });
      most = Math.max(most, violation!.preemptions);
      const minimal = minimise(target, violation!, violation!.tape, plenty());
      expect(minimal.preemptions).toBe(1);
      expect(minimal.switches).toBeLessThanOrEqual(3);
      expect(isSameFailure(replay(target, minimal.tape)!, violation!)).toBe(true);
    }
    expect(most).toBeGreaterThan(5);
  });

  it('needs exactly the two orders that lose an update', () => {
    const target = targetOf('lost');
    const { violation } = explore(target, new RandomWalk(), { executions: 1000, seed: 1 });
    const minimal = minimise(target, violation!, violation!.tape, plenty());
    const roots = reasons(target, violation!, minimal.tape);
    const { steps } = recordFailure(target, minimal.tape, violation!)!;
    const names = roots.flatMap(({ earlier, later }) => [earlier, later].map((n) => OPERATIONS[steps[n]!.kind]));
    expect(names).toEqual(['read', 'write', 'read', 'write']);
  });
});

describe('failures are the same', () => {
  const finding = (kind: string, message: string): { kind: string; message: string; thread: string } => ({
    kind,
    message,
    thread: '',
  });

  it('whatever their numbers, unless those name an assertion', () => {
    expect(
      isSameFailure(
        finding('host-page', 'free of pfn 0x12, still assigned'),
        finding('host-page', 'free of pfn 0x345, still assigned'),
      ),
    ).toBe(true);
    expect(isSameFailure(finding('host-page', 'free of pfn 0x12'), finding('host-page', 'leak of pfn 0x12'))).toBe(
      false,
    );
    expect(
      isSameFailure(
        finding('assertion', 'assertion 1 does not hold (values 1, 0)'),
        finding('assertion', 'assertion 1 does not hold (values 3, 0)'),
      ),
    ).toBe(true);
    expect(
      isSameFailure(
        finding('assertion', 'assertion 1 does not hold'),
        finding('assertion', 'assertion 2 does not hold'),
      ),
    ).toBe(false);
    expect(isSameFailure(finding('deadlock', 'a'), finding('deadlock', 'b'))).toBe(true);
    expect(isSameFailure(finding('deadlock', 'a'), finding('livelock', 'a'))).toBe(false);
  });
});
