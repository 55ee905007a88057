// Reads a YAML or JSON document against a schema. Each complaint is one line: file:line:column, what is wrong, what would be right.
import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument, isNode, isMap, type Document } from 'yaml';
import { toJSONSchema, type z } from 'zod';
import { UsageError } from '../host/errors.js';

/** What is wrong at one place of a document, beyond what its schema can say. */
export interface Complaint {
  path: readonly (string | number)[];
  /** The mistake is in the key at the end of `path`, not in its value. */
  inKey: boolean;
  message: string;
}

/** A validated document that knows where its values come from. */
export interface OpenedDocument<T> {
  data: T;
  /** `file:line:column`, `--set key=value`, or `default` for what stands in neither. */
  origin(path: Complaint['path']): string;
}

/** As openDocument, for who only wants the data. */
export function readDocument<T>(
  path: string,
  schema: z.ZodType<T>,
  override: readonly string[] = [],
  check: (data: T) => readonly Complaint[] = () => [],
): T {
  return openDocument(path, schema, override, check).data;
}

/**
 * Parses `path` and validates it; throws UsageError with one line per mistake. `override` are `--set` pairs; `check` looks at what a schema cannot.
 */
export function openDocument<T>(
  path: string,
  schema: z.ZodType<T>,
  override: readonly string[] = [],
  check: (data: T) => readonly Complaint[] = () => [],
): OpenedDocument<T> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(
      'read',
      `${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message}`,
    );
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const syntax = document.errors[0];
  if (syntax !== undefined) {
    const at = lines.linePos(syntax.pos[0]);
    throw new UsageError('parse', `${path}:${at.line}:${at.col}: ${syntax.message}`);
  }
  applyOverrides(document, override);
  const data = document.toJS() ?? {};
  const parsed = schema.safeParse(data);
  const complaints = parsed.success ? check(parsed.data) : complaintsOf(parsed.error.issues, knownKeys(schema), data);
  // The last of several for one key is the one that counts.
  const setBy = (at: Complaint['path']): string | undefined =>
    override.findLast((each) => isWithin(at, overridePath(each)));
  const place = (complaint: Omit<Complaint, 'message'>): string => {
    const pair = setBy(complaint.path);
    return pair === undefined ? `${path}:${where(document, lines, complaint)}` : `--set ${pair}`;
  };
  if (parsed.success && complaints.length === 0) {
    const origin = (at: Complaint['path']): string =>
      setBy(at) !== undefined || document.hasIn(at) ? place({ path: at, inKey: false }) : 'default';
    return { data: parsed.data, origin };
  }
  const texts = complaints.map((complaint) => `${place(complaint)}: ${complaint.message}`);
  throw new UsageError('validate', texts.join('\n'), { path });
}

function complaintsOf(issues: readonly z.core.$ZodIssue[], known: readonly string[], data: unknown): Complaint[] {
  return issues.flatMap(insideUnion).map((issue) => {
    const path = issue.path.map((key) => (typeof key === 'number' ? key : String(key)));
    const inKey = issue.code === 'unrecognized_keys';
    return {
      path: inKey ? [...path, issue.keys[0]!] : path,
      inKey,
      message: describe(issue, known, valueAt(data, path)),
    };
  });
}

/** Of a value that fits no member of a union: what is wrong by the member of its own kind, where only one is. */
function insideUnion(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const sameKind = issue.errors.filter((each) =>
    each.some(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
  );
  if (sameKind.length !== 1) return [issue];
  return sameKind[0]!.flatMap((each) => insideUnion({ ...each, path: [...issue.path, ...each.path] }));
}

function isWithin(path: readonly (string | number)[], outer: readonly (string | number)[]): boolean {
  return outer.length <= path.length && outer.every((key, n) => String(key) === String(path[n]));
}

/** Applies `key.path=value` pairs; values are YAML. */
function applyOverrides(document: Document, override: readonly string[]): void {
  for (const pair of override) {
    const at = pair.indexOf('=');
    if (at <= 0) throw new UsageError('--set', `--set ${pair}: expected key=value, such as --set duration=30s`);
    const path = overridePath(pair);
    const value = parseDocument(pair.slice(at + 1));
    if (value.errors.length > 0)
      throw new UsageError('--set', `--set ${pair}: ${value.errors[0]!.message.split('\n')[0]}`);
    if (document.contents === null) document.contents = document.createNode({}) as never;
    document.setIn(path, document.createNode(value.toJS()));
  }
}

/** `a.0.b` of `a.0.b=value`. The keys of thresholds have dots of their own. */
function overridePath(pair: string): (string | number)[] {
  const key = pair.slice(0, pair.indexOf('='));
  const threshold = /^thresholds\.(.+)$/.exec(key);
  if (threshold !== null) return ['thresholds', threshold[1]!];
  return key.split('.').map((each) => (/^\d+$/.test(each) ? Number(each) : each));
}

function where(document: Document, lines: LineCounter, complaint: Omit<Complaint, 'message'>): string {
  let path = complaint.path;
  if (complaint.inKey) {
    const name = path.at(-1);
    path = path.slice(0, -1);
    const parent = path.length === 0 ? document.contents : document.getIn(path, true);
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isNode(item.key) && String(item.key) === name);
      if (pair !== undefined && isNode(pair.key) && pair.key.range) return position(lines, pair.key.range[0]);
    }
  }
  for (;;) {
    const node = path.length === 0 ? document.contents : document.getIn(path, true);
    if (isNode(node) && node.range) return position(lines, node.range[0]);
    if (path.length === 0) return '1:1';
    path = path.slice(0, -1);
  }
}

function position(lines: LineCounter, offset: number): string {
  const at = lines.linePos(offset);
  return `${at.line}:${at.col}`;
}

function valueAt(data: unknown, path: Complaint['path']): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], data);
}

/** The words that may stand where another one does: of an enumeration, or of the kinds of a thing. */
function wordsOf(issue: z.core.$ZodIssue): readonly string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  return issue.code === 'invalid_union' && 'options' in issue && issue.options !== undefined
    ? issue.options.map(String)
    : [];
}

function describe(issue: z.core.$ZodIssue, known: readonly string[], value: unknown): string {
  const key = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const name = issue.keys[0]!;
    const near = nearest(name, known);
    return `${key === '' ? '' : `${key}: `}unknown key '${name}'${near === undefined ? '' : `; did you mean '${near}'?`}`;
  }
  const near = typeof value === 'string' ? nearest(value, wordsOf(issue)) : undefined;
  const what = near === undefined ? issue.message : `'${value as string}' is not known; did you mean '${near}'?`;
  return `${key === '' ? 'document' : key}: ${what}`;
}

/** Every property name of a schema, wherever it stands: what a mistyped key is compared with. */
function knownKeys(schema: z.ZodType): string[] {
  const found = new Set<string>();
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      if (key === 'properties') for (const name of Object.keys(value as object)) found.add(name);
      visit(value);
    }
  };
  visit(toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
  return [...found];
}

/** The known word closest to `word`, if it is close at all. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  return nearestWords(word, known)[0];
}

/** The known words that are close to `word`, closest first, at most three. */
export function nearestWords(word: string, known: readonly string[]): string[] {
  const most = Math.max(2, Math.floor(word.length / 3));
  return known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= most)
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
