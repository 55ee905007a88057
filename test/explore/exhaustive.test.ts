// Exhaustive exploration of real code: source-DPOR on programs whose number of traces is published, and bounded searches; then proofs of locks.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { explore, type ExploreResult } from '#src/explore/explore.js';
import { programTarget, type ProgramOptions } from '#src/explore/program-target.js';
import { DelayBounding } from '#src/explore/strategies/delay-bounding.js';
import { Dpor } from '#src/explore/strategies/dpor.js';
import { PreemptionBounding } from '#src/explore/strategies/preemption-bounding.js';
import { Surw } from '#src/explore/strategies/surw.js';
import { WeightedWalk } from '#src/explore/strategies/weighted.js';
import type { Strategy } from '#src/explore/strategy.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, cpuRelax, futexWait, futexWake, load32, store32 } from 'rmptorture/point';
import { mutexInit, mutexLock, mutexUnlock } from 'rmptorture/sync';

const A: usize = 65672;
const B: usize = 65676;
const LOCK: usize = 66560;

function add(times: i32): void { for (let n = 0; n < times; n++) atomicAdd32(A, 1); }
export function two_thread0(): void { add(3); }
export function two_thread1(): void { add(3); }
export function three_thread0(): void { add(2); }
export function three_thread1(): void { add(2); }
export function three_thread2(): void { add(2); }
export function uniform_thread0(): void { add(5); }
export function uniform_thread1(): void { add(5); }

export function readers_thread0(): void { atomicStore32(A, 1); }
export function readers_thread1(): void { atomicLoad32(A); }
export function readers_thread2(): void { atomicLoad32(A); }
export function readers_thread3(): void { atomicLoad32(A); }

function increment(): void { store32(A, load32(A) + 1); }
export function lost_thread0(): void { increment(); }
export function lost_thread1(): void { increment(); }
export function lost_finish(): void { check(load32(A) == 2, 1); }

export function handoff_thread0(): void { if (atomicLoad32(B) == 0) futexWait(B, 0, -1); check(atomicLoad32(A) == 1, 2); }
export function handoff_thread1(): void { atomicStore32(A, 1); atomicStore32(B, 1); futexWake(B, 1); }

export function mutex_setup(): void { mutexInit(LOCK, 0); }
function locked(): void { mutexLock(LOCK); increment(); mutexUnlock(LOCK); }
export function mutex_thread0(): void { locked(); }
export function mutex_thread1(): void { locked(); }
export function mutex_finish(): void { check(load32(A) == 2, 3); }

function spun(): void { while (atomicCas32(LOCK, 0, 1) != 0) cpuRelax(); increment(); atomicStore32(LOCK, 0); }
export function spin_thread0(): void { spun(); }
export function spin_thread1(): void { spun(); }
export function spin_finish(): void { check(load32(A) == 2, 4); }
`;

const directory = mkdtempSync(path.join(tmpdir(), 'exhaustive-'));
let module: CompiledProgram;

function run(
  prefix: string,
  strategy: Strategy,
  options: Partial<ProgramOptions> = {},
  executions = 200_000,
): ExploreResult {
  const target = programTarget(module, { name: prefix, prefix: `${prefix}_`, stepLimit: 2000, ...options });
  return explore(target, strategy, { executions, seed: 1 });
}

beforeAll(async () => {
  const file = path.join(directory, 'exhaustive.ts');
  writeFileSync(file, SOURCE);
  module = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true }));

describe('source-DPOR on real code', () => {
  it.each([
    ['two', 20],
    ['three', 90],
    ['uniform', 252],
    ['readers', 8],
  ])('counts the published number of traces: %s', (program, traces) => {
    const dpor = new Dpor();
    expect(run(program, dpor)).toMatchObject({ verdict: 'no-violation', complete: true });
    expect(dpor.complete).toBe(traces);
  });

  it.each(['lost'])('finds what is wrong with %s', (program) => {
    expect(run(program, new Dpor()).violation?.kind).toBe('assertion');
  });

  it.each(['handoff', 'mutex'])('proves that nothing is wrong with %s, sleepers and wake-ups included', (program) => {
    const dpor = new Dpor();
    const result = run(program, dpor);
    expect(result).toMatchObject({ verdict: 'no-violation', complete: true });
    expect(dpor.complete).toBeGreaterThan(1);
  });

  it('does not call the exploration of a spin loop complete', () => {
    const result = run('spin', new Dpor());
    expect(result.verdict).toBe('no-violation');
    expect(result.complete).toBe(false);
  });
});

describe.each([
  ['preemption bounding', () => new PreemptionBounding(2)],
  ['delay bounding', () => new DelayBounding(2)],
  ['SURW', () => new Surw()],
  ['weighted random walk', () => new WeightedWalk()],
] as [string, () => Strategy][])('%s', (_, strategy) => {
  it('finds a lost update, and nothing wrong with a mutex', () => {
    expect(run('lost', strategy(), {}, 1000).violation?.kind).toBe('assertion');
    expect(run('mutex', strategy(), {}, 1000).verdict).toBe('no-violation');
  });
});
