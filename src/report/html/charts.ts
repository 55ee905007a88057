// Charts of the HTML report as SVG text: a value over time, a distribution on a logarithmic axis. Colours come from the page's variables; values show when the
// pointer rests on them (<title>), so nothing needs a script.
import { bucketStart, type HistogramPairs } from '../../host/histogram.js';
import { showNs } from '../units.js';
import { escape } from './page.js';

const WIDTH = 380;
const HEIGHT = 130;
const LEFT = 58;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 20;
const INNER_WIDTH = WIDTH - LEFT - RIGHT;
const INNER_HEIGHT = HEIGHT - TOP - BOTTOM;
/** A letter or figure of a label takes at most so much, in a font of 10. */
const LETTER = 6;
/** More points than this are thinned: no screen shows them. */
const MOST_POINTS = 240;

export interface TimePoint {
  seconds: number;
  value: number;
}

export interface TimeChart {
  label: string;
  points: readonly TimePoint[];
  format: (value: number) => string;
  /** Of several points that are drawn as one: their mean, or the worst of them. */
  thin: 'mean' | 'max';
  colour: 'a' | 'b' | 'c';
}

/** Round values from 0 to at least `most`, three to five of them. */
export function ticksTo(most: number): number[] {
  if (most <= 0) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.5, 1, 2, 5].map((each) => each * power).find((each) => most / each <= 4)!;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, n) => n * step);
}

/** All of the ticks, or every second one and so on, so that no two read the same: halves of what is counted in whole numbers. */
export function distinct(ticks: readonly number[], format: (value: number) => string): number[] {
  const texts = new Set(ticks.map((tick) => format(tick)));
  if (texts.size === ticks.length) return [...ticks];
  return distinct(
    ticks.filter((_, n) => n % 2 === 0),
    format,
  );
}

/** At most `MOST_POINTS` points, each of as many neighbours. */
export function thinned(points: readonly TimePoint[], how: TimeChart['thin']): TimePoint[] {
  const each = Math.ceil(points.length / MOST_POINTS);
  if (each <= 1) return [...points];
  return Array.from({ length: Math.ceil(points.length / each) }, (_, n) => {
    const group = points.slice(n * each, (n + 1) * each);
    const values = group.map(({ value }) => value);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return { seconds: group.at(-1)!.seconds, value: how === 'max' ? Math.max(...values) : mean };
  });
}

const fixed = (value: number): string => value.toFixed(1);

function frame(label: string, yLabels: [y: number, text: string][], xLabels: [x: number, text: string][]): string {
  const rows = yLabels.map(
    ([y, text]) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(y)}" y2="${fixed(y)}"/>` +
      `<text x="${LEFT - 5}" y="${fixed(y + 3.5)}" text-anchor="end">${escape(text)}</text>`,
  );
  const columns = apart(xLabels).map(
    ([x, text]) => `<text x="${fixed(x)}" y="${HEIGHT - 5}" text-anchor="middle">${escape(text)}</text>`,
  );
  return `<title>${escape(label)}</title>${rows.join('')}${columns.join('')}`;
}

/** Labels below the axis, from left to right: moved into the picture, without those that would run into the one before. */
export function apart(labels: readonly [x: number, text: string][]): [x: number, text: string][] {
  let end = 0;
  return labels.flatMap(([x, text]): [number, string][] => {
    const half = (text.length * LETTER) / 2;
    const at = Math.min(x, WIDTH - half);
    if (at - half < end + LETTER) return [];
    end = at + half;
    return [[at, text]];
  });
}

function svg(label: string, inside: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(label)}">${inside}</svg>`;
}

