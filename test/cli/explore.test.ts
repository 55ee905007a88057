// `rmptorture explore` and `replay` as scripts see them: exit codes, documents, files, one line for a mistake.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SCENARIOS } from '#src/explore/scenarios/index.js';
import { scenarioSchema } from '#src/explore/schema.js';
import { documentIn } from '../schemas.js';
import { run } from './run.js';

const directory = mkdtempSync(path.join(tmpdir(), 'explore-'));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (name: string): string => path.join(directory, name);

const explore = (...args: string[]): ReturnType<typeof run> => run('explore', ...args, '--seed', '1');

const SCENARIO = `
name: two-punches
vms: { guest: {} }
files: { memory: { pages: 4 } }
setup:
  - { op: set-slot, vm: guest, slot: 0, gfn: 8, pages: 4, flags: 4, file: memory }
  - { op: allocate, file: memory, start: 0, pages: 4 }
threads:
  a: [{ op: punch-hole, file: memory, start: 0, pages: 2 }]
  b: [{ op: punch-hole, file: memory, start: 2, pages: 2 }]
`;

/** A fault that does not look whether its page was invalidated meanwhile, and a third thread. */
const THREE = `
name: three
vms: { guest: {} }
files: { memory: { pages: 4 }, other: { pages: 4 } }
variants: [no-retry-check]
setup:
  - { op: set-slot, vm: guest, slot: 0, gfn: 8, pages: 4, flags: 4, file: memory }
  - { op: set-private, vm: guest, gfn: 8, pages: 4 }
  - { op: allocate, file: memory, start: 0, pages: 4 }
threads:
  punch: [{ op: punch-hole, file: memory, start: 0, pages: 1 }, { op: punch-hole, file: memory, start: 1, pages: 2 }]
  fault: [{ op: touch, vm: guest, gfn: 8, write: true }, { op: touch, vm: guest, gfn: 9, write: true }, { op: touch, vm: guest, gfn: 9 }]
  idle: [{ op: open-file, file: memory }, { op: close-file, file: memory }, { op: allocate, file: other, start: 3, pages: 1 }]
`;

const PROGRAM = `
import { atomicAdd32 } from 'rmptorture/point';
function add(): void { for (let n = 0; n < 3; n++) atomicAdd32(65672, 1); }
export function thread0(): void { add(); }
export function thread1(): void { add(); }
`;

