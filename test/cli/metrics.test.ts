// --metrics: what Prometheus gets of a running torture, from where, and what happens when it cannot.
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { startMetrics } from '#src/cli/metrics-server.js';
import { runTorture, type LockStatistics, type TortureProgress } from '#src/index.js';
import { prometheusText } from '#src/report/metrics-prometheus.js';
import { profileSchema } from '#src/torture/schema.js';
import { folder, run, runHere } from './child.js';

const pages = { total: 10, free: 7, allocated: 3, assigned: 2, leaked: 0 };
const touch = {
  count: 40,
  pages: 40,
  ratePerSecond: 20,
  latencyNs: { min: 5, p50: 5, p90: 300, p99: 300, p999: 300, max: 300 },
  errors: { EFAULT: 4 },
  // Bucket 5 is 5 ns; bucket 80 begins at 16 * 2^4 = 256 ns and ends below 272.
  histogram: [
    [5, 3],
    [80, 2],
  ] as [number, number][],
};
const times = { samples: 1, mean: 1, p50: 1, p99: 1, max: 1 };
// Bucket 34 begins at (4 + 2) * 2^7 = 768 ns and ends below 896.
const mmu: LockStatistics = {
  acquisitions: 9,
  contended: 1,
  waitNs: times,
  holdNs: times,
  waitHistogram: [[34, 1]],
  holdHistogram: [[34, 2]],
};
const PROGRESS: TortureProgress = {
  elapsedMs: 2000,
  totalMs: 5000,
  operations: { touch },
  locks: { mmu },
  pages,
  violations: 0,
};

describe('the text for Prometheus', () => {
  const lines = prometheusText(PROGRESS).split('\n');

  it('has counters by operation, errno and lock class, and the pages by state', () => {
    expect(lines).toEqual(
      expect.arrayContaining([
        'rmptorture_elapsed_seconds 2',
        'rmptorture_operations_total{operation="touch"} 40',
        'rmptorture_operation_errors_total{operation="touch",errno="EFAULT"} 4',
        'rmptorture_lock_acquisitions_total{class="mmu"} 9',
        'rmptorture_lock_contended_total{class="mmu"} 1',
        // Below 896 ns all is under 2.048 us, and not under 512 ns.
        'rmptorture_lock_wait_duration_seconds_bucket{class="mmu",le="5.12e-7"} 0',
        'rmptorture_lock_wait_duration_seconds_bucket{class="mmu",le="0.000002048"} 1',
        'rmptorture_lock_hold_duration_seconds_count{class="mmu"} 2',
        'rmptorture_pages{state="assigned"} 2',
        'rmptorture_violations 0',
      ]),
    );
  });

  it('has a cumulative histogram, and each family once with its type before its samples', () => {
    const of = (le: string): number =>
      Number(
        lines
          .find((line) => line.includes('operation_duration_seconds_bucket') && line.includes(`le="${le}"`))!
          .split(' ')[1],
      );
    expect([of('1.28e-7'), of('5.12e-7'), of('+Inf')]).toEqual([3, 5, 5]);
    expect(lines).toContain('rmptorture_operation_duration_seconds_count{operation="touch"} 5');
    const families = lines.filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2]);
    expect(new Set(families).size).toBe(families.length);
    for (const line of lines.filter((each) => each !== '' && !each.startsWith('#'))) {
      const name = line.split(/[ {]/)[0]!;
      expect(families).toContain(name.replace(/(?<=duration_seconds)_(bucket|sum|count)$/, ''));
    }
  });
});

describe('the server', () => {
  it('tells what it was told last, at /metrics only', async () => {
    const server = await startMetrics('0');
    try {
      expect(await (await fetch(server.url)).text()).toBe('');
      server.update(PROGRESS);
      const response = await fetch(server.url);
      expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(await response.text()).toBe(prometheusText(PROGRESS));
      expect((await fetch(server.url.replace('/metrics', '/'))).status).toBe(404);
    } finally {
      await server.close();
    }
    await expect(fetch(server.url)).rejects.toThrow('fetch failed');
  });

  it('follows a run, and is gone when it has ended', async () => {
    const server = await startMetrics('0');
    const small = { host: { memory: '64MiB' }, vms: [{ name: 'g', memory: '4MiB' }], actors: [{ kind: 'vcpu' }] };
    const profile = profileSchema.parse({ ...small, build: 'fast-stat', duration: '1h' });
    const end = new AbortController();
    const onProgress = (progress: TortureProgress): void => {
      server.update(progress);
      if (progress.operations['touch'] !== undefined) end.abort();
    };
    await runTorture({ profile, profilePath: '.', seed: 1n, again: '', onProgress, signal: end.signal });
    const text = await (await fetch(server.url)).text();
    await server.close();
    expect(text).toMatch(/^rmptorture_operations_total\{operation="touch"\} [1-9]\d*$/m);
    expect(text).toMatch(/^rmptorture_lock_acquisitions_total\{class="mmu"\} [1-9]\d*$/m);
  });
});

describe('torture --metrics', () => {
  it('ends by itself with the run, and the log has the address', async () => {
    const { code, stderr } = await run(folder(), 'torture', 'small.yaml', '--metrics', '0', '--log-level', 'info');
    expect(code).toBe(0);
    expect(stderr).toMatch(/"url":"http:\/\/127\.0\.0\.1:\d+\/metrics","msg":"metrics served"/);
  });

  it('refuses what is no port, and a port that another program has', async () => {
    expect(await runHere(folder(), 'torture', 'small.yaml', '--metrics', 'http')).toMatchObject({
      code: 2,
      stderr: '--metrics http: expected a port, 0 (any) to 65535\n',
    });
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expect(await runHere(folder(), 'torture', 'small.yaml', '--metrics', String(port))).toMatchObject({
      code: 2,
      stderr: `--metrics ${port}: another program has this port\n`,
    });
    other.close();
  });
});
