// docs/shm.md: every example is run as it stands there, and prints what the page says.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(path.join(ROOT, 'docs/shm.md'), 'utf8');
const blocks = [...page.matchAll(/^```(\w+) ?(.*)\n([^]*?)^```$/gm)].map(([, language, title, text]) => ({
  language: language!,
  title: title!,
  text: text!,
}));
const programs = blocks.filter(({ language }) => language === 'js');
const printed = blocks.filter(({ language }) => language === 'text');

let folder: string;
beforeAll(() => {
  // Inside the package, so that `rmptorture/shm` resolves to this very build.
  mkdirSync(path.join(ROOT, 'dist'), { recursive: true });
  folder = mkdtempSync(path.join(ROOT, 'dist/examples-'));
  for (const { title, text } of programs) writeFileSync(path.join(folder, title), text);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('docs/shm.md', () => {
  it('says of every example what it prints, but of the workers', () => {
    const names = printed.map(({ title }) => title.replace(' prints', ''));
    expect(new Set([...names, 'worker.mjs'])).toEqual(new Set(programs.map(({ title }) => title)));
    expect(blocks).toHaveLength(programs.length + printed.length);
  });

  it.each(printed)('$title what it says', ({ title, text }) => {
    const file = path.join(folder, title.replace(' prints', ''));
    expect(execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 50_000 })).toBe(text);
  });
});
