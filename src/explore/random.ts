// The explorer's only source of randomness: small, fast and the same everywhere. sfc32 (C. Doty-Humphrey, PractRand), seeded by splitmix.

/** A well-mixed 32-bit seed for item `index` of a run with seed `seed`. */
export function seedOf(seed: number, index: number): number {
  let h = (seed ^ Math.imul(index + 1, 0x9e3779b9)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

export class Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #n = 0;

  constructor(seed = 0) {
    this.reseed(seed);
  }

  reseed(seed: number): void {
    this.#a = seed | 0;
    this.#b = Math.imul(seed ^ 0x85ebca6b, 0xc2b2ae35) | 0;
    this.#c = 0x9e3779b9 | 0;
    this.#n = 1;
    for (let n = 0; n < 8; n++) this.next();
  }

  /** An i32. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#n) | 0;
    this.#n = (this.#n + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum;
  }

  /** A whole number from 0 to count - 1. */
  below(count: number): number {
    return Math.floor(((this.next() >>> 0) / 0x100000000) * count);
  }

  /** From 0 to 1, 1 excluded. */
  unit(): number {
    return (this.next() >>> 0) / 0x100000000;
  }
}
