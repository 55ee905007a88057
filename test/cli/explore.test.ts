// `rmptorture explore` and `replay` as scripts see them: exit codes, documents, files, one line for a mistake.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { main } from '#src/cli/main.js';
import { SCENARIOS } from '#src/explore/scenarios/index.js';
import { scenarioSchema } from '#src/explore/schema.js';
import { documentIn } from '../schemas.js';

const directory = mkdtempSync(path.join(tmpdir(), 'explore-'));
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());
const at = (name: string): string => path.join(directory, name);

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const code = await main(args);
  const text = (calls: readonly (readonly unknown[])[]): string => calls.map(([part]) => String(part)).join('');
  const result = { code, stdout: text(stdout.mock.calls), stderr: text(stderr.mock.calls) };
  vi.restoreAllMocks();
  if (args.includes('--json') && result.stdout !== '') documentIn(result.stdout);
  return result;
}

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

describe('explore --strategy states', () => {
  it('says so when its memory is full, and is not complete then', async () => {
    const options = ['--strategy', 'states', '--memory', '64KiB', '--out', at('full')];
    const { code, stdout } = await explore('punch-punch', ...options);
    expect(code).toBe(4);
    expect(stdout).toContain('remembered as bits');
    expect(JSON.parse(readFileSync(path.join(at('full'), 'result.json'), 'utf8'))).toMatchObject({
      complete: false,
      limits: ['bits'],
    });
  });

  it('refuses a size that makes no sense in one line', async () => {
    const { code, stderr } = await explore('punch-punch', '--strategy', 'states', '--memory', '3');
    expect(code).toBe(2);
    expect(stderr).toContain('--memory 3: expected a size from 64KiB to 8GiB');
  });
});

describe('explore --resume', () => {
  const read = (name: string): Record<string, unknown> =>
    documentIn(readFileSync(path.join(at(name), 'result.json'), 'utf8')) as Record<string, unknown>;

  it('goes on with a search over states where its time was up', async () => {
    const options = ['--strategy', 'states'];
    await explore('convert-punch', ...options, '--out', at('whole'));
    const first = await explore('convert-punch', ...options, '--duration', '300ms', '--out', at('first'));
    expect(first.code).toBe(4);
    expect(first.stdout).toContain(`to go on: rmptorture explore --resume ${at('first')}`);
    documentIn(readFileSync(path.join(at('first'), 'checkpoint/checkpoint.json'), 'utf8'));
    const second = await run('explore', '--resume', at('first'), '--workers', '2', '--out', at('second'));
    expect(second.code).toBe(0);
    expect(second.stdout).toContain('livelocks are looked for by --strategy states on one thread');
    const { states, executions } = read('whole');
    expect(read('whole')).toMatchObject({ complete: true, loops: true });
    expect(read('second')).toMatchObject({ complete: true, loops: false, states, executions });
    // On a machine with much else to do it may be stopped before its first step.
    const { share } = read('first') as { share: number };
    expect(share).toBeGreaterThanOrEqual(0);
    expect(share).toBeLessThan(1);
  });

  it('goes on with a search for the shortest way', async () => {
    const options = ['--strategy', 'shortest'];
    await explore('bind-punch', ...options, '--out', at('breadth'));
    for (const [name, duration] of [
      ['at-once', '1us'],
      ['soon', '200ms'],
    ] as const) {
      const first = await explore('bind-punch', ...options, '--duration', duration, '--out', at(name));
      // A fast machine may be done.
      if (first.code === 0) continue;
      expect(first.stdout).toContain(`to go on: rmptorture explore --resume ${at(name)}`);
      documentIn(readFileSync(path.join(at(name), 'checkpoint/checkpoint.json'), 'utf8'));
      await run('explore', '--resume', at(name), '--out', at(`${name}-on`));
      const { states, executions, steps } = read('breadth');
      expect(read(`${name}-on`)).toMatchObject({ complete: true, states, executions, steps });
    }
  });

  it('goes on with a search through schedules, with any number of threads', async () => {
    const options = ['--strategy', 'dpor', '--executions', '1000000'];
    await explore('allocate-allocate', ...options, '--out', at('all'));
    await explore('allocate-allocate', '--strategy', 'dpor', '--executions', '20', '--out', at('some'));
    await run('explore', '--resume', at('some'), '--executions', '1000000', '--workers', '2', '--out', at('others'));
    // Where a search is divided a few executions more are begun, and given up as known.
    const { distinctTraces, executions, complete } = read('all');
    expect(distinctTraces).toBe(executions);
    expect(read('some')).toMatchObject({ executions: 20, complete: false });
    expect(read('others')).toMatchObject({ distinctTraces: Number(distinctTraces) - 20, complete });
  });

  it('goes on with a search whose time was up before its first step, of which nothing is said', async () => {
    const first = await explore('free-free', '--strategy', 'states', '--duration', '1us', '--out', at('none'));
    expect(first.code).toBe(4);
    expect(read('none')).toMatchObject({ verdict: 'inconclusive', complete: false, states: 0, limits: ['stop'] });
    const second = await run('explore', '--resume', at('none'), '--out', at('all-of-it'));
    expect(second.code).toBe(0);
    expect(read('all-of-it')).toMatchObject({ complete: true });
  });

  it('goes on with the next execution of a sampler', async () => {
    const options = ['--strategy', 'pos', '--executions', '1000000'];
    await explore('punch-punch', ...options, '--duration', '200ms', '--out', at('sampled'));
    const { executions } = read('sampled') as { executions: number };
    await run('explore', '--resume', at('sampled'), '--executions', '50', '--out', at('more'));
    expect(read('more')).toMatchObject({ strategy: 'pos', seed: 1, executions: executions + 50 });
  });

  it('says in one line what is wrong', async () => {
    await explore('free-free', '--strategy', 'shortest', '--duration', '1us', '--out', at('torn'));
    const copy = (name: string): string => {
      cpSync(at('torn'), at(name), { recursive: true });
      return path.join(at(name), 'checkpoint');
    };
    const elsewhere = copy('elsewhere');
    const file = path.join(elsewhere, 'checkpoint.json');
    writeFileSync(path.join(elsewhere, 'ways.bin'), Float64Array.of(0, 31 + 32));
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace(
        /"shortest":{.*?}/,
        '"shortest":{"waiting":1,"present":1,"depth":1,"answers":[]}',
      ),
    );
    const empty = path.join(copy('empty'), 'checkpoint.json');
    writeFileSync(empty, readFileSync(empty, 'utf8').replace(/,"shortest":{.*?}/, ''));
    writeFileSync(path.join(at('torn'), 'checkpoint/ways.bin'), 'short');
    const mistakes: [string[], string][] = [
      [['punch-punch', '--resume', at('sampled')], 'so leave out punch-punch'],
      [['--resume', at('sampled'), '--seed', '3'], 'leave out --seed, which the checkpoint has'],
      [['--resume', at('sampled'), '--strategy', 'pct'], 'leave out --strategy'],
      [['--resume', at('more')], 'no checkpoint.json there'],
      [['--resume', at('torn')], 'ways.bin is damaged'],
      [['--resume', at('elsewhere')], 'cannot be gone: ways.bin is damaged'],
      [['--resume', at('empty')], 'checkpoint.json is damaged'],
    ];
    for (const [args, message] of mistakes) {
      const { code, stderr } = await run('explore', ...args);
      expect(code).toBe(2);
      expect(stderr).toContain(message);
    }
  });
});

