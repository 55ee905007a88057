// The page allocator's meetings: every state of each is seen, and none violates an invariant; with a planted mistake one does.
import { describe, expect, it } from 'vitest';
import type { Scenario } from '#src/explore/scenario.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { ALLOCATOR_SCENARIOS } from '#src/explore/scenarios/allocator.js';
import { exploreStates } from '#src/explore/search/explore-states.js';

const states = (scenario: Scenario) =>
  exploreStates(scenarioTarget(scenario, { frozenClock: true, stepLimit: 5000, points: 'sync' }), {
    states: 1_000_000,
    depth: 5000,
    bytes: 2 ** 28,
    stop: () => false,
  });

describe('the page allocator', () => {
  it.each(ALLOCATOR_SCENARIOS)('$name: proved ($about)', (scenario) => {
    const result = states(scenario);
    expect(result).toMatchObject({ verdict: 'no-violation', complete: true });
    expect(result.states).toBeGreaterThan(50);
  });

  it('a page that is lost on its way back is noticed', () => {
    const scenario = ALLOCATOR_SCENARIOS.find(({ name }) => name === 'free-free')!;
    expect(states({ ...scenario, variants: ['lose-page'] }).violation?.kind).toBe('conservation');
  });
});
