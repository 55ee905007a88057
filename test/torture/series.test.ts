// What a run leaves besides its document: the time series, distributions, the profile as resolved with the origin of each value.
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runTorture } from '#src/index.js';
import { hdrText } from '#src/report/hdr.js';
import { SeriesFiles } from '#src/cli/series-files.js';
import { parseSeriesCsv, seriesCsv } from '#src/report/series.js';
import { openDocument } from '#src/torture/document.js';
import { resolvedYaml, withAbsolutePaths } from '#src/torture/resolved.js';
import { progressOf } from '#src/torture/results.js';
import { profileSchema } from '#src/torture/schema.js';
import { missedThresholds, parseThresholds } from '#src/torture/thresholds.js';
import type { SeriesRow, StateRow } from '#src/torture/series.js';

const SMALL = { host: { memory: '64MiB' }, build: 'fast', vms: [{ name: 'g', memory: '4MiB' }] };

describe('the time series', () => {
  it('adds up to the whole run: counts, errors, one row for each second and operation', async () => {
    const rows: SeriesRow[] = [];
    const states: StateRow[] = [];
    const profile = profileSchema.parse({
      ...SMALL,
      actors: [{ kind: 'vcpu' }, { kind: 'converter' }],
      duration: '1h',
    });
    const end = new AbortController();
    const { operations, pages } = await runTorture({
      profile,
      profilePath: '.',
      seed: 3n,
      again: '',
      onSeries: (second, state) => {
        expect(new Set(second.map(({ seconds }) => seconds))).toEqual(new Set([state.seconds]));
        rows.push(...second);
        states.push(state);
        // What is left of the run until it has ended is one more.
        const kinds = ['touch', 'to_private', 'to_shared'];
        if (kinds.every((kind) => second.some(({ operation }) => operation === kind))) end.abort();
      },
      signal: end.signal,
    });
    // The state of each second: the last one is that of the result.
    expect(states.length).toBeGreaterThanOrEqual(2);
    const { seconds: _end, rssBytes, heapBytes, lockWaitNs, ...atEnd } = states.at(-1)!;
    expect(atEnd).toEqual(pages);
    expect(rssBytes).toBeGreaterThan(heapBytes);
    expect(lockWaitNs).toBe(0);
    for (const [name, { count, errors }] of Object.entries(operations)) {
      const mine = rows.filter(({ operation }) => operation === name);
      expect(mine.length, name).toBeGreaterThanOrEqual(2);
      expect(
        mine.reduce((sum, row) => sum + row.count, 0),
        name,
      ).toBe(count);
      const failed = Object.values(errors).reduce((sum, n) => sum + n, 0);
      expect(
        mine.reduce((sum, row) => sum + row.errors, 0),
        name,
      ).toBe(failed);
      const ends = mine.map(({ seconds }) => seconds);
      expect(ends).toEqual(ends.toSorted((a, b) => a - b));
    }
  });

  it('is CSV, with nothing where nothing was measured', () => {
    const row = { seconds: 1, operation: 'touch', count: 0, ratePerSecond: 0, errors: 0, p50Ns: NaN, p99Ns: NaN };
    expect(seriesCsv([row, { ...row, seconds: 2, count: 7, ratePerSecond: 7.2, p50Ns: 310, p99Ns: 950 }])).toBe(
      'seconds,operation,count,rate_per_second,errors,p50_ns,p99_ns\r\n1.000,touch,0,0,0,,\r\n2.000,touch,7,7,0,310,950\r\n',
    );
  });
});

describe('the files of the time series', () => {
  it('are there with each second, and not before the first', () => {
    const out = join(mkdtempSync(join(tmpdir(), 'series-')), 'run');
    const files = new SeriesFiles(out);
    expect(existsSync(out)).toBe(false);
    const row = { seconds: 1, operation: 'touch', count: 1, ratePerSecond: 1, errors: 0, p50Ns: 5, p99Ns: 6 };
    const pages = { total: 9, free: 5, allocated: 4, assigned: 3, leaked: 0 };
    files.add([row], { seconds: 1, rssBytes: 100, heapBytes: 10, lockWaitNs: 7.2, ...pages });
    expect(parseSeriesCsv(readFileSync(join(out, 'series.csv'), 'utf8'), 's')).toEqual([row]);
    files.add([{ ...row, seconds: 2 }], { seconds: 2, rssBytes: 101, heapBytes: 11, lockWaitNs: 8, ...pages });
    expect(parseSeriesCsv(readFileSync(join(out, 'series.csv'), 'utf8'), 's')).toHaveLength(2);
    expect(readFileSync(join(out, 'state.csv'), 'utf8')).toBe(
      'seconds,rss_bytes,heap_bytes,pages_free,pages_allocated,pages_assigned,pages_leaked,lock_wait_ns\r\n1.000,100,10,5,4,3,0,7\r\n2.000,101,11,5,4,3,0,8\r\n',
    );
  });
});