describe('explore', () => {
  it('passes with 0 and one document on stdout', async () => {
    const { code, stdout, stderr } = await explore(
      'punch-punch',
      '--executions',
      '50',
      '--json',
      '--out',
      at('passed'),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const document = JSON.parse(stdout) as Record<string, unknown>;
    expect(document).toMatchObject({
      schema: 'rmptorture/explore/1',
      command: 'explore',
      scenario: 'punch-punch',
      strategy: 'portfolio',
      seed: 1,
      verdict: 'no-violation',
      complete: false,
      executions: 50,
      stepLimitHits: 0,
      bound: { points: 'sync', stepLimit: 20_000 },
    });
    expect(document['distinctTraces']).toBeGreaterThan(1);
    expect(JSON.parse(readFileSync(at('passed/result.json'), 'utf8'))).toEqual(document);
    expect(existsSync(at('passed/trace.json'))).toBe(false);
  });

  it('fails with 1, a table with source lines, and a trace that replay shows to fail again', async () => {
    const found = await explore('fault-punch-hole', '--variant', 'no-retry-check', '--out', at('failed'));
    expect(found.code).toBe(1);
    expect(found.stdout).toMatch(/cas vm0\.mmu_lock free -> writer +\w+ kvm\/\S+\.ts:\d+ \(sync\/rwlock\.ts:\d+\)/);
    expect(found.stdout).toMatch(/cas rmp\[0x1\d\]\.assigned \d -> \d \(gfn 0x\d.* snp\/instructions\.ts:\d+/);
    expect(found.stdout).toMatch(/^It needs (?:each of these orders|this order)/m);
    expect(found.stdout).toMatch(
      /^execution \d+; made small: 2 threads, \d+ operations, .* before; 2, \d, \d+, \d, \d now$/m,
    );
    expect(found.stdout).toMatch(/^FAILURE: (?:host-page|stale-mapping)$/m);
    const document = documentIn(readFileSync(at('failed/result.json'), 'utf8')) as {
      violation: { threads: number; preemptions: number; found: { preemptions: number } };
    };
    expect(document.violation.threads).toBe(2);
    // One is enough; how far the minimiser comes in its second is a matter of the machine.
    expect(document.violation.preemptions).toBeLessThanOrEqual(document.violation.found.preemptions);
    const again = await run('replay', at('failed/trace.json'));
    expect(again.code).toBe(1);
    expect(again.stdout).toMatch(/^FAILURE: \S+, as recorded$/m);
    expect((await run('replay', at('failed/trace.json'), '--json')).stdout).toContain('"verdict":"violation"');
  });

  it('replays something else with 4 and says where the two part', async () => {
    await explore('mapped-punch-hole', '--variant', 'skip-zap', '--out', at('other'));
    const trace = documentIn(readFileSync(at('other/trace.json'), 'utf8')) as { variants: string[] };
    writeFileSync(at('changed.json'), JSON.stringify({ ...trace, variants: [] }));
    const { code, stdout } = await run('replay', at('changed.json'));
    expect(code).toBe(4);
    expect(stdout).toMatch(/^step \d+: expected (?:fault|write|punch|\w+): .+; (?:there is|but this thread) /);
  });

  it('leaves out the threads and operations that the failure does not need, and writes what is left', async () => {
    writeFileSync(at('three.yaml'), THREE);
    const found = await explore(at('three.yaml'), '--out', at('three'));
    expect(found.code).toBe(1);
    const { violation } = documentIn(readFileSync(path.join(at('three'), 'result.json'), 'utf8')) as {
      violation: { threads: number; operations: number; found: { threads: number; operations: number } };
    };
    expect(violation.found).toMatchObject({ threads: 3, operations: 11 });
    expect(violation.threads).toBe(2);
    expect(violation.operations).toBeLessThan(11);
    const again = await run('replay', path.join(at('three'), 'trace.json'));
    expect(again.code).toBe(1);
    expect(again.stdout).not.toContain('idle');
    const smallest = await explore(path.join(at('three'), 'smallest.yaml'), '--out', at('smallest'));
    expect(smallest.code).toBe(1);
  }, 60_000);

  it('lists the scenarios, a line each, when none is named', async () => {
    for (const args of [[], ['--list']]) {
      const { code, stdout } = await run('explore', ...args);
      expect(code).toBe(0);
      const lines = stdout.split('\n');
      for (const [n, { name, about }] of SCENARIOS.entries()) {
        expect(lines[n]).toMatch(new RegExp(`^${name} +\\S`));
        expect(lines[n]!.endsWith(about)).toBe(true);
      }
    }
  });

  it('takes a scenario from a file', async () => {
    writeFileSync(at('two.yaml'), SCENARIO);
    const { code, stdout } = await explore(at('two.yaml'), '--executions', '20', '--out', at('yaml'));
    expect(code).toBe(0);
    expect(stdout).toContain('two-punches, 2 threads');
  });

  it('proves with `states` that no interleaving fails, and says that it was all of them', async () => {
    writeFileSync(at('adds.ts'), PROGRAM);
    const { code, stdout } = await explore(at('adds.ts'), '--strategy', 'states', '--json', '--out', at('proved'));
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      strategy: 'states',
      complete: true,
      verdict: 'no-violation',
      states: 15,
    });
  }, 30_000);

  it('finds with `states` what fails, and replays it', async () => {
    const args = ['mapped-punch-hole', '--variant', 'skip-zap', '--strategy', 'states', '--out', at('searched')];
    expect((await explore(...args)).code).toBe(1);
    expect((await run('replay', at('searched/trace.json'))).code).toBe(1);
  });

  it('is inconclusive with 4 when executions are cut at the step limit', async () => {
    const { code, stdout } = await explore('punch-punch', '--steps', '20', '--executions', '5', '--out', at('cut'));
    expect(code).toBe(4);
    expect(stdout).toContain('5 executions were cut at the step limit');
  });

  it('is inconclusive, too, when a program does nothing that the scheduler sees', async () => {
    writeFileSync(at('nothing.ts'), 'export function thread0(): void {}\nexport function thread1(): void {}\n');
    const { code, stdout } = await explore(at('nothing.ts'), '--executions', '5', '--out', at('nothing'));
    expect(code).toBe(4);
    expect(stdout).toContain('INCONCLUSIVE: the scheduler saw no access');
  });

  it('a signal ends it with 130 and a report that says so', async () => {
    const before = process.listenerCount('SIGINT');
    const looking = setInterval(() => {
      if (process.listenerCount('SIGINT') === before) return;
      clearInterval(looking);
      setTimeout(() => process.emit('SIGINT', 'SIGINT'), 300);
    }, 20);
    const { code, stdout } = await explore('punch-punch', '--executions', '100000000', '--out', at('interrupted'));
    expect(code).toBe(130);
    expect(stdout).toMatch(/INTERRUPTED: no violation .* so far\nresults: .*\nto go on: rmptorture explore --resume /);
  });
});

