// docs/tutorial-explore.md does what it says: its programs, taken from the page, in a folder of their own.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expectNoViolation } from 'rmptorture/explore';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { main } from '#src/cli/main.js';

const folder = mkdtempSync(path.join(tmpdir(), 'tutorial-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const page = readFileSync('docs/tutorial-explore.md', 'utf8');
const [broken, mended] = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!);
const file = path.join(folder, 'account.ts');

async function explore(
  source: string,
  ...args: string[]
): Promise<{ code: number; verdict: unknown; complete: unknown }> {
  writeFileSync(file, source);
  const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const code = await main([
    'explore',
    file,
    '--seed',
    '1',
    '--json',
    '--out',
    mkdtempSync(path.join(folder, 'out-')),
    ...args,
  ]);
  const { verdict, complete } = JSON.parse(String(stdout.mock.calls[0]![0])) as Record<string, unknown>;
  return { code, verdict, complete };
}

describe('the tutorial', () => {
  it('finds what is wrong with the first program', async () => {
    expect(await explore(broken!)).toMatchObject({ code: 1, verdict: 'violation' });
  }, 30_000);

  it('proves the second one, and keeps it as a test', async () => {
    const result = await explore(mended!, '--strategy', 'states');
    expect(result).toEqual({ code: 0, verdict: 'no-violation', complete: true });
    await expectNoViolation(file, { executions: 100 });
  }, 30_000);
});
