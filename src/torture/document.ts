// Reads a YAML or JSON document against a schema. Each complaint is one line: file:line:column, what is wrong, what would be right.
import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument, isNode, isMap, type Document } from 'yaml';
import type { z } from 'zod';
import { UsageError } from '../host/errors.js';
import { describe, insideUnion, knownKeys, valueAt } from '../host/issues.js';

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
