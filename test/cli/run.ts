// A command run in this process, its output caught; the document of `--json` is checked against its schema.
import { vi } from 'vitest';
import { main } from '#src/cli/main.js';
import { documentIn } from '../schemas.js';

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export async function run(...args: string[]): Promise<Ran> {
  const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const code = await main(args);
    const text = (calls: readonly (readonly unknown[])[]): string => calls.map(([part]) => String(part)).join('');
    const ran = { code, stdout: text(stdout.mock.calls), stderr: text(stderr.mock.calls) };
    if (args.includes('--json') && ran.stdout !== '') documentIn(ran.stdout);
    return ran;
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}
