// Options of the library's calls as schemas: what their values may be, in words that also say what would be right, and one line for what does not fit.
import { inspect } from 'node:util';
import { z } from 'zod';
import { UsageError } from './errors.js';
import { describe, insideUnion, knownKeys, nearest, valueAt } from './issues.js';

const MOST_SHOWN = 60;

/** Any value in one short line. */
export function shown(value: unknown): string {
  const text = inspect(value, { depth: 1, breakLength: Infinity, compact: true }).replaceAll(/\s*\n\s*/g, ' ');
  return text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}...`;
}

/** A value for which `fits` holds; `what` says what is wanted: `a whole number from 1 to 64`. */
export function wanted(fits: (value: unknown) => boolean, what: string): z.ZodType {
  return z.custom(fits, { error: ({ input }) => `${shown(input)} is not ${what}` });
}

export const whole = (least: number, most: number): z.ZodType =>
  wanted(
    (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
    most === Number.MAX_SAFE_INTEGER
      ? `a whole number of at least ${least}`
      : `a whole number from ${least} to ${most}`,
  );
export const boolean = wanted((value) => typeof value === 'boolean', 'true or false');
export const text = wanted((value) => typeof value === 'string', 'a text');
export const callback = wanted((value) => typeof value === 'function', 'a function');
/** What parseSize() reads; it has its own words for a text that is none. */
export const sizeLike = wanted(isMeasure, 'a size such as 64GiB or a number of bytes');
/** What parseDuration() reads. */
export const timeLike = wanted(isMeasure, 'a duration such as 250ms or a number of seconds');
export const seedLike = wanted(
  (value) => typeof value === 'bigint' && value >= 0n && value < 1n << 64n,
  'a bigint from 0n to 2n ** 64n - 1n, such as 7n',
);

export const oneOf = (known: readonly string[]): z.ZodType =>
  z.custom((value) => known.includes(value as string), {
    error: ({ input }) => `${shown(input)} is unknown; known are ${known.join(', ')}`,
  });

function isMeasure(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number';
}

/** The options that were given: `undefined` means the default. */
export function given<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** The options of a call. Throws UsageError for what is no object. */
export function object<T extends object>(operation: string, value: T): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(operation, `${operation}: ${shown(value)} stands where an object of options is wanted`);
  return value;
}

/** What is wrong with `key`, which is none of `known`. */
export function unknownKey(operation: string, key: string, known: readonly string[]): UsageError {
  const near = nearest(key, known);
  const right = near === undefined ? `known are ${known.join(', ')}` : `did you mean '${near}'?`;
  return new UsageError(operation, `${operation}: unknown key '${key}'; ${right}`);
}

/** Looks at the options of a call as a whole. Throws UsageError with the first thing that is wrong. Not for calls that must not allocate. */
export function checkOptions(operation: string, schema: z.ZodType, value: object, prefix = ''): void {
  const { error } = schema.safeParse(object(operation, value));
  if (error === undefined) return;
  const issue = insideUnion(error.issues[0]!)[0]!;
  const { path } = issue;
  const known = knownKeys(schema);
  if (issue.code === 'unrecognized_keys' && path.length === 0) throw unknownKey(operation, issue.keys[0]!, known);
  throw new UsageError(operation, prefix + describe(issue, known, valueAt(value, path)), { path: path.join('.') });
}
