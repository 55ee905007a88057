// `rmptorture/explore` from the package's own exports: a scenario or a program as a test of somebody else's.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expectNoViolation, PROTOCOL_SCENARIOS, type Scenario, UsageError, ViolationFound } from 'rmptorture/explore';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(path.join(tmpdir(), 'expect-'));
afterAll(() => rmSync(folder, { recursive: true }));

const scenario = PROTOCOL_SCENARIOS.find(({ name }) => name === 'mapped-punch-hole')!;

/** The error that the exploration ends with. */
const failureOf = async (what: Scenario | string, budget = {}): Promise<unknown> =>
  expectNoViolation(what, budget).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('expectNoViolation', () => {
  it('resolves with what was covered', async () => {
    expect(await expectNoViolation(scenario, { executions: 200 })).toMatchObject({
      verdict: 'no-violation',
      executions: 200,
      strategy: 'portfolio',
    });
  });

  it('throws the failing interleaving, made small', async () => {
    const error = await failureOf({ ...scenario, variants: ['B05'] });
    expect(error).toBeInstanceOf(ViolationFound);
    const { message, result } = error as ViolationFound;
    expect(message).toMatch(/^mapped-punch-hole: stale-mapping \(execution \d+ of seed 1, strategy portfolio\)\n/);
    expect(message).toMatch(/ mm\/\w+\.ts:\d+/);
    expect(result.violation?.kind).toBe('stale-mapping');
  });

  it('takes a program of ones own', async () => {
    const file = path.join(folder, 'counter.ts');
    const source = (step: string): string => `
      import { check } from 'rmptorture/assert';
      import { atomicAdd32, load32, store32 } from 'rmptorture/point';
      const COUNTER: usize = 65672;
      export function thread0(): void { ${step} }
      export function thread1(): void { ${step} }
      export function finish(): void { check(load32(COUNTER) == 2, 1, load32(COUNTER)); }`;
    writeFileSync(file, source('store32(COUNTER, load32(COUNTER) + 1);'));
    expect(await failureOf(file, { executions: 3 })).toMatchObject({ result: { violation: { kind: 'data-race' } } });
    expect(await failureOf(file, { races: false })).toMatchObject({ result: { violation: { kind: 'assertion' } } });
    writeFileSync(file, source('atomicAdd32(COUNTER, 1);'));
    expect(await expectNoViolation(file, { strategy: 'dpor' })).toMatchObject({ complete: true });
  }, 30_000);

  it('takes no answer for one: executions that were all cut fail', async () => {
    const error = await failureOf(scenario, { stepLimit: 10, executions: 5 });
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toContain('5 of 5 executions were cut at the step limit');
  });
});
