// What all importers share: a log as numbered records, each read by one grammar or left with a reason, and what comes out of it.
import { UsageError } from '../host/errors.js';

/** A record of the log: its text, and the line it starts at (from 1). A record that a mailer wrapped is one record. */
export interface LogRecord {
  line: number;
  text: string;
}

/** What a line says, by kind. Numbers are as the kernel means them: frame numbers, bytes, hardware codes. */
export interface Fact {
  kind: string;
  line: number;
}

/** One kind of line: `read` gives the fact, or undefined when the line is of another kind. */
export interface Grammar<F extends Fact> {
  /** What a reader would call such a line. */
  name: string;
  /** What such a line looks like, for whoever has a damaged one. */
  expected?: string;
  /** Tells a damaged line of this kind from a line of another. */
  resembles?: RegExp;
  read(text: string, line: number): F | undefined;
}

export interface Unread {
  line: number;
  reason: string;
  /** The grammar whose lines look like it, if one's do: the line is damaged. */
  damaged?: string;
}

export interface ReadLog {
  facts: Fact[];
  /** Lines of the file. */
  lines: number;
  /** Lines that belong to a fact. */
  understood: number;
  unread: Unread[];
  /** Facts by grammar name. */
  counts: Record<string, number>;
}

/** A number that grammars took from a log: hexadecimal with or without 0x. */
export function hex(digits: string): number {
  return Number.parseInt(digits.replace(/^0x/i, ''), 16);
}

/** Start of a trace record: `task-pid [cpu] flags seconds.micros:`. */
const TRACE_START = /^\s*\S.*-\d+\s+\[\d+\]\s/;
const MAX_WRAPPED_LINES = 4;

/**
 * Cuts a text into records. Comment lines (#) and blank ones are no records. A line behind a trace record that starts like none is its wrapped rest,
 * if `isComplete` says that the record cannot be read without it.
 */
function recordsOf(
  text: string,
  isComplete: (text: string) => boolean,
): { records: LogRecord[]; spans: number[]; lines: number } {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  const records: LogRecord[] = [];
  const spans: number[] = [];
  for (let n = 0; n < lines.length; n++) {
    const first = lines[n]!;
    if (first.trim() === '' || first.startsWith('#')) continue;
    let record = first;
    let span = 1;
    while (
      TRACE_START.test(first) &&
      span < MAX_WRAPPED_LINES &&
      !isComplete(record) &&
      lines[n + span]?.trim() !== '' &&
      lines[n + span] !== undefined &&
      !TRACE_START.test(lines[n + span]!)
    ) {
      record = `${record} ${lines[n + span]!.trim()}`;
      span++;
    }
    const whole = span > 1 && isComplete(record);
    records.push({ line: n + 1, text: whole ? record : first });
    spans.push(whole ? span : 1);
    if (whole) n += span - 1;
  }
  return { records, spans, lines: lines.length };
}

/** Reads a log by the first grammar that knows each record. */
export function readLog(text: string, grammars: readonly Grammar<Fact>[]): ReadLog {
  const read = (record: string, line: number): { fact: Fact; name: string } | undefined => {
    for (const { name, read: by } of grammars) {
      const fact = by(record, line);
      if (fact !== undefined) return { fact, name };
    }
    return undefined;
  };
  const { records, spans, lines } = recordsOf(text, (record) => read(record, 0) !== undefined);
  const log: ReadLog = { facts: [], lines, understood: 0, unread: [], counts: {} };
  for (const [n, { line, text: record }] of records.entries()) {
    const found = read(record, line);
    if (found === undefined) {
      const damaged = OTHERS.some(([pattern]) => pattern.test(record)) ? undefined : damagedOf(record, grammars);
      const reason =
        damaged === undefined ? reasonOf(record) : `damaged ${damaged.name} line, expected ${damaged.expected}`;
      log.unread.push({
        line,
        reason: `${reason}: ${shortened(record)}`,
        ...(damaged === undefined ? {} : { damaged: damaged.name }),
      });
      continue;
    }
    log.facts.push(found.fact);
    log.understood += spans[n]!;
    log.counts[found.name] = (log.counts[found.name] ?? 0) + 1;
  }
  return log;
}

/** Lines that logs of these kinds have besides, of which nothing here is made. */
const OTHERS: readonly [RegExp, string][] = [
  [/^\s*(?:\.{2,}|-{2,}|\[\.\.\.\])\s*$/, 'lines were left out here'],
  [/^@\w*\[.*\]: /, 'a bpftrace map, nothing is made of it'],
  [/^(?:tdx->(?!ram_entries)|kvm_tdx_(?!init_mem_region))/, 'TDX, which is not modelled'],
  [/^cpus=\d+$/, 'header of trace-cmd report'],
  [
    /\b(?:Loaded \w+|nr_segments|segment\[\d+\]|kexec_file_load|E820 memmap:|physical RAM map:)/,
    'kexec and headings of the memory map, nothing is made of it',
  ],
];

function damagedOf(text: string, grammars: readonly Grammar<Fact>[]): Grammar<Fact> | undefined {
  return grammars.find(({ resembles }) => resembles?.test(text));
}

/** Why an undamaged record was not understood: left out by hand, or of a kind that nothing here is made of. */
function reasonOf(text: string): string {
  const other = OTHERS.find(([pattern]) => pattern.test(text));
  if (other !== undefined) return other[1];
  const event = /^\s*\S.*-\d+\s+\[\d+\].*?\d+\.\d{6}: (\w+):/.exec(text)?.[1];
  if (event !== undefined) return `trace event ${event} is not read, or is damaged`;
  return /^\s*\[[ +]*\d+\.\d+\] /.test(text) ? 'kernel log line about something else' : 'no known kind of line';
}

function shortened(text: string): string {
  const clean = text.trim().replaceAll(/[^\x20-\x7e]/g, '?');
  return clean.length > 60 ? `${clean.slice(0, 57)}...` : clean;
}

/** Refuses a file in which no line was understood: file:line, what is there, what would be right. */
export function refuseForeign(path: string, log: ReadLog, grammars: readonly Grammar<Fact>[]): void {
  if (log.facts.length > 0) return;
  const first = log.unread[0];
  const expected = grammars.map(({ name }) => name).join(', ');
  throw new UsageError(
    'import',
    `${path}:${first?.line ?? 1}: ${first?.reason ?? 'the file is empty'}; expected one of: ${expected}`,
  );
}

/**
 * Refuses to make a document of a log in which a line of these grammars is damaged: a sequence with a step missing is another sequence. Throws UsageError: file:line, what would be
 * right.
 */
export function refuseDamaged(path: string, { unread }: ReadLog, grammars: readonly Grammar<Fact>[]): void {
  const names = new Set(grammars.map(({ name }) => name));
  const found = unread.find(({ damaged }) => damaged !== undefined && names.has(damaged));
  if (found === undefined) return;
  throw new UsageError(
    'import',
    `${path}:${found.line}: ${found.reason}; nothing was written (--explain shows the rest)`,
  );
}
