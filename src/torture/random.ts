// Seeds of the actors' random streams: a run's one seed and the number of the stream, so that streams differ and repeat. splitmix64 (Steele, Lea, Flood).

const GOLDEN = 0x9e3779b97f4a7c15n;

function mixed(state: bigint): bigint {
  let z = BigInt.asUintN(64, state);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** The two words of a xoroshiro128+ state, not both 0, for stream `n` of a run. */
export function actorSeed(seed: bigint, n: number): [bigint, bigint] {
  // Far from the states of the tasks' own streams, which begin at seed + (id + 1) * GOLDEN.
  const start = mixed(seed ^ 0x6163746f72n) + BigInt(n) * 2n * GOLDEN;
  const words: [bigint, bigint] = [mixed(start + GOLDEN), mixed(start + 2n * GOLDEN)];
  return words[0] === 0n && words[1] === 0n ? [1n, 0n] : words;
}

/** A stream of numbers in [0, 1) for what is drawn once a run; `label` tells it from others of the seed. */
export function unitStream(seed: bigint, label: bigint): () => number {
  let state = mixed(seed ^ label);
  return () => {
    state = BigInt.asUintN(64, state + GOLDEN);
    return Number(mixed(state) >> 11n) / 2 ** 53;
  };
}
