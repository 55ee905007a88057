// From stress to answer: a torture run that failed becomes a scenario that fails alike. One run is made here, on real threads; the windows of the others are
// what runs of config/quickstart's kind left, cut to the operations that count.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { main } from '#src/cli/main.js';
import { readDocument } from '#src/torture/document.js';
import { scenarioSchema } from '#src/explore/schema.js';
import { documentIn } from '../../schemas.js';

const directory = mkdtempSync(path.join(tmpdir(), 'from-'));
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());
const at = (...names: string[]): string => path.join(directory, ...names);

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const code = await main(args);
  const text = (calls: readonly (readonly unknown[])[]): string => calls.map(([part]) => String(part)).join('');
  const result = { code, stdout: text(stdout.mock.calls), stderr: text(stderr.mock.calls) };
  vi.restoreAllMocks();
  return result;
}

const documentSchema = z.object({
  verdict: z.string(),
  from: z.object({ oracle: z.string(), found: z.string().optional(), executions: z.number(), scenario: z.string() }),
  violation: z.object({ oracle: z.string(), threads: z.number() }).optional(),
});

/** `explore --from` of a folder; the document that it writes, and the names of the scenario's threads. */
async function reproduced(name: string): Promise<z.infer<typeof documentSchema> & { code: number; names: string[] }> {
  const out = at(`${name}-explored`);
  const options = ['--seed', '1', '--executions', '3000', '--json', '--out', out];
  const { code, stdout, stderr } = await run('explore', '--from', at(name), ...options);
  expect(stderr).toBe('');
  const document = documentSchema.parse(documentIn(stdout));
  const { threads } = readDocument(document.from.scenario, scenarioSchema);
  return { ...document, code, names: Object.keys(threads).toSorted() };
}

/** An operation as a result document has it. */
const operation = (op: string, page: number, pages: number, result: string, more: object = {}): object => ({
  op,
  guest: 'g',
  slot: 0,
  page,
  pages,
  result,
  startNs: page,
  ...more,
});
const PRIVATE = { private: true, vcpu: 0 };

/** Writes the result of a run on a guest of 1024 private pages whose first violation is of `task1`, at `gfn`. */
function writeResult(
  name: string,
  variant: string,
  oracle: string,
  gfn: number,
  threads: Record<string, object[]>,
): void {
  const slot = { slot: 0, gfn: 0, pages: 1024, flags: 4, private: true };
  const recent = {
    guests: [{ name: 'g', vcpus: 2, slots: [slot] }],
    threads: Object.entries(threads).map(([thread, operations], n) => {
      return { thread, task: `task${n + 1}`, kind: thread.replace(/\d+$/, ''), operations };
    }),
  };
  const result = {
    schema: 'rmptorture/torture/1',
    verdict: 'violated',
    protocol: 'rfc-v8',
    hook: 'snp',
    profile: { variants: [variant] },
    violations: [{ oracle, message: 'as on real threads', thread: 'task1' }],
    places: [{ violation: 0, guest: 'g', gfn }],
    recent,
  };
  mkdirSync(at(name));
  writeFileSync(at(name, 'result.json'), JSON.stringify(result));
}

