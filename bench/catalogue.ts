// `npm run catalogue`: how soon each strategy finds each bug of the catalogue, from 20 seeds; writes docs/bugs/found.md. `npm run catalogue -- B05 ...` tries
// some and writes nothing.
import { writeFileSync } from 'node:fs';
import { type Bug, scenarioOf } from '../src/catalogue/bug.js';
import { BUGS } from '../src/catalogue/index.js';
import { Exploration } from '../src/explore/explore.js';
import { scenarioTarget } from '../src/explore/scenario-target.js';
import { strategyNamed } from '../src/explore/strategies/named.js';
import { nowNs } from '../src/host/clock.js';
import { median } from '../src/host/samples.js';

const SEEDS = 20;
/** What the portfolio may need, from every seed. */
const GOAL_EXECUTIONS = 10_000;
const GOAL_MS = 10_000;
const PORTFOLIO = 'portfolio';
/** Beside it, with less patience: whoever misses this many seeds is not tried further. */
const OTHERS = ['pos', 'random', 'pct', 'surw', 'weighted', 'delays', 'preemptions'] as const;
const OTHERS_EXECUTIONS = 2000;
const MISSES = 3;
/** These draw nothing: one run tells all. */
const FIXED = new Set<string>(['delays', 'preemptions']);
const SLICE = 64;

interface Found {
  strategy: string;
  /** Executions up to the failure, a seed each; Infinity: not found. */
  executions: number[];
  ms: number[];
}

function tries(bug: Bug, strategy: string): Found {
  const target = scenarioTarget(scenarioOf(bug, true));
  const found: Found = { strategy, executions: [], ms: [] };
  const limit = strategy === PORTFOLIO ? GOAL_EXECUTIONS : OTHERS_EXECUTIONS;
  const seeds = FIXED.has(strategy) ? 1 : SEEDS;
  for (let seed = 1; seed <= seeds && found.executions.filter((n) => n === Infinity).length < MISSES; seed++) {
    const startMs = nowNs() / 1e6;
    const exploration = new Exploration(target, strategyNamed(strategy, target), { executions: limit, seed });
    while (!exploration.run(SLICE));
    const { violation, executions } = exploration.result;
    found.executions.push(violation === undefined ? Infinity : executions);
    found.ms.push(nowNs() / 1e6 - startMs);
  }
  return found;
}

function cell({ executions }: Found): string {
  const missed = executions.filter((n) => n === Infinity).length;
  if (missed >= MISSES || missed === executions.length) return '-';
  const middle = executions.toSorted((a, b) => a - b)[(executions.length - 1) >> 1]!;
  return missed === 0 ? `${middle}` : `${middle} (${missed} missed)`;
}

/** Fewest executions in the mean, of those that found it from every seed; `any`: each finds it in the first. */
function fastest(found: readonly Found[]): string {
  const mean = ({ executions }: Found): number => executions.reduce((sum, n) => sum + n, 0) / executions.length;
  if (found.every((each) => mean(each) === 1)) return 'any';
  return found.toSorted((a, b) => mean(a) - mean(b))[0]!.strategy;
}

const chosen = process.argv.slice(2);
const lines: string[] = [];
let met = true;
for (const bug of BUGS.filter(({ id }) => chosen.length === 0 || chosen.includes(id))) {
  const portfolio = tries(bug, PORTFOLIO);
  const others = OTHERS.map((strategy) => tries(bug, strategy));
  const best = fastest(others);
  const most = Math.max(...portfolio.executions);
  const slowestMs = Math.max(...portfolio.ms);
  met &&= most <= GOAL_EXECUTIONS && slowestMs <= GOAL_MS;
  const cells = [median(portfolio.executions), most, `${Math.ceil(slowestMs)} ms`, ...others.map(cell), best];
  lines.push(`| [${bug.id}](${bug.id}.md) | ${cells.join(' | ')} |`);
  const noted = best === bug.strategy ? '' : `   (its case says ${bug.strategy})`;
  process.stderr.write(`${lines.at(-1)}${noted}\n`);
}

const page = [
  '# How soon each bug is found',
  '',
  '<!-- Written by `npm run catalogue`. -->',
  '',
  `Executions up to the first failure. The portfolio (the default of \`explore\` and \`repro\`) from ${SEEDS} seeds: median, most, and the longest time. Goal: every`,
  `seed within ${GOAL_EXECUTIONS} executions and ${GOAL_MS / 1000} s on one core: **${met ? 'met' : 'missed'}**. The other strategies: median of ${SEEDS} seeds with up to ${OTHERS_EXECUTIONS} executions each; \`delays\` and`,
  '`preemptions` draw nothing and are run once; `-`: not found. The last column has the smallest mean.',
  '',
  `| bug | portfolio | most | longest | ${OTHERS.join(' | ')} | fastest |`,
  `| --- | --- | --- | --- | ${OTHERS.map(() => '---').join(' | ')} | --- |`,
  ...lines,
  '',
];
if (chosen.length === 0) writeFileSync('docs/bugs/found.md', page.join('\n'));
process.exitCode = met ? 0 : 1;
