// `import` as a user has it: files written once, run by the commands they are made for, nothing written from bad input.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, runHere } from './child.js';

const SLOT = 'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x0 size=0x400000 ua=0x7f1000000000 ret=0';
const REFUSED = '[1.0] SEV-SNP: RMPUPDATE failed for PFN 1234, pg_level: 1, ret: 3';

function logIn(cwd: string, ...lines: string[]): string[] {
  writeFileSync(join(cwd, 'host.log'), `${lines.join('\n')}\n`);
  return ['import', 'host.log', '--out', 'made'];
}

describe('import', () => {
  it('writes what the log becomes, which runs; a second time it refuses to write over it', async () => {
    const cwd = folder();
    const command = logIn(cwd, SLOT, REFUSED);
    const { code, stdout } = await runHere(cwd, ...command);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^host\.log: 2 of 2 lines understood$/m);
    expect((await runHere(cwd, 'import', 'host.log', '--json', '--out', 'as-json')).code).toBe(0);
    expect(readdirSync(join(cwd, 'made'))).toEqual(['host.memslots.yaml', 'host.profile.yaml', 'host.scenario.yaml']);
    const dry = await runHere(cwd, 'torture', 'made/host.profile.yaml', '--dry-run');
    expect(dry.code).toBe(0);
    const explored = await runHere(cwd, 'explore', 'made/host.scenario.yaml', '--executions', '5', '--out', 'explored');
    expect(explored.code).toBe(0);
    const again = await runHere(cwd, ...command);
    expect(again.code).toBe(2);
    expect(again.stderr).toMatch(/^\S+host\.memslots\.yaml: there is such a file already; .*\n$/);
  });

  it.each([
    ['a damaged line', [SLOT, SLOT.slice(0, 50)], /^host\.log:2: damaged QEMU trace .* line, expected .*\n$/],
    ['a foreign file', ['Dear all,'], /^host\.log:1: no known kind of line: Dear all,; expected one of: .*\n$/],
    ['an empty file', [], /^host\.log:1: .*; expected one of: .*\n$/],
  ])('of %s writes nothing', async (_, lines, message) => {
    const cwd = folder();
    const { code, stdout, stderr } = await runHere(cwd, ...logIn(cwd, ...lines));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(readdirSync(cwd)).not.toContain('made');
  });

  it('--explain writes nothing and reads a damaged log as far as it goes', async () => {
    const cwd = folder();
    const { code, stdout } = await runHere(cwd, ...logIn(cwd, SLOT, SLOT.slice(0, 50)), '--explain');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^slot 0 created private at gpa 0x0, 1024 pages$/m);
    expect(stdout).toMatch(/^ {2}host\.log:2: damaged /m);
    expect(readdirSync(cwd)).not.toContain('made');
  });
});
