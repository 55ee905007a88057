// docs/sctbench.md from what bench/sct.ts has counted.
import { type Program, threadsOf } from './source.js';

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

/** What was seen of a program of CHESS within so many executions. */
export interface FairnessRow {
  program: Program;
  seen: readonly { strategy: string; verdict: string; executions: number; longest: number; cut: number }[];
}

/** Seeds that are tried, and with the strategy that is compared with the published figures. */
export const SEEDS = 100;
export const SURW_SEEDS = 1000;
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

function publishedCell({ surw, isVoid, pct3, pos, rw }: Program['published']): string {
  return [isVoid === true ? `(${surw})` : surw, pct3, pos, rw].map((count) => count ?? '').join(' | ');
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
  const compared = rows.filter(
    ({ program: { published } }) => published.surw !== undefined && published.isVoid !== true,
  );
  const above = compared.filter((row) => meanOf(row, 'surw') > row.program.published.surw!);
  const clearly = above.filter(isClearlyAbove);
  const names = (some: readonly SctRow[]): string => some.map(({ program }) => `\`${program.name}\``).join(', ');
  const share = (missed: number): string => `${Math.round((100 * (compared.length - missed)) / compared.length)} %`;
  const [met, explained] = [compared.length - above.length, compared.length - clearly.length];
  const voids = rows.filter(({ program: { published } }) => published.isVoid === true);
  const beside = voids.length === 0 ? '' : `, not counting those in brackets (${names(voids)}, see below)`;
  const first = `\`surw\` is at or below the published mean of SURW on ${met} of ${compared.length} programs (${share(above.length)}; goal 80 %)${beside}`;
  const rest = above.filter((row) => !clearly.includes(row));
  const within = ` Above it by no more than the errors of both samples explain (ours and ${PUBLISHED_TRIALS} trials): ${names(rest)}; with them it is ${explained} (${share(clearly.length)}).`;
  const beyond = ` Clearly above it: ${names(clearly)}.`;
  return `${first}.${rest.length === 0 ? '' : within}${clearly.length === 0 ? '' : beyond}`;
}

/** What arithmetic says of the published column. */
const ABOUT_PUBLISHED = [
  '### What the published means are worth',
  '',
  "Two of them, in brackets, measure nothing. The artifact's runner tells the scheduler which variable is interesting, and how often each thread comes to it, only where there are several to",
  'choose from. `lazy01` and `deadlock01` have one shared variable; there the scheduler misses its file, aborts at its start, and the runner takes the abort for the bug: all trials end with the',
  'first schedule after the profile run (or with that). What the same artifact needs without the weights (its column N-U), and what should be about as much, is 5.7 and 3.9.',
  '',
  'Of `reorder_N` with n setters and one checker the expectation can be told. The variable `b` is drawn in (n + 1) of 2n + 3 executions (`a` has n + 2 accesses), and then the checker is the first',
  'of n + 1 at it in one of n + 1: 1 in 2n + 3 together, beside a little that `a` adds. So SURW expects a little less than 9, 11, 21 and 201 schedules for `reorder_4`, `_5`, `_10` and `_100`, and',
  'one more for the profile. 20 trials of such a geometric distribution have a mean that is off by a fifth as often as not.',
  '',
  'In `twostage` the original takes its locks through pointers in memory. Their reads are events there, and interesting ones; here the locks themselves are.',
  '',
];

function fairnessText(rows: readonly FairnessRow[]): string[] {
  const cells = ({ program: { verdict }, seen }: FairnessRow): string =>
    seen
      .map(({ verdict: found, executions, longest, cut }) => {
        if (found !== 'none') return `${found}, ${executions}`;
        const length = `${longest}${cut > 0 ? ` (${cut} cut)` : ''}`;
        return verdict === 'none' ? `ends within ${length}` : '-';
      })
      .join(' | ');
  const strategies = rows[0]?.seen.map(({ strategy }) => strategy) ?? [];
  return [
    '## Fairness',
    '',
    "CHESS's small programs about loops: what each strategy says, and after how many executions (up to 2,000, seed 1); of those that must end, the longest execution in steps. An execution that",
    'comes to three quarters of its limit of 4,000 steps gets a fair schedule from there on.',
    '',
    `| program | must | ${strategies.join(' | ')} |`,
    `| --- | --- | ${strategies.map(() => '---').join(' | ')} |`,
    ...rows.map(
      (row) =>
        `| \`${row.program.name}\` | ${row.program.verdict === 'none' ? 'end' : row.program.verdict} | ${cells(row)} |`,
    ),
    '',
    ...rows.map(({ program }) => `- \`${program.name}\`: ${program.about}.`),
    '',
  ];
}

function stackLine({ strategy, seed, schedules, found, cut, tookMs }: SafeStackRow): string {
  const count = schedules.toLocaleString('en-US');
  const share = ((100 * cut) / schedules).toFixed(1);
  return `| ${strategy} | ${seed} | ${found ? count : `not in ${count}`} | ${(tookMs / 1000).toFixed(0)} s | ${share} % |`;
}

export function sctText(
  rows: readonly SctRow[],
  fairness: readonly FairnessRow[],
  stacks: readonly SafeStackRow[],
): string {
  const strategies = rows[0]!.trials.map(({ strategy }) => strategy);
  const columns = [...strategies, 'SURW*', 'PCT-3*', 'POS*', 'RW*'];
  return [
    '# SCTBench',
    '',
    '<!-- Written by `npm run sct`. -->',
    '',
    `Schedules to the first bug, mean of ${SEEDS} seeds, \`surw\` of ${SURW_SEEDS} (fewer where it says so: after 15 s none is begun) with its 95 % interval, up to 10,000 schedules each;`,
    '`-`: missed, `(n/m)` found from n of the m seeds that were tried, of which three misses are enough. The programs are written anew after the structure of their originals',
    '(`bench/sct/`). Their main thread creates the others one after another, in the same order: a thread that is created late seldom comes first, and bugs that want it to are hard.',
    '',
    "Columns with a star are published: the raw data of SURW's artifact (Zhao et al., ASPLOS 2025), means of 20 trials, a profile run counted as one. **They are not like for like.** There",
    'every instrumented load and store of a compiled C program is a scheduling point, and every pthread call; here every access to a shared variable, and one point for a lock or unlock that',
    'nobody contends (a contended lock has two more, a sleep one). Fewer points make bugs easier to find for strategies that draw at every point. Compare columns without a star with one another.',
    '',
    goalLine(rows),
    '',
    `| program | threads | ${columns.join(' | ')} |`,
    `| --- | --- | ${columns.map(() => '---').join(' | ')} |`,
    ...rows.map(
      ({ program, trials }) =>
        `| \`${program.name}\` | ${threadsOf(program)} | ${trials.map(cell).join(' | ')} | ${publishedCell(program.published)} |`,
    ),
    '',
    'What they are:',
    '',
    ...rows.map(({ program }) => `- \`${program.name}\` (${program.verdict}): ${program.about}.`),
    '',
    ...ABOUT_PUBLISHED,
    ...fairnessText(fairness),
    '## SafeStack',
    '',
    "D. Vyukov's lock-free stack with its ABA, which needs five preemptions at least. Published: SURW finds it after 368,921 schedules in the mean (19 of 20 trials within a million), no other",
    'sampler does. Here, up to five minutes a seed on one core:',
    '',
    '| strategy | seed | schedules | time | cut at 400 steps |',
    '| --- | --- | --- | --- | --- |',
    ...stacks.map(stackLine),
    '',
  ].join('\n');
}
