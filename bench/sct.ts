// `npm run sct`: schedules to the first bug of the SCTBench programs, for each strategy, from 100 seeds; writes docs/sctbench.md. `npm run sct -- NAME...` runs some
// and writes their lines anew.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Exploration } from '../src/explore/explore.js';
import { strategyNamed } from '../src/explore/strategies/named.js';
import type { Target } from '../src/explore/target.js';
import { nowNs } from '../src/host/clock.js';
import { CHESS } from './sct/chess.js';
import { SAFE_STACK } from './sct/lock-free.js';
import { compileAll, PROGRAMS, targetOf } from './sct/programs.js';
import type { Program } from './sct/source.js';
import {
  FAIR_STRATEGIES,
  type FairnessRow,
  type SafeStackRow,
  sctText,
  type SctRow,
  SEEDS,
  STRATEGIES,
  SURW_SEEDS,
  type Trials,
} from './sct/text.js';

const PAGE = 'docs/sctbench.md';
const SCHEDULES = 10_000;
/** Whoever misses so many seeds is not tried further. */
const MISSES = 3;
/** No new seed is begun after this time, for one program and strategy: hundred threads that draw at every point need minutes for hundred seeds. */
const PATIENCE_MS = 15_000;
/** The strategy that is compared with published figures gets more. */
const SURW_PATIENCE_MS = 120_000;
const SAFE_STACK_SEEDS = 5;
const SAFE_STACK_MS = 300_000;
const FAIRNESS_SCHEDULES = 2000;
const SLICE = 64;

/** Schedules up to the first bug from each seed; Infinity: not found. */
function trials(target: Target, strategy: string): Trials {
  const schedules: number[] = [];
  let misses = 0;
  const [seeds, patienceMs] = strategy === 'surw' ? [SURW_SEEDS, SURW_PATIENCE_MS] : [SEEDS, PATIENCE_MS];
  const endMs = nowNs() / 1e6 + patienceMs;
  for (let seed = 1; seed <= seeds && misses < MISSES && nowNs() / 1e6 < endMs; seed++) {
    const exploration = new Exploration(target, strategyNamed(strategy), { executions: SCHEDULES, seed });
    while (!exploration.run(SLICE));
    const { violation, executions } = exploration.result;
    if (violation === undefined) misses++;
    schedules.push(violation === undefined ? Infinity : executions);
  }
  return { strategy, schedules, seeds };
}

/** What the samplers say of a program that is about fairness. */
function fairnessOf(target: Target, program: Program): FairnessRow {
  const seen = FAIR_STRATEGIES.map((strategy) => {
    const exploration = new Exploration(target, strategyNamed(strategy), { executions: FAIRNESS_SCHEDULES, seed: 1 });
    while (!exploration.run(SLICE));
    const { violation, executions, longest, stepLimitHits } = exploration.result;
    return { strategy, verdict: violation?.kind ?? 'none', executions, longest, cut: stepLimitHits };
  });
  return { program, seen };
}

/** SafeStack from one seed, within the time. */
function safeStack(target: Target, strategy: string, seed: number): SafeStackRow {
  const startMs = nowNs() / 1e6;
  const tookMs = (): number => nowNs() / 1e6 - startMs;
  const exploration = new Exploration(target, strategyNamed(strategy), { executions: Infinity, seed });
  while (!exploration.run(SLICE) && tookMs() < SAFE_STACK_MS);
  const { violation, executions, stepLimitHits } = exploration.result;
  return {
    strategy,
    seed,
    schedules: executions,
    found: violation !== undefined,
    cut: stepLimitHits,
    tookMs: tookMs(),
  };
}

const chosen = process.argv.slice(2);
const wanted = (name: string): boolean => chosen.length === 0 || chosen.includes(name);
const module = await compileAll();
const rows: SctRow[] = [];
for (const program of PROGRAMS.filter(({ name }) => wanted(name))) {
  const target = targetOf(module, program);
  const row = { program, trials: STRATEGIES.map((strategy) => trials(target, strategy)) };
  rows.push(row);
  process.stderr.write(
    `${program.name}: ${row.trials.map(({ strategy, schedules }) => `${strategy} ${schedules.reduce((sum, n) => sum + n, 0) / schedules.length}`).join(', ')}\n`,
  );
}
const fairness: FairnessRow[] = [];
for (const program of CHESS.filter(({ name }) => wanted(name))) {
  const row = fairnessOf(targetOf(module, program), program);
  fairness.push(row);
  process.stderr.write(
    `${program.name}: ${row.seen.map(({ strategy, verdict }) => `${strategy} ${verdict}`).join(', ')}\n`,
  );
}
const stacks: SafeStackRow[] = [];
if (wanted(SAFE_STACK.name)) {
  const target = targetOf(module, SAFE_STACK);
  for (const strategy of ['surw', 'random', 'pos'] as const) {
    for (let seed = 1; seed <= SAFE_STACK_SEEDS; seed++) {
      const row = safeStack(target, strategy, seed);
      stacks.push(row);
      process.stderr.write(`${SAFE_STACK.name}: ${JSON.stringify(row)}\n`);
    }
  }
}
const before = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
writeFileSync(PAGE, sctText(PROGRAMS, CHESS, { rows, fairness, stacks }, before));
