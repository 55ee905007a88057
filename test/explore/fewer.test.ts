// Scenarios without what a failure does not need.
import { describe, expect, it } from 'vitest';
import { explore } from '#src/explore/explore.js';
import { operationCount, smallerScenario, withoutNeedless } from '#src/explore/fewer.js';
import type { Operation, Scenario } from '#src/explore/scenario.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { PROTOCOL_SCENARIOS } from '#src/explore/scenarios/protocol.js';
import { strategyNamed } from '#src/explore/strategies/named.js';

const psmash = (pfn: number): Operation => ({ op: 'psmash', pfn });
const SCENARIO: Scenario = {
  name: 'numbers',
  about: '',
  setup: [psmash(1), psmash(2)],
  threads: { a: [psmash(3), psmash(4), psmash(5)], b: [psmash(6)], c: [psmash(7), psmash(8)] },
};
const pfns = ({ threads, setup = [] }: Scenario): number[] =>
  [...setup, ...Object.values(threads).flat()].map((each) => (each as { pfn: number }).pfn);

describe('leaving operations out', () => {
  it.each([
    [[4, 8], { a: [4], c: [8] }],
    [[2, 3, 6], { a: [3], b: [6] }],
    [[1, 7], { c: [7] }],
  ])('keeps those that the failure needs: %j', (needed, threads) => {
    const left = withoutNeedless(SCENARIO, (smaller) => needed.every((pfn) => pfns(smaller).includes(pfn)));
    const names = Object.entries(left.threads).map(([thread, calls]) => [
      thread,
      pfns({ ...left, setup: [], threads: { thread: calls } }),
    ]);
    expect(Object.fromEntries(names)).toEqual(threads);
    expect(pfns({ ...left, threads: {} })).toEqual(needed.filter((pfn) => pfn < 3));
  });

  it('asks only about what may go', () => {
    const left = withoutNeedless(
      SCENARIO,
      () => true,
      () => false,
    );
    expect(pfns({ ...left, threads: {} })).toEqual([1, 2]);
  });

  it('takes a thread and operations from a scenario that fails without them, and never one that an expectation is about', () => {
    const base = PROTOCOL_SCENARIOS.find(({ name }) => name === 'fault-punch-hole')!;
    const idle: Operation[] = [
      { op: 'open-file', file: 'memory' },
      { op: 'close-file', file: 'memory' },
    ];
    const threads = { ...base.threads, idle };
    const target = scenarioTarget({ ...base, variants: ['no-retry-check'], threads });
    const { violation } = explore(target, strategyNamed('portfolio'), { executions: 300, seed: 1 });
    const smaller = smallerScenario(target, violation!, () => true)!;
    expect(Object.keys(smaller.scenario.threads)).not.toContain('idle');
    expect(operationCount(smaller.scenario)).toBeLessThanOrEqual(operationCount(base));
    expect(smaller.failure.kind).toBe(violation!.kind);
    expect(smallerScenario(target, { ...violation!, kind: 'expectation' }, () => true)).toBeUndefined();
    expect(smallerScenario(target, violation!, () => false)).toBeUndefined();
  });
});
