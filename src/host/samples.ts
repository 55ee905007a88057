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
