// Statistics of samples: medians with bootstrap intervals, paired ratios, and the Mann-Whitney test for samples of two runs. Deterministic: the
// resampling draws from a generator with a fixed seed.

export interface Estimate {
  median: number;
  /** 95% interval. */
  low: number;
  high: number;
}

const RESAMPLES = 1000;

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}

/** The value below which `share` of the samples lie, interpolated. NaN for no samples. */
export function quantile(values: readonly number[], share: number): number {
  const order = sorted(values);
  if (order.length === 0) return NaN;
  const at = share * (order.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, order.length - 1);
  return order[below]! + (order[above]! - order[below]!) * (at - below);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** mulberry32: enough for resampling, and the same on every machine. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function resample(values: readonly number[], random: () => number): number[] {
  return values.map(() => values[Math.floor(random() * values.length)]!);
}

/** The median with its 95% percentile-bootstrap interval. */
export function estimate(values: readonly number[]): Estimate {
  const random = generator(1);
  const medians = Array.from({ length: RESAMPLES }, () => median(resample(values, random)));
  return { median: median(values), low: quantile(medians, 0.025), high: quantile(medians, 0.975) };
}

/** Median of a[i] / b[i]: samples taken side by side share the disturbances of their moment. */
export function pairedRatio(a: readonly number[], b: readonly number[]): Estimate {
  return estimate(Array.from({ length: Math.min(a.length, b.length) }, (_, n) => a[n]! / b[n]!));
}

/** median(a) / median(b) of samples that belong to two runs, with its 95% bootstrap interval. */
export function unpairedRatio(a: readonly number[], b: readonly number[]): Estimate {
  const random = generator(2);
  const ratios = Array.from({ length: RESAMPLES }, () => median(resample(a, random)) / median(resample(b, random)));
  return { median: median(a) / median(b), low: quantile(ratios, 0.025), high: quantile(ratios, 0.975) };
}

/** Complementary error function, Abramowitz and Stegun 7.1.26: absolute error below 2e-7. */
function erfc(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return x >= 0 ? poly * Math.exp(-x * x) : 2 - poly * Math.exp(-x * x);
}

/** Two-sided p-value of the Mann-Whitney U test (normal approximation, corrected for ties). 1 when a side is empty or all values tie. */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map((value) => ({ value, first: true })), ...b.map((value) => ({ value, first: false }))];
  all.sort((x, y) => x.value - y.value);
  let rankSum = 0;
  let tieTerm = 0;
  for (let start = 0; start < all.length;) {
    let end = start + 1;
    while (end < all.length && all[end]!.value === all[start]!.value) end++;
    const rank = (start + 1 + end) / 2;
    for (let n = start; n < end; n++) if (all[n]!.first) rankSum += rank;
    tieTerm += (end - start) ** 3 - (end - start);
    start = end;
  }
  const n = all.length;
  const u = rankSum - (a.length * (a.length + 1)) / 2;
  const mean = (a.length * b.length) / 2;
  const variance = ((a.length * b.length) / 12) * (n + 1 - tieTerm / (n * (n - 1)));
  if (!(variance > 0)) return 1;
  const z = Math.max(0, Math.abs(u - mean) - 0.5) / Math.sqrt(variance);
  return Math.min(1, erfc(z / Math.SQRT2));
}
