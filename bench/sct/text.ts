// docs/sctbench.md from what bench/sct.ts has counted.
import type { Program } from './source.js';

export interface Trials {
  strategy: string;
  /** Schedules up to the first bug, a seed each; Infinity: not found. */
  schedules: readonly number[];
  /** Seeds that were to be tried. */
  seeds: number;
}

export interface SctRow {
  program: Program;
  trials: readonly Trials[];
}

export interface SafeStackRow {
  strategy: string;
  seed: number;
  schedules: number;
  found: boolean;
  /** Executions that were cut at the step limit. */
  cut: number;
  tookMs: number;
}

const PUBLISHED_TRIALS = 20;
/** Two-sided 95 % of the normal distribution. */
const Z = 1.96;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Mean with the half width of its interval; `-`: not found from every seed. */
function cell({ schedules, seeds }: Trials): string {
  const missed = schedules.filter((count) => count === Infinity).length;
  if (missed > 0) return missed === schedules.length ? '-' : `- (${schedules.length - missed}/${schedules.length})`;
  const middle = mean(schedules);
  const variance = mean(schedules.map((count) => (count - middle) ** 2));
  const half = Z * Math.sqrt(variance / schedules.length);
  const text = half === 0 ? middle.toFixed(0) : `${middle.toFixed(1)} ± ${half.toFixed(1)}`;
  return schedules.length < seeds ? `${text} (${schedules.length} seeds)` : text;
}

const meanOf = ({ trials }: SctRow, strategy: string): number =>
  mean(trials.find((each) => each.strategy === strategy)!.schedules);

function publishedCell({ surw, pct3, pos, rw }: Program['published']): string {
  return [surw, pct3, pos, rw].map((count) => count ?? '').join(' | ');
}

/** Whether our mean is above the published one by more than the errors of both samples explain (95 %). */
function isClearlyAbove({ program: { published }, trials }: SctRow): boolean {
  const { schedules } = trials.find(({ strategy }) => strategy === 'surw')!;
  const middle = mean(schedules);
  const ours = mean(schedules.map((count) => (count - middle) ** 2)) / schedules.length;
  const theirs = (published.surwDeviation ?? 0) ** 2 / PUBLISHED_TRIALS;
  return middle - published.surw! > Z * Math.sqrt(ours + theirs);
}

function goalLine(rows: readonly SctRow[]): string {
  const compared = rows.filter(({ program }) => program.published.surw !== undefined);
  const above = compared.filter((row) => meanOf(row, 'surw') > row.program.published.surw!);
  const clearly = above.filter(isClearlyAbove);
  const names = (some: readonly SctRow[]): string => some.map(({ program }) => `\`${program.name}\``).join(', ');
  const share = (missed: number): string => `${Math.round((100 * (compared.length - missed)) / compared.length)} %`;
  const [met, explained] = [compared.length - above.length, compared.length - clearly.length];
  const first = `\`surw\` is at or below the published mean of SURW on ${met} of ${compared.length} programs (${share(above.length)}; goal 80 %)`;
  const rest = above.filter((row) => !clearly.includes(row));
  const within = ` Above it by no more than the errors of both samples explain (of 100 and of ${PUBLISHED_TRIALS} trials): ${names(rest)}; with them it is ${explained} (${share(clearly.length)}).`;
  const beyond = ` Clearly above it: ${names(clearly)}.`;
  return `${first}.${rest.length === 0 ? '' : within}${clearly.length === 0 ? '' : beyond}`;
}

function stackLine({ strategy, seed, schedules, found, cut, tookMs }: SafeStackRow): string {
  const count = schedules.toLocaleString('en-US');
  const share = ((100 * cut) / schedules).toFixed(1);
  return `| ${strategy} | ${seed} | ${found ? count : `not in ${count}`} | ${(tookMs / 1000).toFixed(0)} s | ${share} % |`;
}

export function sctText(rows: readonly SctRow[], stacks: readonly SafeStackRow[]): string {
  const strategies = rows[0]!.trials.map(({ strategy }) => strategy);
  const columns = [...strategies, 'SURW*', 'PCT-3*', 'POS*', 'RW*'];
  return [
    '# SCTBench',
    '',
    '<!-- Written by `npm run sct`. -->',
    '',
    'Schedules to the first bug, mean of 100 seeds (fewer where it says so: after 15 s none is begun) with its 95 % interval, up to 10,000 schedules each; `-`: missed, `(n/m)` found',
    "from n of the m seeds that were tried, of which three misses are enough. The programs are written anew after their originals' structure (`bench/sct/`): the small ones of the CS suite, CHESS's work-stealing queue, SafeStack, and five races of",
    'the ConVul suite.',
    '',
    "Columns with a star are published: the raw data of SURW's artifact (Zhao et al., ASPLOS 2025), means of 20 trials. **They are not like for like.** There every instrumented load and",
    'store of a compiled C program is a scheduling point, and every pthread call; here every access to a shared variable, and one point for a lock or unlock that nobody contends (a',
    'contended lock has two more, a sleep one). Fewer points make bugs easier to find for strategies that draw at every point. Compare columns without a star with one another.',
    '',
    goalLine(rows),
    '',
    `| program | threads | ${columns.join(' | ')} |`,
    `| --- | --- | ${columns.map(() => '---').join(' | ')} |`,
    ...rows.map(
      ({ program, trials }) =>
        `| \`${program.name}\` | ${program.bodies.length} | ${trials.map(cell).join(' | ')} | ${publishedCell(program.published)} |`,
    ),
    '',
    'What they are:',
    '',
    ...rows.map(({ program }) => `- \`${program.name}\` (${program.verdict}): ${program.about}.`),
    '',
    '## SafeStack',
    "D. Vyukov's lock-free stack with its ABA, which needs five preemptions at least. Published: SURW finds it after 368,921 schedules in the mean (19 of 20 trials within a million), no other",
    'sampler does. Here, up to five minutes a seed on one core:',
    '',
    '| strategy | seed | schedules | time | cut at 400 steps |',
    '| --- | --- | --- | --- | --- |',
    ...stacks.map(stackLine),
    '',
  ].join('\n');
}
