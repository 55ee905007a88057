// Reads a YAML or JSON document against a schema. Each complaint is one line: file:line:column, what is wrong, what would be right.
import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument, isNode, isMap, type Document } from 'yaml';
import { toJSONSchema, type z } from 'zod';
import { UsageError } from '../host/errors.js';

/** Parses `path` and validates it; throws UsageError with one line per mistake. `override` are `--set` pairs. */
export function readDocument<T>(path: string, schema: z.ZodType<T>, override: readonly string[] = []): T {
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
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;
  const known = knownKeys(schema);
  const complaints = parsed.error.issues.map(
    (issue) => `${path}:${where(document, lines, issue)}: ${describe(issue, known)}`,
  );
  throw new UsageError('validate', complaints.join('\n'), { path });
}

/** Applies `key.path=value` pairs; values are YAML. */
function applyOverrides(document: Document, override: readonly string[]): void {
  for (const pair of override) {
    const at = pair.indexOf('=');
    if (at <= 0) throw new UsageError('--set', `--set ${pair}: expected key=value, such as --set duration=30s`);
    const path = pair
      .slice(0, at)
      .split('.')
      .map((key) => (/^\d+$/.test(key) ? Number(key) : key));
    const value = parseDocument(pair.slice(at + 1));
    if (value.errors.length > 0)
      throw new UsageError('--set', `--set ${pair}: ${value.errors[0]!.message.split('\n')[0]}`);
    if (document.contents === null) document.contents = document.createNode({}) as never;
    document.setIn(path, document.createNode(value.toJS()));
  }
}

function where(document: Document, lines: LineCounter, issue: z.core.$ZodIssue): string {
  let path: readonly PropertyKey[] = issue.path;
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  if (unknown !== undefined) {
    const parent = path.length === 0 ? document.contents : document.getIn(path, true);
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isNode(item.key) && String(item.key) === unknown);
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

function describe(issue: z.core.$ZodIssue, known: readonly string[]): string {
  const key = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const name = issue.keys[0]!;
    const near = nearest(name, known);
    return `${key === '' ? '' : `${key}: `}unknown key '${name}'${near === undefined ? '' : `; did you mean '${near}'?`}`;
  }
  return `${key === '' ? 'document' : key}: ${issue.message}`;
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
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
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
