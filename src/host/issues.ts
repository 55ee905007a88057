// What is wrong with a value by its schema, in words: of profiles and other documents, and of the options of the library's calls.
import { toJSONSchema, type z } from 'zod';

/** Of a value that fits no member of a union: what is wrong by the member of its own kind, where only one is. */
export function insideUnion(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const sameKind = issue.errors.filter((each) =>
    each.some(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
  );
  if (sameKind.length !== 1) return [issue];
  return sameKind[0]!.flatMap((each) => insideUnion({ ...each, path: [...issue.path, ...each.path] }));
}

/** The value at a path. */
export function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], data);
}

/** The words that may stand where another one does: of an enumeration, or of the kinds of a thing. */
function wordsOf(issue: z.core.$ZodIssue): readonly string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  return issue.code === 'invalid_union' && 'options' in issue && issue.options !== undefined
    ? issue.options.map(String)
    : [];
}

/** What is wrong, and what it may have been meant for: `known` are the keys of the schema. */
export function describe(issue: z.core.$ZodIssue, known: readonly string[], value: unknown): string {
  const key = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const name = issue.keys[0]!;
    const near = nearest(
      name,
      known.filter((each) => each !== name),
    );
    return `${key === '' ? '' : `${key}: `}unknown key '${name}'${near === undefined ? '' : `; did you mean '${near}'?`}`;
  }
  const near = typeof value === 'string' ? nearest(value, wordsOf(issue)) : undefined;
  const what =
    near !== undefined
      ? `'${value as string}' is not known; did you mean '${near}'?`
      : value === undefined && issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')
        ? `missing; expected ${issue.expected}` // the schema has no words of its own
        : issue.message;
  return `${key === '' ? 'document' : key}: ${what}`;
}

/** Every property name of a schema, wherever it stands: what a mistyped key is compared with. */
export function knownKeys(schema: z.ZodType): string[] {
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

/** Letters to add, to leave out, to change, or to swap with their neighbour. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
