// compare: what counts as a difference, what is refused, and the exit codes that CI relies on.
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runTorture } from '#src/index.js';
import { seriesCsv, parseSeriesCsv } from '#src/report/series.js';
import { compareSamples, profileDifferences, samplesOfSeries } from '#src/torture/compare.js';
import { profileSchema } from '#src/torture/schema.js';
import type { SeriesRow } from '#src/torture/series.js';
import { folder, run, runHere } from './child.js';

const BOUNDS = { slower: 0.05, faster: 0.05 };
/** Nine values about `middle` that scatter by 2 %. */
const about = (middle: number): number[] => Array.from({ length: 9 }, (_, n) => middle * (0.99 + ((n * 7) % 9) / 400));

function verdict(a: number[], b: number[], name = 'touch.p99', bounds = BOUNDS): string {
  return compareSamples({ [name]: a }, { [name]: b }, bounds, true)[0]!.verdict;
}

describe('a metric', () => {
  it('is the same within the bounds, slower or faster beyond them', () => {
    expect(verdict(about(100), about(103))).toBe('same');
    expect(verdict(about(100), about(110))).toBe('slower');
    expect(verdict(about(100), about(90))).toBe('faster');
  });

  it('that is a rate is slower when it is less', () => {
    expect(verdict(about(100), about(90), 'touch.rate')).toBe('slower');
    expect(verdict(about(100), about(110), 'touch.rate')).toBe('faster');
  });

  it('has bounds of its own for slower and for faster', () => {
    const bounds = { slower: 0.2, faster: 0.02 };
    expect(verdict(about(100), about(110), 'touch.p99', bounds)).toBe('same');
    expect(verdict(about(100), about(96), 'touch.p99', bounds)).toBe('faster');
  });

  it('is unclear when its samples scatter as much as it differs', () => {
    expect(verdict([50, 150, 80, 120, 100, 60], [60, 160, 90, 130, 110, 170])).toBe('unclear');
  });

  it('is not judged by fewer than five samples', () => {
    expect(verdict([1, 1, 1, 1], [9, 9, 9, 9])).toBe('too few samples');
  });

  it('is judged by five: complete separation of five and five is significant', () => {
    expect(verdict([1, 2, 3, 4, 5], [11, 12, 13, 14, 15])).toBe('slower');
    expect(verdict([11, 12, 13, 14, 15], [1, 2, 3, 4, 5])).toBe('faster');
  });

  it('that only one side has is left out', () => {
    expect(compareSamples({ 'touch.p50': about(1) }, { 'touch.p99': about(1) }, BOUNDS, false)).toEqual([]);
  });
});

describe('profiles', () => {
  it('differ by every key but the seed', () => {
    const a = { seed: 1, vms: [{ count: 1 }], rate: 5 };
    expect(profileDifferences(a, { ...a, seed: 2 })).toEqual([]);
    expect(profileDifferences(a, { ...a, vms: [{ count: 2 }, {}], more: true })).toEqual([
      'vms.0.count',
      'vms.1',
      'more',
    ]);
  });
});

const row = (seconds: number, p99Ns: number): SeriesRow => {
  return { seconds, operation: 'touch', count: 100, ratePerSecond: 100, errors: 0, p50Ns: NaN, p99Ns };
};

describe('a time series', () => {
  it('is read back from its CSV', () => {
    const rows = [row(1, 7), row(2, NaN)];
    expect(parseSeriesCsv(seriesCsv(rows), 'x')).toEqual(rows);
    expect(() => parseSeriesCsv('a,b\n', 's.csv')).toThrow(/^s\.csv:1:1: expected seconds,operation/);
  });

  it('gives a sample for each whole second, not for the rest', () => {
    expect(samplesOfSeries([row(1, 10), row(2, 20), row(2.3, 30)])).toEqual({
      'touch.rate': [100, 100],
      'touch.p99': [10, 20],
    });
  });
});