describe('explore --from', () => {
  it('reproduces the failure of a torture run that it has never seen (B05), within 10,000 executions', async () => {
    const profile = at('profile.yaml');
    const actors = '[{ kind: vcpu }, { kind: invalidator, range: { pages: [1, 16] } }]';
    writeFileSync(
      profile,
      `host: { memory: 64MiB }\nvms: [{ name: g, memory: 4MiB }]\nactors: ${actors}\nduration: 1h\nvariants: [B05]\n`,
    );
    const torture = await run('torture', profile, '--seed', '42', '--out', at('B05'));
    expect(torture.code).toBe(1);
    const { code, verdict, from, violation } = await reproduced('B05');
    expect({ code, verdict }).toEqual({ code: 1, verdict: 'violation' });
    expect(['stale-mapping', 'host-page', 'one-owner']).toContain(from.oracle);
    expect(['stale-mapping', 'host-page', 'one-owner']).toContain(violation?.oracle);
    // What the window of a run on real threads holds differs from run to run: 600 to 5000 of them in most.
    expect(from.executions).toBeLessThan(10_000);
  });

  it('reproduces an unbinding without invalidation (B01) with the rebinder and who frees the page', async () => {
    writeResult('B01', 'B01', 'host-page', 1, {
      invalidator0: [operation('punch_hole', 484, 3, 'ok'), operation('punch_hole', 1, 11, 'pending')],
      vcpu0: [operation('touch', 845, 1, 'ok', { ...PRIVATE, write: true })],
      rebinder0: [
        operation('slot_create', 0, 992, 'ok', { second: false }),
        operation('slot_create', 992, 32, 'ok', { second: true }),
        operation('slot_delete', 0, 992, 'ok', { second: false }),
        operation('slot_delete', 992, 32, 'pending', { second: true }),
      ],
    });
    const { code, from, violation, names } = await reproduced('B01');
    expect(code).toBe(1);
    expect({ run: from.oracle, found: from.found, shown: violation?.oracle }).toEqual({
      run: 'host-page',
      found: 'host-page',
      shown: 'host-page',
    });
    expect(names).toEqual(['invalidator0', 'rebinder0']);
    expect(from.executions).toBeLessThan(8000);
  });

  it('reproduces a fault that does not retry with a fault and a hole, which is all that is left of five threads', async () => {
    writeResult('no-retry', 'no-retry-check', 'host-page', 544, {
      invalidator0: [operation('punch_hole', 202, 10, 'ok'), operation('punch_hole', 537, 11, 'pending')],
      vcpu0: [operation('touch', 544, 1, 'pending', { ...PRIVATE, write: true })],
      vcpu1: [operation('touch', 493, 1, 'pending', { ...PRIVATE, vcpu: 1 })],
      converter0: [operation('to_private', 755, 4, 'ok'), operation('to_shared', 762, 13, 'pending')],
      rebinder0: [operation('slot_delete', 0, 1024, 'pending', { second: false })],
    });
    const { code, from, violation, names } = await reproduced('no-retry');
    expect(code).toBe(1);
    expect({ found: from.found, shown: violation?.oracle }).toEqual({ found: 'host-page', shown: 'host-page' });
    expect(names.length).toBeLessThanOrEqual(3);
    expect(names).toContain('invalidator0');
    expect(from.executions).toBeLessThan(8000);
  });

  it('passes when the mistake is not turned on, and says that nothing failed', async () => {
    writeResult('fixed', 'B05', 'stale-mapping', 100, {
      vcpu0: [operation('touch', 100, 1, 'pending', { ...PRIVATE, write: true })],
      invalidator0: [operation('punch_hole', 95, 6, 'ok')],
    });
    const options = ['--protocol', 'rfc-v8', '--variant', 'B12', '--executions', '600', '--seed', '1'];
    const { code, stdout } = await run('explore', '--from', at('fixed'), ...options, '--out', at('fixed-explored'));
    expect(code).toBe(0);
    expect(stdout).toContain('no scenario cut from its last operations failed');
  });
});

describe('explore --from refuses in one line, with exit code 2 and nothing written', () => {
  const broken: [string, string, RegExp][] = [
    ['a folder that is not there', '', /there is no .*result\.json/],
    ['a document that is not JSON', '{', /result\.json: .*JSON/],
    ['the result of another command', '{"schema":"rmptorture/explore/1"}', /schema: .*result of rmptorture torture/],
  ];
  it.each(broken)('%s', async (_, text, message) => {
    const folder = mkdtempSync(at('broken-'));
    if (text !== '') writeFileSync(path.join(folder, 'result.json'), text);
    const { code, stdout, stderr } = await run('explore', '--from', folder, '--out', at('nothing'));
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(message);
    expect(existsSync(at('nothing'))).toBe(false);
  });

  it('a run that passed', async () => {
    const profile = at('passes.yaml');
    writeFileSync(
      profile,
      'host: { memory: 64MiB }\nvms: [{ name: g, memory: 4MiB }]\nactors: [{ kind: vcpu, operations: 100 }]\n',
    );
    expect((await run('torture', profile, '--out', at('passed'))).code).toBe(0);
    const { code, stderr } = await run('explore', '--from', at('passed'), '--out', at('nothing'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/^--from .*: the run's verdict is 'passed': it has no violation/);
    expect(existsSync(at('nothing'))).toBe(false);
  });

  it('a scenario beside it', async () => {
    const { code, stderr } = await run('explore', 'punch-punch', '--from', at('B05'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/leave out punch-punch/);
  });
});
