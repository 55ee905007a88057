// `rmptorture explore` by searches: stopped and resumed, on several threads, out of memory; and what --resume refuses.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { documentIn } from '../schemas.js';
import { run } from './run.js';

const directory = mkdtempSync(path.join(tmpdir(), 'explore-search-'));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (name: string): string => path.join(directory, name);
const explore = (...args: string[]): ReturnType<typeof run> => run('explore', ...args, '--seed', '1');

const LOOK_MS = 25;
/** Explores until the clock was looked at so often: it goes on by half a slice of a search with each look, so that no machine is fast or busy enough to stop elsewhere. */
async function exploreFor(looks: number, ...args: string[]): ReturnType<typeof run> {
  let nowMs = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += LOOK_MS));
  try {
    return await explore(...args, '--duration', `${looks * LOOK_MS}ms`);
  } finally {
    clock.mockRestore();
  }
}

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

  it.each([
    ['where its time was up', 'bind-punch', 100, 'part'],
    // By then it has met a word that it had taken for nobody else's: what it has seen is worth nothing.
    ['from its beginning when it was to begin anew', 'convert-punch', 3000, 'nothing'],
  ])('goes on with a search over states %s', async (_, scenario, looks, kept) => {
    const options = [scenario, '--strategy', 'states'];
    const [early, late, whole] = [`${scenario}-early`, `${scenario}-late`, `${scenario}-whole`];
    await explore(...options, '--out', at(whole));
    const first = await exploreFor(looks, ...options, '--out', at(early));
    expect(first.code).toBe(4);
    expect(first.stdout).toContain(`to go on: rmptorture explore --resume ${at(early)}`);
    const checkpoint = documentIn(readFileSync(path.join(at(early), 'checkpoint/checkpoint.json'), 'utf8'));
    expect((checkpoint as { done: { executions: number } }).done.executions > 0 ? 'part' : 'nothing').toBe(kept);
    const second = await run('explore', '--resume', at(early), '--workers', '2', '--out', at(late));
    expect(second.code).toBe(0);
    expect(second.stdout).toContain('livelocks are looked for by --strategy states on one thread');
    const { states, executions } = read(whole);
    expect(read(whole)).toMatchObject({ complete: true, loops: true });
    expect(read(late)).toMatchObject({ complete: true, loops: false, states, executions });
    const { share } = read(early) as { share: number };
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(1);
  });

  it.each([
    ['before its first step', 1],
    ['half-way', 15],
  ])('goes on with a search for the shortest way that was stopped %s', async (_, looks) => {
    const options = ['allocate-allocate', '--strategy', 'shortest'];
    const [early, late, whole] = [`early-${looks}`, `late-${looks}`, `whole-${looks}`];
    await explore(...options, '--out', at(whole));
    const first = await exploreFor(looks, ...options, '--out', at(early));
    expect(first.code).toBe(4);
    expect(first.stdout).toContain(`to go on: rmptorture explore --resume ${at(early)}`);
    documentIn(readFileSync(path.join(at(early), 'checkpoint/checkpoint.json'), 'utf8'));
    expect(read(early)['steps'] === 0).toBe(looks === 1);
    await run('explore', '--resume', at(early), '--out', at(late));
    const { states, executions, steps } = read(whole);
    expect(read(late)).toMatchObject({ complete: true, states, executions, steps });
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