describe('rmptorture compare A B', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'compare-'));
  const write = (name: string, p99s: number[]): void => {
    cpSync(join(cwd, 'base'), join(cwd, name), { recursive: true });
    writeFileSync(join(cwd, name, 'series.csv'), seriesCsv(p99s.map((p99, n) => row(n + 1, p99))));
  };

  beforeAll(async () => {
    const small = { host: { memory: '64MiB' }, vms: [{ name: 'g', memory: '4MiB' }], actors: [{ kind: 'vcpu' }] };
    const profile = profileSchema.parse({ ...small, build: 'fast', duration: '20ms' });
    const result = await runTorture({ profile, profilePath: '.', seed: 1n, again: '' });
    cpSync(folder(), join(cwd, 'base'), { recursive: true });
    writeFileSync(join(cwd, 'base', 'result.json'), JSON.stringify(result));
    write('a', about(1000).map(Math.round));
    write('b', about(1200).map(Math.round));
    // Three times as much at the median, and as far apart.
    write('noisy', [100, 3000, 200, 5000, 900, 9000, 300, 4000, 3500]);
    write('few', [1000, 1000]);
    write('other', about(1000).map(Math.round));
    const text = readFileSync(join(cwd, 'other', 'result.json'), 'utf8');
    writeFileSync(join(cwd, 'other', 'result.json'), text.replace('"vcpus":1', '"vcpus":2'));
  });

  it('ends with 3 when B is slower, with 0 when it is not, and says by how much', async () => {
    const slower = await runHere(cwd, 'compare', 'a', 'b');
    expect(slower).toMatchObject({ code: 3, stderr: '' });
    expect(slower.stdout).toMatch(/touch\.p99 +1\.00 us +1\.20 us +1\.2\d\d .* < 0\.001 +slower\n/);
    expect(slower.stdout).toMatch(/\nverdict: slower\n$/);
    expect((await runHere(cwd, 'compare', 'b', 'a')).code).toBe(0);
    expect((await runHere(cwd, 'compare', 'a', 'b', '--slower', '50%')).code).toBe(0);
  });

  it('is inconclusive (4), not passed, without enough samples', async () => {
    const { code, stdout } = await runHere(cwd, 'compare', 'a', 'few', '--json');
    expect(code).toBe(4);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'rmptorture/compare/1', verdict: 'inconclusive' });
  });

  it('is inconclusive (4), not the same, when most metrics differ beyond the bounds but scatter as much', async () => {
    const noisy = await runHere(cwd, 'compare', 'a', 'noisy', '--json');
    const { verdict: overall, metrics } = JSON.parse(noisy.stdout) as {
      verdict: string;
      metrics: { name: string; verdict: string }[];
    };
    expect(metrics.find(({ name }) => name === 'touch.p99')!.verdict).toBe('unclear');
    // The rates of both are the same: one metric of two is not most of them.
    expect(metrics.find(({ name }) => name === 'touch.rate')!.verdict).toBe('same');
    expect([overall, noisy.code]).toEqual(['same', 0]);
    const scattered = [100, 300, 20, 500, 90, 900, 30, 400, 350].map((rate, n): SeriesRow => {
      return { ...row(n + 1, [100, 3000, 200, 5000, 900, 9000, 300, 4000, 3500][n]!), ratePerSecond: rate };
    });
    writeFileSync(join(cwd, 'noisy', 'series.csv'), seriesCsv(scattered));
    const most = await runHere(cwd, 'compare', 'a', 'noisy');
    expect(most.stdout).toMatch(/\nverdict: inconclusive\n$/);
    expect(most.code).toBe(4);
  });

  it('refuses runs of unlike profiles, unless forced', async () => {
    const refused = await runHere(cwd, 'compare', 'a', 'other');
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(
      /^compare: these runs are unlike: the profiles differ in vms\.0\.vcpus; --force .*\n$/,
    );
    expect((await runHere(cwd, 'compare', 'a', 'other', '--force')).code).toBe(0);
  });

  it('names what is no result folder', async () => {
    expect(await runHere(cwd, 'compare', 'a', 'nowhere')).toMatchObject({
      code: 2,
      stderr: 'nowhere/result.json: no such file; name the result folder of a torture run\n',
    });
  });
});

describe('rmptorture compare --ab', () => {
  const ab = ['compare', 'small.yaml', '--rounds', '5', '--duration', '150ms', '--set', 'actors.1.rate=2k/s'];

  it('interleaves two settings; a side that violates an invariant ends it with 1, unless allowed', async () => {
    const cwd = folder();
    const violated = await run(
      cwd,
      ...ab,
      '--ab',
      'hook=none build=fast',
      'hook=snp build=fast',
      '--json',
      '--seed',
      '0xabc',
      '--out',
      'out',
    );
    expect(violated.code).toBe(1);
    const document = JSON.parse(violated.stdout) as { metrics: { name: string; samples: number[] }[] };
    expect(document).toMatchObject({
      verdict: 'violated',
      seed: '0xabc',
      a: 'hook=none build=fast',
      violated: [expect.arrayContaining(['one-owner']), []],
    });
    const [broken, sound] = document.metrics.find(({ name }) => name === 'touch.rate')!.samples;
    // A round that its violation ended early is no sample.
    expect([sound, [1, 2, 3, 4, 5].includes(broken!)]).toEqual([5, true]);
    expect(JSON.parse(readFileSync(join(cwd, 'out', 'result.json'), 'utf8'))).toEqual(document);
    const allowed = await runHere(
      cwd,
      ...ab,
      '--ab',
      'hook=none build=fast',
      'hook=snp build=fast',
      '--allow-violations',
      '--rounds',
      '1',
    );
    expect(allowed.code).not.toBe(1);
    expect(allowed.stdout).toMatch(/\nnote: A violated .*one-owner\n/);
    expect(allowed.stdout).toMatch(
      /\nseed 0x[0-9a-f]+; again: npx rmptorture compare small\.yaml --rounds 1 .* --ab 'hook=none build=fast' 'hook=snp build=fast'\n/,
    );
  });

  it('refuses two equal settings, and settings that are no profile', async () => {
    expect(await runHere(folder(), ...ab, '--ab', 'build=fast', 'build=fast')).toMatchObject({
      code: 2,
      stderr: "--ab: both settings are 'build=fast'\n",
    });
    const { code, stderr } = await runHere(folder(), ...ab, '--ab', '', 'biuld=fast');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^--set biuld=fast: unknown key 'biuld'; did you mean 'build'\?\n$/);
  });
});
