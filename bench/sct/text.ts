// docs/sctbench.md from what bench/sct.ts has counted. Lines of what was not counted this time stay as they are on the page.
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

/** What was counted; of the rest the lines on the page stay. */
export interface Counted {
  rows: readonly SctRow[];
  fairness: readonly FairnessRow[];
  stacks: readonly SafeStackRow[];
}

export const STRATEGIES = ['random', 'pct', 'pos', 'surw', 'weighted', 'portfolio'] as const;
export const FAIR_STRATEGIES = [...STRATEGIES, 'turns'] as const;
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

function publishedCell({ surw, isVoid, pct3, pos, rw }: Program['published']): string {
  return [isVoid === true ? `(${surw})` : surw, pct3, pos, rw].map((count) => count ?? '').join(' | ');
}

/** A program's line of the table, and what it says of SURW: mean, and half of its interval. */
interface Line {
  program: Program;
  text: string;
  surw: number;
  half: number;
}

const key = (program: Program): string => `\`${program.name}\``;

function lineOf(program: Program, text: string): Line {
  const cells = text.split('|').map((each) => each.trim());
  const found = /^(?<mean>[\d.]+)(?: ± (?<half>[\d.]+))?/.exec(cells[3 + STRATEGIES.indexOf('surw')]!);
  return { program, text, surw: Number(found?.groups!['mean'] ?? Infinity), half: Number(found?.groups!['half'] ?? 0) };
}

/** Whether our mean is above the published one by more than the errors of both samples explain (95 %). */
function isClearlyAbove({ program: { published }, surw, half }: Line): boolean {
  const theirs = (published.surwDeviation ?? 0) ** 2 / PUBLISHED_TRIALS;
  return surw - published.surw! > Z * Math.sqrt((half / Z) ** 2 + theirs);
}

function goalLine(lines: readonly Line[]): string {
  const compared = lines.filter(
    ({ program: { published } }) => published.surw !== undefined && published.isVoid !== true,
  );
  const above = compared.filter(({ program, surw }) => surw > program.published.surw!);
  const clearly = above.filter(isClearlyAbove);
  const names = (some: readonly Line[]): string => some.map(({ program }) => key(program)).join(', ');
  const share = (missed: number): string => `${Math.round((100 * (compared.length - missed)) / compared.length)} %`;
  const [met, explained] = [compared.length - above.length, compared.length - clearly.length];
  const voids = lines.filter(({ program: { published } }) => published.isVoid === true);
  const beside = voids.length === 0 ? '' : `, not counting those in brackets (${names(voids)}, see below)`;
  const first = `\`surw\` is at or below the published mean of SURW on ${met} of ${compared.length} programs (${share(above.length)}; goal 80 %)${beside}`;
  const rest = above.filter((line) => !clearly.includes(line));
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
  'Of `reorder_N` with n setters and one checker the expectation can be told. The variable `b` is drawn in n + 1 of 2n + 3 executions (`a` has n + 2 accesses), and then the checker is the first of',
  'n + 1 at it in one of n + 1: 1 in 2n + 3 together, beside a little that `a` adds. So SURW expects a little less than 9, 11, 21 and 201 schedules for `reorder_4`, `_5`, `_10` and `_100`, and one',
  'more for the profile. The mean of 20 trials of such a geometric distribution has a standard error of more than a fifth.',
  '',
  'In `twostage` the original takes its locks through pointers in memory. Their reads are events there, and interesting ones; here the locks themselves are.',
  '',
];

function fairnessLine({ program, seen }: FairnessRow): string {
  const cells = seen.map(({ verdict, executions, longest, cut }) => {
    if (verdict !== 'none') return `${verdict}, ${executions}`;
    return program.verdict === 'none' ? `ends within ${longest}${cut > 0 ? ` (${cut} cut)` : ''}` : '-';
  });
  return `| ${key(program)} | ${program.verdict === 'none' ? 'end' : program.verdict} | ${cells.join(' | ')} |`;
}

