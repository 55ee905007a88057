// Oracles that a race alone leads to: within some hundred executions the explorer ends in that one violation, and without the mistake in none.
import { describe, expect, it } from 'vitest';
import { explore } from '#src/explore/explore.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import { EXPLORED } from './plants/explored.js';
import { titled } from './plants/plant.js';

const WITHIN = 1000;
const SOUND = 30;

describe.each(titled(EXPLORED))('%s', (_, { code, wrong, sound }) => {
  it('is found, and nothing else', () => {
    const target = scenarioTarget(wrong);
    const { verdict } = explore(target, strategyNamed('portfolio'), { executions: WITHIN, seed: 1 });
    expect(verdict).toBe('violation');
    // The last execution is the replay of the one that failed.
    expect(target.violations().map(({ details }) => details['code'])).toEqual([code]);
  });

  it('does not happen without the mistake', () => {
    const result = explore(scenarioTarget(sound), strategyNamed('portfolio'), { executions: SOUND, seed: 1 });
    expect(result.verdict).toBe('no-violation');
  });
});