/** A value over time, from 0 on. Empty text when there are not two points. */
export function timeChart({ label, points, format, thin, colour }: TimeChart): string {
  const known = thinned(
    points.filter(({ value }) => Number.isFinite(value)),
    thin,
  );
  if (known.length < 2) return '';
  const end = Math.max(...known.map(({ seconds }) => seconds));
  const ticks = ticksTo(Math.max(...known.map(({ value }) => value)));
  const top = ticks.at(-1)!;
  const x = (seconds: number): number => LEFT + (seconds / end) * INNER_WIDTH;
  const y = (value: number): number => TOP + (1 - value / top) * INNER_HEIGHT;
  const path = known.map(({ seconds, value }) => `${fixed(x(seconds))},${fixed(y(value))}`).join(' ');
  const area = `${fixed(x(known[0]!.seconds))},${y(0)} ${path} ${fixed(x(end))},${y(0)}`;
  // Each point answers for the strip of the chart about it.
  const strip = INNER_WIDTH / known.length;
  const hovers = known.map(({ seconds, value }) => {
    const text = `${label}, ${seconds.toFixed(0)} s: ${format(value)}`;
    return `<g class="point"><rect x="${fixed(x(seconds) - strip / 2)}" y="${TOP}" width="${fixed(strip)}" height="${INNER_HEIGHT}"/><circle class="${colour}" cx="${fixed(x(seconds))}" cy="${fixed(y(value))}" r="2.5"/><title>${escape(text)}</title></g>`;
  });
  const times = [0, end / 2, end].map((seconds): [number, string] => [
    x(seconds),
    `${seconds.toFixed(end < 10 && seconds > 0 ? 1 : 0)} s`,
  ]);
  const rows = distinct(ticks, format).map((tick): [number, string] => [y(tick), format(tick)]);
  const line = `<polygon class="area ${colour}" points="${area}"/><polyline class="line ${colour}" points="${path}"/>`;
  return svg(label, frame(label, rows, times) + line + hovers.join(''));
}

/** Counts by latency on a logarithmic axis, with lines at percentiles. Bars are quarters of a power of two. Empty text without counts. */
export function distributionChart(
  label: string,
  histogram: HistogramPairs,
  subBits: number,
  marks: readonly [name: string, ns: number][],
): string {
  const bars = new Map<number, number>();
  for (const [bucket, count] of histogram) {
    const bar = Math.floor(Math.log2(Math.max(1, bucketStart(bucket, subBits))) * 4);
    bars.set(bar, (bars.get(bar) ?? 0) + count);
  }
  if (bars.size === 0) return '';
  const [first, last] = [Math.min(...bars.keys()), Math.max(...bars.keys()) + 1];
  const total = [...bars.values()].reduce((sum, count) => sum + count, 0);
  const most = Math.max(...bars.values()) / total;
  const ticks = ticksTo(most);
  const x = (log2ns: number): number => LEFT + ((log2ns * 4 - first) / (last - first)) * INNER_WIDTH;
  const y = (share: number): number => TOP + (1 - share / ticks.at(-1)!) * INNER_HEIGHT;
  const percent = (share: number): string => `${(share * 100).toFixed(share < 0.01 && share > 0 ? 2 : 0)} %`;
  const shapes = [...bars].map(([bar, count]) => {
    const text = `${showNs(2 ** (bar / 4))} to ${showNs(2 ** ((bar + 1) / 4))}: ${count} (${percent(count / total)})`;
    const [left, right, height] = [x(bar / 4), x((bar + 1) / 4), Math.max(1, y(0) - y(count / total))];
    return `<g class="point"><rect class="bar" x="${fixed(left)}" y="${fixed(y(0) - height)}" width="${fixed(Math.max(1, right - left - 0.7))}" height="${fixed(height)}"/><rect x="${fixed(left)}" y="${TOP}" width="${fixed(right - left)}" height="${INNER_HEIGHT}"/><title>${escape(text)}</title></g>`;
  });
  const names = new Map<string, string>(); // of the lines, by where they are: equal percentiles share one
  for (const [name, ns] of marks) {
    if (ns < 2 ** (first / 4) || ns > 2 ** (last / 4)) continue;
    const at = fixed(x(Math.log2(ns)));
    names.set(at, names.has(at) ? `${names.get(at)}, ${name}` : name);
  }
  const lines = [...names].map(([at, name], n) => {
    const side = Number(at) + name.length * LETTER > WIDTH - RIGHT ? 'text-anchor="end" dx="-3"' : 'dx="3"';
    return `<line class="mark" x1="${at}" x2="${at}" y1="${TOP}" y2="${fixed(y(0))}"/><text class="name" x="${at}" y="${TOP + 8 + n * 10}" ${side}>${escape(name)}</text>`;
  });
  const powers = Array.from({ length: 11 }, (_, n) => 10 ** n)
    .filter((ns) => ns >= 2 ** (first / 4) && ns <= 2 ** (last / 4))
    .map((ns): [number, string] => [x(Math.log2(ns)), showNs(ns).replace('1.00', '1').replace('10.0', '10')]);
  const rows = ticks.map((tick): [number, string] => [y(tick), percent(tick)]);
  return svg(label, frame(label, rows, powers) + shapes.join('') + lines.join(''));
}
