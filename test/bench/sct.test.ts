// The SCTBench programs: each compiles, passes in the natural order where its original does, and fails as its original does.
import { beforeAll, describe, expect, it } from 'vitest';
import { CHESS } from '#bench/sct/chess.js';
import { SAFE_STACK } from '#bench/sct/lock-free.js';
import { compileAll, PROGRAMS, targetOf } from '#bench/sct/programs.js';
import { threadsOf } from '#bench/sct/source.js';
import { sctText, type SctRow, STRATEGIES } from '#bench/sct/text.js';
import type { CompiledProgram } from '#src/explore/compile.js';
import { explore } from '#src/explore/explore.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import type { Strategy, View } from '#src/explore/strategy.js';

let module: CompiledProgram;
beforeAll(async () => {
  module = await compileAll();
}, 120_000);

/** Each thread as far as it goes, in their order. */
const natural: Strategy = {
  name: 'natural',
  exhaustive: false,
  begin: () => true,
  pick: (view: View) =>
    view.current >= 0 && view.isEnabled(view.current)
      ? view.current
      : Math.min(...view.enabled.subarray(0, view.enabledCount)),
  choose: () => 0,
};

/** Hundred threads take long to explore. */
const SMALL = PROGRAMS.filter(({ bodies }) => bodies.length <= 50);

describe('the programs', () => {
  it('have the threads of their originals', () => {
    const threads = Object.fromEntries(PROGRAMS.map((program) => [program.name, threadsOf(program)]));
    expect(threads).toMatchObject({
      account: 4,
      bounded_buffer: 5,
      reorder_20: 21,
      reorder_100: 101,
      twostage_50: 51,
      wronglock: 9,
      wsq: 2,
    });
    expect(new Set(PROGRAMS.map(({ name }) => name)).size).toBe(PROGRAMS.length);
  });

  it.each(PROGRAMS)('$name: in the natural order it fails only if its original does', (program) => {
    const { verdict } = explore(targetOf(module, program), natural, { executions: 1, seed: 1 });
    expect(verdict).toBe(program.always === true ? 'violation' : 'no-violation');
  });

  it.each(SMALL)('$name: its bug is found, as $verdict', (program) => {
    const { violation } = explore(targetOf(module, program), strategyNamed('portfolio'), {
      executions: 10_000,
      seed: 1,
    });
    // The locks are the program's own: the explorer does not know who holds one, and so not what the sleepers wait for.
    const verdicts = program.verdict === 'deadlock' ? ['deadlock', 'lost-wakeup'] : [program.verdict];
    expect(verdicts).toContain(violation?.kind);
  });

  it('a thread does not begin before main has created it', () => {
    const first = new Set<number>();
    const watching: Strategy = {
      ...strategyNamed('random'),
      name: 'watching',
      begin: () => true,
      pick: (view) => {
        if (view.step === 0) for (let n = 0; n < view.enabledCount; n++) first.add(view.enabled[n]!);
        return view.enabled[view.step % view.enabledCount]!;
      },
      choose: () => 0,
    };
    explore(
      targetOf(
        module,
        PROGRAMS.find(({ name }) => name === 'reorder_20')!,
      ),
      watching,
      { executions: 1, seed: 1 },
    );
    expect([...first]).toEqual([0]);
  });

  it('SafeStack ends, or is cut where its threads turn round', () => {
    const result = explore(targetOf(module, SAFE_STACK), strategyNamed('random'), { executions: 2000, seed: 1 });
    expect(result).toMatchObject({ verdict: 'no-violation', executions: 2000 });
    expect(result.longest).toBeGreaterThan(50);
  });
});

