// An interleaving as people read it: a column a thread, a row a step, the place in the source beside it, a line where another thread goes on and why,
// steps that nobody else can notice folded; below it the orders without which it would not have failed.

/** One step of the execution, in the order it happened. */
export interface StepRow {
  /** Index among the threads. */
  thread: number;
  /** What was done, with symbolic names and values: `vm0.mmu_lock: 0 -> 1`. */
  text: string;
  /** Function, file and line: `kvmMmuPageFault kvm/fault.ts:104`. Empty when unknown. */
  place: string;
  /** The function alone. */
  within: string;
  /** No other thread could tell whether it happened: folded with its neighbours. */
  local: boolean;
  /** Why another thread than the one before runs here. Empty when the scheduler had no choice of ours to explain. */
  switchReason: string;
}

/** Two steps (indices of rows) whose order the failure needs. */
export interface ConstraintRow {
  earlier: number;
  later: number;
}

/** A thread's locks at the end: each that it holds, and what it waits for, in words. */
export interface LockRow {
  thread: string;
  held: readonly string[];
  /** Empty when it waits for none. */
  waits: string;
}

export interface Interleaving {
  threads: readonly string[];
  steps: readonly StepRow[];
  constraints: readonly ConstraintRow[];
  /** The violation, as the oracle says it. */
  failure: string;
  /** Of threads that hold locks or wait for one. */
  locks?: readonly LockRow[];
  /** Locks taken under others, in words. */
  nested?: readonly string[];
  /** Of a data race: its two steps (indices). */
  racing?: readonly number[];
  /** Of a livelock: so many steps lead into the loop, which the others are. */
  repeatsFrom?: number | undefined;
}

const STEP_WIDTH = 5;
const PLACE_WIDTH = 44;
const MIN_COLUMN = 18;
const MOST_FUNCTIONS = 3;
const ELLIPSIS = '..';
const MOST_LINES = 400;
const FIRST_LINES = 150;
const LAST_LINES = 80;

/** Text cut to a width, its end kept if it is a value (`... -> 1`). */
function fit(text: string, width: number): string {
  if (text.length <= width) return text.padEnd(width);
  const arrow = text.lastIndexOf(' -> ');
  const tail = arrow > 0 && text.length - arrow < width / 2 ? text.slice(arrow) : '';
  return `${text.slice(0, width - tail.length - ELLIPSIS.length)}${ELLIPSIS}${tail}`;
}

/** Cells of a row; a long one may go on over empty ones to its right. */
function rowOf(cells: readonly string[], count: number, column: number): string {
  let row = '';
  for (let n = 0; n < count; n++) {
    if ((cells[n] ?? '') === '') continue;
    const next = cells.findIndex((cell, at) => at > n && cell !== '');
    const start = n * (column + 2);
    const end = next < 0 ? count * (column + 2) - 2 : next * (column + 2) - 2;
    row = row.padEnd(start) + fit(cells[n]!, end - start);
  }
  return row.padEnd(count * (column + 2) - 2);
}

/** The table of an interleaving, `width` characters wide at most (as far as its threads fit), and what made it fail. */
export function interleavingText(interleaving: Interleaving, width = 150): string {
  const { threads, steps, failure, repeatsFrom } = interleaving;
  const column = Math.max(MIN_COLUMN, Math.floor((width - STEP_WIDTH - PLACE_WIDTH - 2) / threads.length) - 2);
  const line = (step: string, cells: readonly string[], place: string): string =>
    `${step.padStart(STEP_WIDTH)}  ${rowOf(cells, threads.length, column)}  ${place}`.trimEnd();
  const only = (thread: number, text: string): string[] => threads.map((_, n) => (n === thread ? text : ''));
  const lines = [
    line('step', threads, 'at'),
    line(
      '',
      threads.map((name) => '-'.repeat(Math.min(name.length, column))),
      '',
    ),
  ];
  for (let n = 0; n < steps.length;) {
    const { thread, text, place, switchReason } = steps[n]!;
    if (n === repeatsFrom) lines.push('  --- from here on, again and again:');
    // From the thread's column on, however long: it is what the reader wants to know.
    if (switchReason !== '') lines.push(`${' '.repeat(STEP_WIDTH + 2 + thread * (column + 2))}<- ${switchReason}`);
    const folded = foldedSteps(steps, n, repeatsFrom);
    if (folded > 1)
      lines.push(line('', only(thread, `(${folded} steps on its own)`), functionsOf(steps.slice(n, n + folded))));
    else lines.push(line(String(n + 1), only(thread, text), place));
    n += Math.max(1, folded);
  }
  return `${[...shortened(lines), line('', [], ''), failure, ...racingLines(interleaving), ...lockLines(interleaving), ...constraintLines(interleaving)].join('\n')}\n`;
}

/** A table that nobody would read to its end, as of a livelock, without its middle. */
function shortened(lines: readonly string[]): readonly string[] {
  if (lines.length <= MOST_LINES) return lines;
  const left = lines.length - FIRST_LINES - LAST_LINES;
  return [...lines.slice(0, FIRST_LINES), `  ... ${left} lines more ...`, ...lines.slice(-LAST_LINES)];
}

/** How many steps from `n` on are one thread's alone and may be one line; 0 when the first is not. */
function foldedSteps(steps: readonly StepRow[], n: number, repeatsFrom: number | undefined): number {
  const { thread } = steps[n]!;
  let end = n;
  while (end < steps.length && steps[end]!.local && steps[end]!.thread === thread) {
    if (end > n && (steps[end]!.switchReason !== '' || end === repeatsFrom)) break;
    end++;
  }
  return end - n;
}

/** Functions that steps were made in, from the first to the last: three at most. */
function functionsOf(steps: readonly StepRow[]): string {
  const names = steps.map(({ within }) => within).filter((name, n, all) => name !== '' && name !== all[n - 1]);
  return names.length <= MOST_FUNCTIONS ? names.join(', ') : `${names[0]} .. ${names.at(-1)}`;
}

function racingLines({ threads, steps, racing = [] }: Interleaving): string[] {
  return racing.map((n) => `  ${stepLine(threads, steps, n)}`);
}

/** A step in a line: `step 3, punch: store rmp[0x11] ..., at ...`. */
function stepLine(threads: readonly string[], steps: readonly StepRow[], n: number): string {
  const { thread, text, place } = steps[n]!;
  return `step ${n + 1}, ${threads[thread]}: ${text}${place === '' ? '' : `, at ${place}`}`;
}

function lockLines({ locks = [], nested = [] }: Interleaving): string[] {
  const width = Math.max(0, ...locks.map(({ thread }) => thread.length));
  const lines = locks.flatMap(({ thread, held, waits }) =>
    [...held.map((text) => `holds ${text}`), ...(waits === '' ? [] : [waits])].map(
      (text, n) => `  ${(n === 0 ? thread : '').padEnd(width)}  ${text}`,
    ),
  );
  return [
    ...(lines.length === 0 ? [] : ['', 'Locks at the end:', ...lines]),
    ...(nested.length === 0 ? [] : ['', 'Taken under one another before:', ...nested.map((text) => `  ${text}`)]),
  ];
}

function constraintLines({ threads, steps, constraints }: Interleaving): string[] {
  if (constraints.length === 0) return [];
  const side = (n: number): string => stepLine(threads, steps, n);
  return [
    '',
    constraints.length === 1
      ? 'It needs this order; the other way round it passes:'
      : 'It needs each of these orders; with any one the other way round it passes:',
    ...constraints.flatMap(({ earlier, later }) => [`  ${side(earlier)}`, `    before ${side(later)}`]),
  ];
}