describe('a mistake', () => {
  it.each([
    [
      'an unknown scenario',
      ['nothing'],
      /^explore: no scenario is called 'nothing'; known are fault-punch-hole, .*\n$/,
    ],
    [
      'an unknown strategy',
      ['punch-punch', '--strategy', 'luck'],
      /^--strategy luck: unknown strategy; known are .*\n$/,
    ],
    [
      'no number',
      ['punch-punch', '--executions', 'many'],
      /^--executions many: expected a whole number from 1 to .*\n$/,
    ],
    ['an unknown variant', ['punch-punch', '--variant', 'B99'], /^variants: 'B99' is unknown; .*\n$/],
    ['a program that is not there', ['none.ts'], /^explore: none\.ts: there is no such file\n$/],
    ['a scenario file with a wrong operation', ['wrong.yaml'], /wrong\.yaml:3:\d+: threads\.a\.0.*\n$/],
    ['a guest that is not there', ['guest.yaml'], /guest\.yaml:3:\d+: no guest is called 'gest'; known are guest\n$/],
    ['a scenario without threads', ['none.yaml'], /none\.yaml:2:\d+: threads: expected one at least\n$/],
    ['a scenario module that is not there', ['none.mjs'], /^explore: \S+none\.mjs: there is no such file\n$/],
  ])('%s is one line and exit code 2; nothing is written', async (_, args, message) => {
    writeFileSync(at('wrong.yaml'), 'name: x\nthreads:\n  a: [{ op: jump }]\n');
    writeFileSync(at('none.yaml'), 'name: x\nthreads: {}\n');
    writeFileSync(at('guest.yaml'), 'name: x\nvms: { guest: {} }\nthreads: { a: [{ op: touch, vm: gest, gfn: 1 }] }\n');
    const resolved = args.map((arg) => (/\.(?:yaml|mjs)$/.test(arg) ? at(arg) : arg));
    const { code, stdout, stderr } = await explore(...resolved, '--out', at('nowhere'));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(existsSync(at('nowhere'))).toBe(false);
  });

  it.each([
    ['no JSON', 'x', /: Unexpected token/],
    ['no schema', '{}', /: not a trace: it has no schema; this version reads 'rmptorture\/trace\/1'\n$/],
    [
      'an older version',
      '{"schema":"rmptorture/trace/0"}',
      /: not a trace: it is 'rmptorture\/trace\/0'; this version/,
    ],
    ['only a part of one', '{"schema":"rmptorture/trace/1","target":"punch-punch"}', /: damaged: points: /],
  ])('in a trace file, %s, is one line', async (_, text, message) => {
    writeFileSync(at('damaged.json'), text);
    const { code, stdout, stderr } = await run('replay', at('damaged.json'));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^replay: \S+damaged\.json: [^\n]*\n$/);
    expect(stderr).toMatch(message);
  });

  it('in a trace file is named', async () => {
    writeFileSync(at('no-trace.json'), '{"schema":"rmptorture/torture/1"}');
    const { code, stderr } = await run('replay', at('no-trace.json'));
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^replay: \S+no-trace\.json: not a trace: it is 'rmptorture\/torture\/1'; this version reads 'rmptorture\/trace\/1'\n$/,
    );
  });
});

it('the shipped schema of scenarios is the one that is used', () => {
  const shipped = JSON.parse(readFileSync('config/schema/scenario.json', 'utf8')) as unknown;
  expect(shipped).toEqual(JSON.parse(JSON.stringify(z.toJSONSchema(scenarioSchema, { io: 'input' }))));
});
