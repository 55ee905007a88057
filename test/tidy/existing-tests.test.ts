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

describe('the table of existing tests', () => {
  it('has rows', () => {
    expect(rows.length).toBeGreaterThan(30);
  });

  it.each(rows)('$file has "$title"', ({ file, title }) => {
    expect(read(file)).toContain(title);
  });
});
