// The HTML report of a run: it needs nothing but itself, says what the run came to, and its charts keep to their frames.
import { cpSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { SeriesFiles } from '#src/cli/series-files.js';
import { writeTortureFiles } from '#src/cli/torture-files.js';
import { runTorture, type TortureResult } from '#src/index.js';
import { apart, distinct, distributionChart, thinned, ticksTo, timeChart } from '#src/report/html/charts.js';
import { tortureHtml } from '#src/report/html/torture.js';
import { parseStateCsv, STATE_HEADER } from '#src/report/series.js';
import { profileSchema } from '#src/torture/schema.js';
import { runHere } from '../cli/child.js';

const cwd = mkdtempSync(join(tmpdir(), 'html-'));
let result: TortureResult;
beforeAll(async () => {
  const series = new SeriesFiles(join(cwd, 'run'));
  const profile = profileSchema.parse({
    host: { memory: '64MiB' },
    vms: [{ name: 'g', vcpus: 2, memory: '4MiB' }],
    actors: [
      { kind: 'vcpu', threads: 2 },
      { kind: 'invalidator', rate: '500/s' },
    ],
    duration: '2.1s',
  });
  result = await runTorture({
    profile,
    profilePath: '.',
    seed: 1n,
    again: 'npx rmptorture torture x',
    onSeries: (rows, state) => series.add(rows, state),
  });
  await writeTortureFiles(join(cwd, 'run'), { result, profile: 'duration: 2.1s # here\n', log: [] });
});

/** The tags of a document that are not closed in order. */
function unbalanced(html: string): string[] {
  const open: string[] = [];
  for (const [, end, tag, alone] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)(?:\s[^<>]*?)?(\/?)>/g)) {
    if (alone === '/' || ['meta', 'br'].includes(tag!)) continue;
    if (end === '') open.push(tag!);
    else if (open.pop() !== tag) return [...open, `/${tag}`];
  }
  return open;
}

describe('rmptorture report', () => {
  it('writes one file beside the results, and says which', async () => {
    const { code, stdout } = await runHere(cwd, 'report', 'run');
    expect([code, stdout]).toEqual([0, 'run/report.html\n']);
    const html = readFileSync(join(cwd, 'run/report.html'), 'utf8');
    expect(html).toMatch(/^<!doctype html>\n/);
    expect(unbalanced(html)).toEqual([]);
    for (const text of ['passed', 'touch', 'punch_hole', 'mmu', 'npx rmptorture torture x', 'duration: 2.1s # here'])
      expect(html).toContain(text);
    // Rates, p99s and distributions of both operations.
    expect(html.match(/<polyline class="line a"/g)).toHaveLength(2);
    expect(html.match(/<figcaption>latencies/g)).toHaveLength(2);
  });

  it('needs nothing from elsewhere, and runs nothing', async () => {
    await runHere(cwd, 'report', 'run', '--out', 'other.html');
    const html = readFileSync(join(cwd, 'other.html'), 'utf8');
    expect(html).not.toMatch(/<script|<link|<img|<iframe|src=|href=|url\(|@import|https?:/);
  });

  it.each([
    [
      'a folder without results',
      'nowhere',
      /^nowhere\/result\.json: no such file; name the result folder of a torture run\n$/,
    ],
    [
      'results of another command',
      'explored',
      /^explored\/result\.json: no result of torture, but rmptorture\/explore\/1\n$/,
    ],
    [
      'results of an older version',
      'older',
      /^older\/result\.json: written by an older version; run it again: again\n$/,
    ],
    ['a file that is no JSON', 'broken', /^broken\/result\.json: .*JSON.*\n$/],
  ])('refuses %s with one line, and writes nothing', async (_, folder, message) => {
    for (const [name, text] of [
      ['explored', '{"schema":"rmptorture/explore/1"}'],
      ['older', '{"schema":"rmptorture/torture/1","again":"again"}'],
      ['broken', '{'],
    ] as const) {
      cpSync(join(cwd, 'run'), join(cwd, name), { recursive: true, filter: (file) => !file.endsWith('.html') });
      writeFileSync(join(cwd, name, 'result.json'), text);
    }
    const { code, stdout, stderr } = await runHere(cwd, 'report', folder);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, folder, 'report.html'))).toBe(false);
  });
});

describe('the page', () => {
  it('has violations first, what led to them, and every text escaped', () => {
    const violation = { oracle: 'host-page', message: '<script>"&', thread: 'task3', details: {} };
    const operation = { op: 'touch', guest: 'g', slot: 0, page: 4, pages: 2, result: 'pending', startNs: 0 };
    const threads = [{ thread: 'vcpu0', task: 'task3', kind: 'vcpu', operations: [operation] }];
    const html = tortureHtml({
      result: { ...result, verdict: 'violated', violations: [violation], recent: { guests: [], threads } },
      series: [],
      states: [],
      profile: '',
    });
    expect(html).toContain('<b>host-page</b> on task3<br>&lt;script&gt;&quot;&amp;');
    expect(html).toContain('touch g.slot0 [4, 6): pending');
    expect(html.indexOf('<h2>Violations</h2>')).toBeLessThan(html.indexOf('<h2>Operations</h2>'));
    expect(html).toContain('<span class="verdict violated">violated</span>');
    expect(unbalanced(html)).toEqual([]);
  });

  it('reads the states that a run has written', () => {
    const text = `${STATE_HEADER}\r\n1.000,100,10,5,4,3,1,7\r\n`;
    expect(parseStateCsv(text, 'x')).toEqual([
      {
        seconds: 1,
        rssBytes: 100,
        heapBytes: 10,
        free: 5,
        allocated: 4,
        assigned: 3,
        leaked: 1,
        lockWaitNs: 7,
        total: 10,
      },
    ]);
    expect(() => parseStateCsv(`${STATE_HEADER}\n1,2\n`, 's.csv')).toThrow(/^s\.csv:2:1: expected seconds,/);
  });
});

