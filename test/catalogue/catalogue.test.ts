// The catalogue: every bug fails with a verdict of its own within a stated number of executions, and the same scenario passes without the mistake.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { scenarioOf } from '#src/catalogue/bug.js';
import { BUGS } from '#src/catalogue/index.js';
import { OUT_OF_REACH } from '#src/catalogue/out-of-reach.js';
import { reproduce } from '#src/catalogue/reproduce.js';
import { explore } from '#src/explore/explore.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import { bugIndex, bugPage } from '#src/report/bug-page.js';

/** Executions within which the portfolio finds each bug, from any seed. */
const WITHIN = 10_000;
const SEEDS = [1, 2, 3];

describe('the catalogue', () => {
  it('has every number from B01 to B61 once: shown, or with the reason why not', () => {
    const ids = [...BUGS, ...OUT_OF_REACH].map(({ id }) => id);
    const all = Array.from({ length: 61 }, (_, n) => `B${String(n + 1).padStart(2, '0')}`);
    expect(ids.toSorted()).toEqual(all);
    expect(BUGS.map(({ id }) => id)).toEqual(BUGS.map(({ id }) => id).toSorted());
  });

  it.each(BUGS)(`$id, $title: found within ${WITHIN} executions from each seed, with its own verdict`, (bug) => {
    const target = scenarioTarget(scenarioOf(bug, true));
    for (const seed of SEEDS) {
      const { violation } = explore(target, strategyNamed('portfolio'), { executions: WITHIN, seed });
      expect(bug.verdicts, violation?.message ?? 'not found').toContain(violation?.kind);
    }
  });

  it.each(BUGS)('$id: nothing fails without the mistake', (bug) => {
    const target = scenarioTarget(scenarioOf(bug, false));
    const result = explore(target, strategyNamed('portfolio'), { executions: 150, seed: 1 });
    expect(result).toMatchObject({ verdict: 'no-violation', executions: 150 });
  });
});

describe('reproducing a bug', () => {
  const options = {
    executions: 200,
    states: 20_000,
    milliseconds: 1e9,
    seed: 1,
    strategy: 'portfolio',
    minimise: { tries: 300, milliseconds: 1e9 },
    nowMs: () => 0,
    stop: () => false,
  };
  const bugNamed = (id: string) => BUGS.find((bug) => bug.id === id)!;

  it('confirms it, with a failing execution made small', () => {
    const { confirmed, buggy, fixed } = reproduce(bugNamed('B03'), options);
    expect(confirmed).toBe(true);
    expect(buggy.counterexample!.failure).toMatchObject({ kind: 'balance', preemptions: 1 });
    expect(buggy.counterexample!.constraints.length).toBeGreaterThan(0);
    expect(fixed.result.verdict).toBe('no-violation');
  });

  it('proves the fix where every interleaving can be seen', () => {
    const { fixed } = reproduce(bugNamed('B09'), options);
    expect(fixed.result).toMatchObject({ strategy: 'states', complete: true });
  });

  it('does not confirm a mistake that was not found, or that shows as something else', () => {
    const bug = bugNamed('B03');
    expect(reproduce({ ...bug, variants: [] }, options).confirmed).toBe(false);
    expect(reproduce({ ...bug, verdicts: ['deadlock'] }, options).confirmed).toBe(false);
  });
});

describe('the pages of docs/bugs', () => {
  const page = (name: string): string => readFileSync(new URL(`../../docs/bugs/${name}.md`, import.meta.url), 'utf8');

  it('list every bug, and say of each what the catalogue says', () => {
    expect(page('README')).toBe(bugIndex(BUGS, OUT_OF_REACH));
    for (const { id, title, story, fix } of BUGS) {
      for (const text of [`# ${id}: ${title}`, story, `**Fix.** ${fix}.`]) expect(page(id)).toContain(text);
    }
  });

  it('say of each how soon it was found, and by which strategy soonest', () => {
    const rows = [...page('found').matchAll(/^\| \[(B\d+)\]\(\1\.md\) \|.*\| (\w+) \|$/gm)];
    expect(rows.map(([, id, best]) => [id, best])).toEqual(BUGS.map(({ id, strategy }) => [id, strategy]));
    expect(page('found')).toContain('**met**');
  });

  it('show the interleaving as it is found now', () => {
    const byTries = {
      executions: 1000,
      milliseconds: 1e9,
      states: 3_000_000,
      minimise: { tries: 500, milliseconds: Infinity },
    };
    const bug = BUGS.find(({ id }) => id === 'B09')!;
    const options = { ...byTries, seed: 1, strategy: 'portfolio', nowMs: () => 0, stop: () => false };
    expect(page('B09')).toBe(bugPage(reproduce(bug, options)));
  });
});
