// Reads a YAML or JSON document against a schema. Each complaint is one line: file:line:column, what is wrong, what would be right.
import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, LineCounter, parseDocument, visit as visitNodes, type YAMLError } from 'yaml';
import { toJSONSchema, type z } from 'zod';
import { UsageError } from '../host/errors.js';
import { describe, insideUnion, knownKeys, valueAt } from '../host/issues.js';
import { unreadable } from '../host/unreadable.js';
import { applyOverrides, overridePath, type Override } from './override.js';

export type { Override } from './override.js';

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
  /** `file:line:column`, the option that says so, or `default` for what stands in neither. */
  origin(path: Complaint['path']): string;
  /** Where to look for a mistake in the value: as `origin`, but of a default what it belongs to. */
  place(path: Complaint['path']): string;
}

/** As openDocument, for who only wants the data. */
export function readDocument<T>(
  path: string,
  schema: z.ZodType<T>,
  override: readonly (string | Override)[] = [],
  check: (data: T) => readonly Complaint[] = () => [],
): T {
  return openDocument(path, schema, override, check).data;
}

/**
 * Parses `path` and validates it; throws UsageError with one line per mistake. `override` are pairs of `--set`, or of other options; `check` looks at what a schema cannot.
 */
export function openDocument<T>(
  path: string,
  schema: z.ZodType<T>,
  override: readonly (string | Override)[] = [],
  check: (data: T) => readonly Complaint[] = () => [],
): OpenedDocument<T> {
  const lines = new LineCounter();
  const document = parsed(path, readText(path), lines);
  const overrides = override.map((each) => (typeof each === 'string' ? { pair: each, shown: `--set ${each}` } : each));
  applyOverrides(document, overrides);
  if (document.contents === null || document.toJS() === null)
    throw new UsageError('validate', `${path}:1:1: the document is empty; ${expected(schema)}`, { path });
  const data: unknown = document.toJS();
  const result = schema.safeParse(data);
  const complaints = result.success ? check(result.data) : complaintsOf(result.error.issues, knownKeys(schema), data);
  // The last of several for one key is the one that counts.
  const setBy = (at: Complaint['path']): Override | undefined =>
    overrides.findLast(({ pair }) => isWithin(at, overridePath(pair)));
  const placeOf = (complaint: Omit<Complaint, 'message'>): string =>
    setBy(complaint.path)?.shown ?? `${path}:${where(document, lines, complaint)}`;
  const place = (at: Complaint['path']): string => placeOf({ path: at, inKey: false });
  if (result.success && complaints.length === 0) {
    const origin = (at: Complaint['path']): string =>
      setBy(at) !== undefined || document.hasIn(at) ? place(at) : 'default';
    return { data: result.data, origin, place };
  }
  const texts = complaints.map((complaint) => `${placeOf(complaint)}: ${complaint.message}`);
  throw new UsageError('validate', texts.join('\n'), { path });
}

/** Has UsageErrors of `work` say that they are about the value at `path` of the document. */
export function about<R>(path: Complaint['path'], work: () => R): R {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(error.operation, named(path, error.message), { ...error.values, path });
  }
}

/** The error, with the place of the value that it is about: at `path`, or as it says itself (see `about`). */
export function placed<T>(error: unknown, { place }: OpenedDocument<T>, path?: Complaint['path']): unknown {
  if (!(error instanceof UsageError)) return error;
  const at = path ?? error.values['path'];
  if (!Array.isArray(at)) return error;
  const message = named(at as (string | number)[], error.message);
  return new UsageError(error.operation, `${place(at as (string | number)[])}: ${message}`);
}

/** The message, which says what it is about. */
function named(path: Complaint['path'], message: string): string {
  const name = path.join('.');
  return message.startsWith(`${name}: `) ? message : `${name}: ${message}`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError('read', `${path}: ${unreadable(error)}`);
  }
}

/** The document in the text. Throws UsageError with the place of what YAML or we do not allow. */
function parsed(path: string, text: string, lines: LineCounter): Document {
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const syntax = document.errors[0];
  if (syntax !== undefined)
    throw new UsageError('parse', `${path}:${position(lines, syntax.pos[0])}: ${syntaxText(syntax)}`);
  try {
    document.toJS();
  } catch (error) {
    // Aliases of aliases: a small file that stands for more than any memory holds.
    if (!(error instanceof ReferenceError)) throw error;
    const why = 'aliases (*name) that repeat so much are not expanded; write it out';
    throw new UsageError('parse', `${path}:${position(lines, firstAlias(document))}: ${why}`);
  }
  return document;
}

function syntaxText({ code, message }: YAMLError): string {
  return code === 'MULTIPLE_DOCS' ? 'a second document begins here; expected one in a file' : message;
}

function firstAlias(document: Document): number {
  let at = 0;
  visitNodes(document, {
    Alias: (_, node) => {
      at = node.range?.[0] ?? 0;
      return visitNodes.BREAK;
    },
  });
  return at;
}

/** What a document of the schema must have. */
function expected(schema: z.ZodType): string {
  const { required = [] } = toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return required.length === 0 ? 'expected a mapping' : `expected ${required.join(' and ')} at least`;
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