describe('a chart', () => {
  /** Coordinates that a drawing uses, apart from the frame's. */
  const inside = (svg: string): boolean =>
    [...svg.matchAll(/ (?:x|cx|x1|x2)="(-?[\d.]+)"/g)].every(([, x]) => Number(x) >= 0 && Number(x) <= 380) &&
    [...svg.matchAll(/ (?:y|cy|y1|y2)="(-?[\d.]+)"/g)].every(([, y]) => Number(y) >= 0 && Number(y) <= 130);

  it('has two to six round ticks, from 0 to the greatest value or beyond it', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e15, noNaN: true }), (most) => {
        const ticks = ticksTo(most);
        expect(ticks[0]).toBe(0);
        expect(ticks.at(-1)! * (1 + 1e-9)).toBeGreaterThanOrEqual(most);
        expect(ticks.length).toBeGreaterThanOrEqual(2);
        expect(ticks.length).toBeLessThanOrEqual(6);
      }),
      { seed: 6, numRuns: 300 },
    );
  });

  it('has no two ticks that read the same', () => {
    const whole = (value: number): string => String(Math.round(value));
    expect(distinct([0, 0.5, 1, 1.5, 2], whole)).toEqual([0, 1, 2]);
    expect(distinct([0, 5, 10], whole)).toEqual([0, 5, 10]);
    expect(distinct([0, 0.1], whole)).toEqual([0]);
  });

  it('over time stays in its frame, and is left out without two points', () => {
    const values = fc.array(fc.double({ min: 0, max: 1e12 }), { minLength: 2, maxLength: 700 });
    const chart = { label: 'x', format: String, thin: 'max', colour: 'a' } as const;
    fc.assert(
      fc.property(values, (all) => {
        const points = all.map((value, n) => ({ seconds: n + 1, value }));
        const svg = timeChart({ ...chart, points });
        expect(inside(svg)).toBe(true);
        expect(unbalanced(svg)).toEqual([]);
      }),
      { seed: 7, numRuns: 60 },
    );
    expect(timeChart({ ...chart, points: [{ seconds: 1, value: 1 }] })).toBe('');
  });

  it('have labels below that run neither into one another nor out of the picture', () => {
    const label = fc.tuple(fc.float({ min: 58, max: 380, noNaN: true }), fc.constantFrom('1 ns', '100 ms', '0 s'));
    fc.assert(
      fc.property(fc.array(label, { maxLength: 12 }), (labels) => {
        const kept = apart(labels.toSorted(([a], [b]) => a - b));
        expect(kept.length > 0).toBe(labels.length > 0);
        const spans = kept.map(([x, text]) => [x - text.length * 3, x + text.length * 3] as const);
        for (const [n, [left, right]] of spans.entries()) {
          expect(right).toBeLessThanOrEqual(380);
          expect(left).toBeGreaterThan(spans[n - 1]?.[1] ?? 0);
        }
      }),
    );
  });

  it('of a long run has points for several seconds each: their mean, or the worst of them', () => {
    const points = Array.from({ length: 1000 }, (_, n) => ({ seconds: n + 1, value: n === 501 ? 9 : 1 }));
    expect(thinned(points, 'max').length).toBeLessThanOrEqual(240);
    expect(Math.max(...thinned(points, 'max').map(({ value }) => value))).toBe(9);
    expect(Math.max(...thinned(points, 'mean').map(({ value }) => value))).toBeLessThan(9);
    expect(thinned(points, 'mean').at(-1)!.seconds).toBe(1000);
  });

  it('of a distribution stays in its frame and counts each value once', () => {
    const pairs = fc.uniqueArray(fc.tuple(fc.nat(600), fc.integer({ min: 1, max: 1e6 })), {
      minLength: 1,
      maxLength: 80,
      selector: ([bucket]) => bucket,
    });
    fc.assert(
      fc.property(pairs, (histogram) => {
        const svg = distributionChart('x', histogram, 4, [['p50', 1000]]);
        expect(inside(svg)).toBe(true);
        const shown = [...svg.matchAll(/: (\d+) \(/g)].reduce((sum, [, count]) => sum + Number(count), 0);
        expect(shown).toBe(histogram.reduce((sum, [, count]) => sum + count, 0));
      }),
      { seed: 8, numRuns: 100 },
    );
    expect(distributionChart('x', [], 4, [])).toBe('');
  });

  it('of a distribution has one line, with both names, for percentiles that are the same', () => {
    const named = (marks: [string, number][]): string[] =>
      [
        ...distributionChart(
          'x',
          [
            [0, 1],
            [400, 1],
          ],
          4,
          marks,
        ).matchAll(/class="name"[^>]*>([^<]*)/g),
      ].map((m) => m[1]!);
    expect(
      named([
        ['p50', 10],
        ['p99', 5000],
        ['p99.9', 5000],
      ]),
    ).toEqual(['p50', 'p99, p99.9']);
  });
});
