// Livelocks: executions that come back to a state they were in, told from those that are only long or unfair; and what people are shown of them.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { type Counterexample, counterexampleOf } from '#src/explore/counterexample.js';
import { explore, type ExploreResult } from '#src/explore/explore.js';
import { LASSO_FROM, timesToShow } from '#src/explore/lasso.js';
import { programTarget } from '#src/explore/program-target.js';
import { replayTrace } from '#src/explore/replay-trace.js';
import { exploreStates } from '#src/explore/search/explore-states.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import type { Target } from '#src/explore/target.js';
import { traceOf } from '#src/explore/trace-file.js';
import { failureText } from '#src/report/explore.js';

const SOURCE = `
import { atomicAdd32, atomicLoad32, atomicStore32 } from 'rmptorture/point';
const A: usize = 65672;
const B: usize = 65676;
const C: usize = 65680;
function polite(mine: usize, theirs: usize): void {
  for (;;) {
    atomicStore32(mine, 1);
    if (atomicLoad32(theirs) == 0) break;
    atomicStore32(mine, 0);
  }
}
export function polite_thread0(): void { polite(A, B); atomicStore32(A, 0); }
export function polite_thread1(): void { polite(B, A); atomicStore32(B, 0); }
function counting(mine: usize, theirs: usize): void {
  for (;;) {
    atomicStore32(mine, 1);
    if (atomicLoad32(theirs) == 0) break;
    atomicStore32(mine, 0);
    atomicAdd32(C, 1);
  }
}
export function counting_thread0(): void { counting(A, B); atomicStore32(A, 0); }
export function counting_thread1(): void { counting(B, A); atomicStore32(B, 0); }
export function waiting_thread0(): void { while (atomicLoad32(A) == 0) {} }
export function waiting_thread1(): void { for (let n = 0; n < 300; n++) atomicAdd32(B, 1); atomicStore32(A, 1); }
export function alone_thread0(): void { atomicLoad32(B); while (atomicLoad32(A) == 0) {} }
export function alone_thread1(): void { atomicAdd32(B, 1); }
`;

const folder = mkdtempSync(path.join(tmpdir(), 'lasso-'));
let program: CompiledProgram;
beforeAll(async () => {
  const file = path.join(folder, 'lasso.ts');
  writeFileSync(file, SOURCE);
  program = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

const targetOf = (name: string, frozenClock = false): Target =>
  programTarget(program, { name, prefix: `${name}_`, stepLimit: 4000, frozenClock });
const sample = (name: string, strategy: string, executions = 100): ExploreResult =>
  explore(targetOf(name), strategyNamed(strategy), { executions, seed: 1 });
const small = (target: Target, { violation }: ExploreResult): Counterexample =>
  counterexampleOf(target, violation!, { tries: 1000, milliseconds: 60_000, nowMs: () => 0 });

describe('an execution', () => {
  it('that comes back to a state in a fair way is a livelock', () => {
    const { violation } = sample('polite', 'turns');
    expect(violation?.kind).toBe('livelock');
    expect(violation!.message).toMatch(/thread0, thread1: after step \d+ everything is as after step 1024/);
  });

  it('that one thread alone goes on with is one when the other has ended', () => {
    expect(sample('alone', 'random').violation?.message).toMatch(/^thread0: after step/);
  });

  it('that a thread which could run is kept out of is none, however often it repeats', () => {
    for (const strategy of ['random', 'pct', 'turns'])
      expect(sample('waiting', strategy)).toMatchObject({ verdict: 'no-violation', stepLimitHits: 0 });
    const everything = { states: 100_000, depth: 4000, bytes: 1 << 22, stop: () => false };
    expect(exploreStates(targetOf('waiting', true), everything)).toMatchObject({ verdict: 'no-violation' });
  });

  it('that goes on for ever without coming back to a state is cut at the limit, and nothing is said of it', () => {
    const result = sample('counting', 'turns');
    expect(result).toMatchObject({ verdict: 'inconclusive' });
    expect(result.stepLimitHits).toBeGreaterThan(0);
  });
});

describe('a livelock', () => {
  it.each(['turns', 'states'])(
    'found by %s is shown as the loop and the few steps into it, and replays',
    (strategy) => {
      const target = targetOf('polite', strategy === 'states');
      const found =
        strategy === 'states'
          ? exploreStates(target, { states: 1000, depth: 4000, bytes: 1 << 20, stop: () => false })
          : explore(target, strategyNamed(strategy), { executions: 100, seed: 1 });
      const { failure } = small(target, found);
      expect(failure.steps.length).toBeLessThan(20);
      expect(failure.repeatsFrom).toBeLessThan(10);
      const text = failureText(target, failure);
      expect(text.indexOf('again and again')).toBeGreaterThan(
        text.indexOf(`\n${String(failure.repeatsFrom).padStart(5)}  `),
      );
      expect(text.indexOf('again and again')).toBeLessThan(
        text.indexOf(`${String(failure.repeatsFrom! + 1).padStart(5)}  `),
      );
      const origin = { target: 'polite', points: target.points, stepLimit: 4000, spuriousWakeups: 0, earlyTimeouts: 0 };
      const trace = traceOf(failure, {
        ...origin,
        frozenClock: false,
        strategy,
        seed: 1,
        threads: ['thread0', 'thread1'],
      });
      expect(replayTrace(target, trace).failure?.message).toBe(failure.message);
    },
  );

  it.each([
    [0, 1],
    [0, 5000],
    [1023, 3],
    [1024, 3],
    [5000, 7000],
  ])('with %i steps into a loop of %i is gone round often enough to be seen', (stem, round) => {
    const steps = stem + timesToShow(stem, round) * round;
    const kept = [...Array(20).keys()].map((n) => LASSO_FROM * 2 ** n);
    // A state is kept in the loop and comes again before the next one is kept.
    expect(kept.some((at) => at >= stem && at + round <= 2 * at && at + round < steps)).toBe(true);
  });
});
