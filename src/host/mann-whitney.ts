// The Mann-Whitney test: whether one set of samples tends to be greater than another. Mann and Whitney, "On a Test of Whether one of Two Random Variables is
// Stochastically Larger than the Other", 1947.
/** Up to so many values together the exact distribution is used: the approximation would call nothing significant that few samples can show. */
const EXACT_MOST = 40;

/**
 * Two-sided p-value of the Mann-Whitney U test: exact for few values, ties included, else by the normal approximation corrected for ties. 1 when a side is
 * empty or all values tie.
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map((value) => ({ value, first: true })), ...b.map((value) => ({ value, first: false }))];
  all.sort((x, y) => x.value - y.value);
  let rankSum = 0;
  let tieTerm = 0;
  const doubledRanks: number[] = [];
  for (let start = 0; start < all.length;) {
    let end = start + 1;
    while (end < all.length && all[end]!.value === all[start]!.value) end++;
    for (let n = start; n < end; n++) {
      doubledRanks.push(start + 1 + end);
      if (all[n]!.first) rankSum += (start + 1 + end) / 2;
    }
    tieTerm += (end - start) ** 3 - (end - start);
    start = end;
  }
  const n = all.length;
  const u = rankSum - (a.length * (a.length + 1)) / 2;
  const mean = (a.length * b.length) / 2;
  const variance = ((a.length * b.length) / 12) * (n + 1 - tieTerm / (n * (n - 1)));
  if (!(variance > 0)) return 1;
  if (n <= EXACT_MOST) return exactP(doubledRanks, a.length, 2 * rankSum);
  const z = Math.max(0, Math.abs(u - mean) - 0.5) / Math.sqrt(variance);
  return Math.min(1, erfc(z / Math.SQRT2));
}

/** Share of the ways to choose `chosen` of the ranks whose sum is at least as far from the mean one as `sum`. Ranks are doubled, so that those of ties are whole. */
function exactP(ranks: readonly number[], chosen: number, sum: number): number {
  const most = ranks.reduce((total, rank) => total + rank, 0);
  // ways[k][s]: choices of k of the ranks so far that sum up to s.
  const ways = Array.from({ length: chosen + 1 }, () => new Float64Array(most + 1));
  ways[0]![0] = 1;
  for (const rank of ranks) {
    for (let k = chosen; k > 0; k--) {
      for (let s = most; s >= rank; s--) ways[k]![s]! += ways[k - 1]![s - rank]!;
    }
  }
  const mean = (most * chosen) / ranks.length;
  let [total, beyond] = [0, 0];
  ways[chosen]!.forEach((count, s) => {
    total += count;
    if (Math.abs(s - mean) >= Math.abs(sum - mean) - 1e-9) beyond += count;
  });
  return beyond / total;
}

/** Complementary error function, Abramowitz and Stegun 7.1.26: absolute error below 2e-7. */
function erfc(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return x >= 0 ? poly * Math.exp(-x * x) : 2 - poly * Math.exp(-x * x);
}
