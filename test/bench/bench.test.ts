// Benchmarks: every suite still runs and computes what it must (a few iterations each, no times asserted), and the statistics and comparison are right.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { compareDocuments, type BenchDocument } from '#bench/document.js';
import { runBench, SUITES } from '#bench/main.js';
import { Runner, WrongResult } from '#bench/runner.js';
import { machineDifferences } from '#src/host/environment.js';
import { mannWhitney } from '#src/host/mann-whitney.js';
import { documentIn } from '../schemas.js';
import { estimate, median, pairedRatio, quantile, unpairedRatio } from '#src/host/samples.js';

const noise = (n: number, scale: number): number[] =>
  Array.from({ length: n }, (_, k) => scale * (100 + ((k * 37) % 11)));

describe('every suite', () => {
  it.each(Object.keys(SUITES))(
    '%s runs, with the result it must have',
    async (suite) => {
      const lines: string[] = [];
      const { document, regressed } = await runBench({
        suites: [suite],
        effort: 'smoke',
        print: (text) => lines.push(text),
      });
      expect(regressed).toBe(false);
      expect(document).toMatchObject({ schema: 'rmptorture/bench/1', environment: { node: process.version } });
      documentIn(JSON.stringify(document));
      expect(document.benchmarks.length).toBeGreaterThan(0);
      for (const benchmark of document.benchmarks) {
        expect(benchmark.name).toContain(`${suite}/`);
        expect(benchmark.samples.every((sample) => sample > 0)).toBe(true);
        expect(benchmark.hash).toMatch(/^[0-9a-f]{16}$/);
        expect(lines.some((line) => line.startsWith(benchmark.name))).toBe(true);
      }
      // Starting threads that compile the kernel takes its time on a machine that is busy.
    },
    180_000,
  );

  it('fails, rather than being fast, when it computes something else', async () => {
    const wrong = { name: 'wrong', operations: 1, expected: 1, run: () => ({ ns: 1, waitedNs: 0, value: 2 }) };
    await expect(new Runner('smoke', () => {}).group([wrong])).rejects.toThrow(WrongResult);
  });

  it('is refused by an unknown name with the list of those there are', async () => {
    await expect(runBench({ suites: ['lock'] })).rejects.toThrow(/no suite "lock"; there are: .*locks/);
    const command = fileURLToPath(new URL('../../dist/src/cli/bin.js', import.meta.url));
    const run = (): unknown => execFileSync(process.execPath, [command, 'bench', 'lock'], { stdio: 'pipe' });
    expect(run).toThrow(expect.objectContaining({ status: 2 }) as Error);
  });
});

describe('samples of a group', () => {
  it('are taken in turn, so that a disturbance meets all alike', async () => {
    const order: string[] = [];
    const benchmark = (name: string): Parameters<Runner['group']>[0][number] => ({
      name,
      operations: 1,
      expected: 0,
      run: () => {
        order.push(name);
        return { ns: 1, waitedNs: 0, value: 0 };
      },
    });
    await new Runner('smoke', () => {}).group([benchmark('a'), benchmark('b')]);
    expect(order.join('')).toBe('ab'.repeat(order.length / 2));
  });

  it('are taken again when the thread had to wait for a CPU', async () => {
    let calls = 0;
    const run = (): { ns: number; waitedNs: number; value: number } => ({
      ns: 100,
      waitedNs: calls++ % 3 === 0 ? 50 : 0,
      value: 0,
    });
    const runner = new Runner('quick', () => {});
    const [measured] = await runner.group([{ name: 'waits', operations: 1, expected: 0, run }], 0.2);
    expect(calls).toBeGreaterThan(measured!.samples.length + 1);
  });
});

describe('statistics', () => {
  it('give the median, quantiles and an interval around the median', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(quantile([0, 10], 0.95)).toBe(9.5);
    const { median: middle, low, high } = estimate(noise(41, 1));
    expect(low).toBeLessThanOrEqual(middle);
    expect(high).toBeGreaterThanOrEqual(middle);
    expect(high - low).toBeLessThan(11);
  });

  it('take the ratio of samples pair by pair: a disturbance of both cancels', () => {
    const disturbance = [1, 5, 1, 9, 2];
    const ratio = pairedRatio(
      disturbance.map((d) => 30 * d),
      disturbance.map((d) => 10 * d),
    );
    expect(ratio.median).toBeCloseTo(3);
    expect(ratio.high).toBeCloseTo(3);
  });

  it('Mann-Whitney tells a shift from none', () => {
    expect(mannWhitney(noise(30, 1), noise(30, 1.2))).toBeLessThan(1e-4);
    expect(mannWhitney(noise(30, 1), noise(30, 1))).toBeGreaterThan(0.9);
    // Exact for few values: complete separation is 2 of the 20 ways to choose three of six; of 252, five of ten, which is below 0.01.
    expect(mannWhitney([1, 2, 3], [4, 5, 6])).toBeCloseTo(2 / 20, 9);
    expect(mannWhitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])).toBeCloseTo(2 / 252, 9);
    // With a tie across: of the choices of two of ranks 1, 2.5, 2.5, 4 two are as far from the mean as 3.5, and two as 6.5.
    expect(mannWhitney([1, 2], [2, 3])).toBeCloseTo(4 / 6, 9);
    expect(mannWhitney([5, 5], [5, 5])).toBe(1);
    expect(unpairedRatio(noise(30, 2), noise(30, 1)).median).toBeCloseTo(2);
  });
});

describe('comparison with a saved run', () => {
  const document = (scale: number, hash = 'h'): BenchDocument => ({
    schema: 'rmptorture/bench/1',
    command: 'bench',
    environment: {
      cpu: 'c',
      cores: 2,
      memoryBytes: 1,
      kernel: 'k',
      arch: 'x64',
      node: 'v20',
      v8: '11',
      loadAverage: 0,
      version: '0',
    },
    effort: 'full',
    goals: [],
    benchmarks: [
      {
        name: 'x',
        unit: 'ns/op',
        samples: noise(40, scale),
        median: 1,
        p95: 1,
        confidence: [1, 1],
        opsPerSecond: 1,
        hash,
      },
    ],
  });

  it.each([
    [1.2, 'slower'],
    [0.8, 'faster'],
    [1, 'same'],
    [1.02, 'same'],
  ])('calls %d times the time %s', (scale, verdict) => {
    expect(compareDocuments(document(scale), document(1))).toMatchObject([{ name: 'x', verdict }]);
  });

  it('refuses runs that did different work, and names what differs between machines', () => {
    expect(() => compareDocuments(document(1, 'other'), document(1))).toThrow(/different work/);
    const { environment } = document(1);
    expect(machineDifferences(environment, { ...environment, loadAverage: 9 })).toEqual([]);
    expect(machineDifferences(environment, { ...environment, cores: 64 })).toEqual(['cores 2 / 64']);
  });
});