describe('explore --workers', () => {
  const onWorkers = async (workers: number, ...args: string[]): Promise<Record<string, unknown>> => {
    const options = ['--executions', '1100', '--workers', `${workers}`, '--json'];
    const out = at(`workers-${workers}-${args.length}`);
    const { stdout } = await explore('fault-punch-hole', ...options, '--out', out, ...args);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const whole = ({ executions, steps, distinctTraces, verdict }: Record<string, unknown>): unknown[] => [
    executions,
    steps,
    distinctTraces,
    verdict,
  ];

  it('makes the same executions on any number of threads', async () => {
    const [one, two] = [await onWorkers(1), await onWorkers(2)];
    expect(whole(one)).toEqual(whole(two));
    expect(one).toMatchObject({ executions: 1100, verdict: 'no-violation', complete: false });
  });

  it('finds the same first failure on any number of threads', async () => {
    const [one, two] = [
      await onWorkers(1, '--variant', 'no-retry-check'),
      await onWorkers(3, '--variant', 'no-retry-check'),
    ];
    expect(whole(one)).toEqual(whole(two));
    expect(one['violation']).toMatchObject({ executionIndex: (one['executions'] as number) - 1 });
  });

  it('refuses to share out the one search that cannot be', async () => {
    const { code, stderr } = await explore('punch-punch', '--strategy', 'shortest', '--workers', '2');
    expect(code).toBe(2);
    expect(stderr).toContain('--workers 2: strategy shortest runs on one thread');
  });
});

describe('explore --strategy shortest', () => {
  it('fails with the fewest steps that there are', async () => {
    const failing = async (strategy: string): Promise<Record<string, unknown>> => {
      const options = ['--variant', 'no-retry-check', '--strategy', strategy, '--json'];
      const { code, stdout } = await explore('mapped-punch-hole', ...options, '--out', at(`short-${strategy}`));
      expect(code).toBe(1);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    const [shortest, states] = [await failing('shortest'), await failing('states')];
    expect(shortest).toMatchObject({ strategy: 'shortest', loops: false });
    const steps = ({ violation }: Record<string, unknown>): number =>
      (violation as { found: { steps: number } }).found.steps;
    expect(steps(shortest)).toBeLessThanOrEqual(steps(states));
  });
});

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