describe("CHESS's programs", () => {
  const failing = CHESS.filter(({ verdict }) => verdict !== 'none');
  it.each(failing)('$name: is seen to be a $verdict', (program) => {
    const { violation } = explore(targetOf(module, program), strategyNamed('portfolio'), { executions: 2000, seed: 1 });
    expect(violation?.kind).toBe(program.verdict);
  });

  const passing = CHESS.filter(({ verdict }) => verdict === 'none');
  const samplers = ['random', 'pct', 'pos', 'surw', 'weighted', 'turns'];
  it.each(passing.flatMap((program) => samplers.map((sampler) => ({ name: program.name, program, sampler }))))(
    '$name ends under $sampler',
    ({ program, sampler }) => {
      const result = explore(targetOf(module, program), strategyNamed(sampler), { executions: 300, seed: 1 });
      expect(result).toMatchObject({ verdict: 'no-violation', executions: 300, stepLimitHits: 0 });
    },
  );

  it('the loop that gives nobody way does come to its fair end, and not before', () => {
    const target = targetOf(
      module,
      CHESS.find(({ name }) => name === 'fairness3')!,
    );
    expect(explore(target, strategyNamed('pct'), { executions: 1000, seed: 1 }).longest).toBeGreaterThan(3000);
  });
});

it('the page says what was missed, and how many programs are within the published mean', () => {
  const named = (name: string) => PROGRAMS.find((program) => program.name === name)!;
  const trials = (surw: number[], random: number[]) =>
    STRATEGIES.map((strategy) =>
      strategy === 'surw' ? { strategy, schedules: surw, seeds: 2 } : { strategy, schedules: random, seeds: 3 },
    );
  const rows: SctRow[] = [
    { program: named('account'), trials: trials([3, 5], [1, 1]) },
    { program: named('reorder_10'), trials: trials([30, 34], [Infinity, 7]) },
    { program: named('queue'), trials: trials([1, 4], [1, 1]) },
    { program: named('lazy01'), trials: trials([3, 4], [1, 1]) },
  ];
  const fairness = [
    { program: CHESS[0]!, seen: [{ strategy: 'turns', verdict: 'livelock', executions: 7, longest: 1000, cut: 0 }] },
    { program: CHESS[1]!, seen: [{ strategy: 'turns', verdict: 'none', executions: 2000, longest: 30, cut: 2 }] },
  ];
  const stacks = [{ strategy: 'surw', seed: 1, schedules: 1000, found: false, cut: 10, tookMs: 2000 }];
  const text = sctText(PROGRAMS, CHESS, { rows, fairness, stacks });
  expect(text).toContain(
    'on 1 of 3 programs (33 %; goal 80 %), not counting those in brackets (`lazy01`, see below). Above it by no more than the errors of both samples explain (ours and 20 trials): `queue`; with them it is 2 (67 %). Clearly above it: `reorder_10`.',
  );
  const others = (each: string): string => Array.from({ length: 3 }, () => each).join(' | ');
  const one = '1 (2 seeds)';
  expect(text).toContain(`| \`account\` | 4 | ${others(one)} | 4.0 ± 1.4 | ${one} | ${one} | 5.85 | 4 | 4 | 18 |`);
  expect(text).toContain(
    `| \`reorder_10\` | 11 | ${others('- (1/2)')} | 32.0 ± 2.8 | - (1/2) | - (1/2) | 17.2 | 3225 |  |  |`,
  );
  expect(text).toContain(`| \`lazy01\` | 4 | ${others(one)} | 3.5 ± 0.7 | ${one} | ${one} | (2) | 5 | 5 | 21 |`);
  expect(text).toContain('| `fairness1` | livelock | livelock, 7 |');
  expect(text).toContain('| `fairness2` | end | ends within 30 (2 cut) |');
  expect(text).toContain('| surw | 1 | not in 1,000 | 2 s | 1.0 % |');

  // What is counted anew replaces its line; the others stay, and are still compared.
  expect(sctText(PROGRAMS, CHESS, { rows: [], fairness: [], stacks: [] }, text)).toBe(text);
  const again = sctText(
    PROGRAMS,
    CHESS,
    { rows: [{ program: named('queue'), trials: trials([1, 1], [1, 1]) }], fairness: [], stacks: [] },
    text,
  );
  expect(again).toContain('on 2 of 3 programs (67 %; goal 80 %)');
  expect(again).toContain('Clearly above it: `reorder_10`.');
});
