// docs/existing-tests.md: every test that it names is there.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const ROOT = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

const rows = [...read('docs/existing-tests.md').matchAll(/^\|[^|]*\|[^|]*\| `([^`]+)` \|([^|]*)\|$/gm)].map(
  (match) => ({
    file: `test/kernel/${match[1]!}`,
    title: match[2]!.trim(),
  }),
);

/** Where a title stands: behind `it(`, `it.each(table)(`, or the end of a table of several lines. */
const TITLE = /(?:\b(?:it|describe)(?:\.each\b.*\))?|^ *\](?: as const)?\))\(\s*(['"`])((?:\\.|(?!\1).)*)\1/gm;

/** The titles of a file's tests and of their groups. */
const titlesOf = (source: string): string[] =>
  [...source.matchAll(TITLE)].map((match) => match[2]!.replace(/\\(.)/g, '$1'));

/** A title that takes values of a table is named by its beginning. */
const isNamed = (title: string, name: string): boolean =>
  title === name || (/[%$]/.test(title) && name !== '' && title.startsWith(name));

describe('the table of existing tests', () => {
  it('has rows', () => {
    expect(rows.length).toBeGreaterThan(30);
  });

  it.each(rows)('$file has "$title"', ({ file, title }) => {
    const titles = titlesOf(read(file));
    expect(titles.filter((each) => isNamed(each, title))).toHaveLength(1);
  });

  it('is held against titles, not against any text: no empty one, no word of a line', () => {
    const source = `describe('mask', () => {});\nit.each([1])('the flags: %i', () => {});\nconst at = call('flags');
      it.each([\n ['row', 1],\n ])(\n "it's: %s", () => {});`;
    const titles = titlesOf(source);
    expect(titles).toEqual(['mask', 'the flags: %i', "it's: %s"]);
    const named = (name: string): boolean => titles.some((title) => isNamed(title, name));
    expect(['mask', 'the flags', 'flags', 'mas', ''].map(named)).toEqual([true, true, false, false, false]);
  });
});