describe('the distribution of an operation', () => {
  it('has every latency in its histogram, and percentiles that end at the greatest one', async () => {
    const profile = profileSchema.parse({ ...SMALL, actors: [{ kind: 'populator', operations: 500 }], warmup: '0s' });
    const { operations } = await runTorture({ profile, profilePath: '.', seed: 3n, again: '' });
    const { allocate } = operations;
    expect(allocate!.histogram.reduce((sum, [, count]) => sum + count, 0)).toBe(500);
    const lines = hdrText(allocate!).split('\n');
    expect(lines[0]).toContain('Value     Percentile TotalCount 1/(1-Percentile)');
    expect(lines.find((line) => line.includes(' 1.000000000000 '))).toContain(
      (allocate!.latencyNs.max / 1000).toFixed(3),
    );
    expect(lines.find((line) => line.startsWith('#[Max'))).toMatch(/Total count\s+=\s+500\]/);
  });
});

describe('progress', () => {
  const actor = (kind: 'vcpu' | 'converter', operations: number): Parameters<typeof progressOf>[0][number] => ({
    name: kind,
    kind,
    operations,
    steps: operations,
  });

  it('is that of the slowest and the fastest thread of each kind', () => {
    expect(progressOf([actor('vcpu', 100), actor('vcpu', 250), actor('converter', 0)])).toEqual({
      vcpu: { threads: 2, least: 100, most: 250, fairness: 2.5 },
      converter: { threads: 1, least: 0, most: 0, fairness: 0 },
    });
  });

  it('can be a threshold; a thread that did nothing is infinitely behind', () => {
    const thresholds = parseThresholds({ 'vcpu.fairness': '< 3', 'vcpu.least': '> 0' });
    const missed = (...counts: number[]): string[] =>
      missedThresholds(thresholds, {}, 0, progressOf(counts.map((count) => actor('vcpu', count))));
    expect(missed(100, 250)).toEqual([]);
    expect(missed(0, 250)).toEqual(['vcpu.fairness: < 3, but it was Infinity', 'vcpu.least: > 0, but it was 0']);
    expect(missedThresholds(thresholds, {}, 0, {})).toHaveLength(2);
  });
});

describe('a resolved profile', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'resolved-')), 'p.yaml');
  writeFileSync(
    path,
    'vms:\n  - { name: a, memslots: slots.yaml }\nactors:\n  - kind: vcpu\n    rate: 5k/s\n  - { kind: invalidator, range: { pages: [2, 9] } }\n',
  );
  const opened = openDocument(path, profileSchema, ['actors.0.rate=1k/s', 'duration=3s', 'duration=4s']);

  it('says of each value where it came from', () => {
    const { origin } = opened;
    expect(origin(['vms', 0, 'name'])).toBe(`${path}:2:13`);
    expect(origin(['actors', 1, 'range', 'pages'])).toBe(`${path}:6:42`);
    expect(origin(['actors', 0, 'rate'])).toBe('--set actors.0.rate=1k/s');
    expect(origin(['duration'])).toBe('--set duration=4s');
    expect(origin(['actors', 1, 'touch', 'theta'])).toBe('default');
  });

  it('is YAML that a run reads as the same profile, wherever it is stored', () => {
    const absolute = withAbsolutePaths(opened.data, path);
    const text = resolvedYaml(absolute, opened.origin);
    expect(profileSchema.parse(parse(text))).toEqual(absolute);
    expect(absolute.vms[0]!.memslots).toBe(path.replace('p.yaml', 'slots.yaml'));
    expect(text).toContain(`    rate: 1k/s # --set actors.0.rate=1k/s\n`);
    expect(text).toContain(`      pages: [ 2, 9 ] # ${path}:6:42\n`);
  });
});