function fairnessText(lines: readonly Line[]): string[] {
  return [
    '## Fairness',
    '',
    "CHESS's small programs about loops: what each strategy says, and after how many executions (up to 2,000, seed 1); of those that must end, the longest execution in steps. An execution that",
    'comes to three quarters of its limit of 4,000 steps gets a fair schedule from there on.',
    '',
    `| program | must | ${FAIR_STRATEGIES.join(' | ')} |`,
    `| --- | --- | ${FAIR_STRATEGIES.map(() => '---').join(' | ')} |`,
    ...lines.map(({ text }) => text),
    '',
    ...lines.map(({ program }) => `- ${key(program)}: ${program.about}.`),
    '',
  ];
}

function stackLine({ strategy, seed, schedules, found, cut, tookMs }: SafeStackRow): string {
  const count = schedules.toLocaleString('en-US');
  const share = ((100 * cut) / schedules).toFixed(1);
  return `| ${strategy} | ${seed} | ${found ? count : `not in ${count}`} | ${(tookMs / 1000).toFixed(0)} s | ${share} % |`;
}

/** The page: what was counted, and the lines of `before`, the page as it is, for the other ones of the programs. */
export function sctText(
  programs: readonly Program[],
  chess: readonly Program[],
  { rows, fairness, stacks }: Counted,
  before = '',
): string {
  const kept = before.split('\n').filter((line) => line.startsWith('| '));
  const linesOf = (all: readonly Program[], counted: ReadonlyMap<Program, string>): Line[] =>
    all.flatMap((program) => {
      const text = counted.get(program) ?? kept.find((line) => line.startsWith(`| ${key(program)} |`));
      return text === undefined ? [] : [lineOf(program, text)];
    });
  const rowOf = ({ program, trials }: SctRow): string =>
    `| ${key(program)} | ${threadsOf(program)} | ${trials.map(cell).join(' | ')} | ${publishedCell(program.published)} |`;
  const lines = linesOf(programs, new Map(rows.map((row) => [row.program, rowOf(row)])));
  const fairLines = linesOf(chess, new Map(fairness.map((row) => [row.program, fairnessLine(row)])));
  const stackLines = stacks.length > 0 ? stacks.map(stackLine) : kept.filter((line) => /^\| [a-z]+ \| \d/.test(line));
  const columns = [...STRATEGIES, 'SURW*', 'PCT-3*', 'POS*', 'RW*'];
  return [
    '# SCTBench',
    '',
    '<!-- Written by `npm run sct`. -->',
    '',
    `Schedules to the first bug, mean of ${SEEDS} seeds, \`surw\` of ${SURW_SEEDS} (fewer where it says so: after 15 s, of \`surw\` two minutes, none is begun) with its 95 % interval, up to 10,000 schedules each;`,
    '`-`: missed, `(n/m)` found from n of the m seeds that were tried, of which three misses are enough. The programs are written anew after the structure of their originals',
    '(`bench/sct/`). Their main thread creates the others one after another, in the same order: a thread that is created late seldom comes first, and bugs that want it to are hard: where main is',
    'left out and all threads start together, a random walk finds `reorder_10` after some 80 schedules, with it never, as in the published data.',
    '',
    "Columns with a star are published: the raw data of SURW's artifact (Zhao et al., ASPLOS 2025), means of 20 trials, a profile run counted as one. **They are not like for like.** There",
    'every instrumented load and store of a compiled C program is a scheduling point, and every pthread call; here every access to a shared variable, and one point for a lock or unlock that',
    'nobody contends (a contended lock has two more, a sleep one). Fewer points make bugs easier to find for strategies that draw at every point. Compare columns without a star with one another.',
    '',
    goalLine(lines),
    '',
    `| program | threads | ${columns.join(' | ')} |`,
    `| --- | --- | ${columns.map(() => '---').join(' | ')} |`,
    ...lines.map(({ text }) => text),
    '',
    'What they are:',
    '',
    ...lines.map(({ program }) => `- ${key(program)} (${program.verdict}): ${program.about}.`),
    '',
    ...ABOUT_PUBLISHED,
    ...fairnessText(fairLines),
    '## SafeStack',
    '',
    "D. Vyukov's lock-free stack with its ABA, which needs five preemptions at least. Published: SURW finds it after 368,921 schedules in the mean (19 of 20 trials within a million), no other",
    'sampler does. Here, up to five minutes a seed on one core:',
    '',
    '| strategy | seed | schedules | time | cut at 400 steps |',
    '| --- | --- | --- | --- | --- |',
    ...stackLines,
    '',
  ].join('\n');
}
