// The hash of a machine state, kept up to date word by word: the sum over all words of a mix of place and content, so that a changed word costs two
// mixes and an unchanged one nothing. Two independent 32-bit sums make 64 bits. After Zobrist, "A New Hashing Method with Application for Game
// Playing", 1970; additive over memory words as in Lei et al. and SPIN's incremental hashing (Nguyen and Ruys, 2008).

/** Two mixes of a word and its place. A zero word counts nothing, so that untouched memory needs no look. */
export function mixLow(place: number, value: number): number {
  let h = Math.imul(value ^ Math.imul(place, 0x9e3779b1), 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h ^ Math.imul(place + 1, 0xc2b2ae35), 0x27d4eb2f);
  return h ^ (h >>> 13);
}

export function mixHigh(place: number, value: number): number {
  let h = Math.imul(value + Math.imul(place, 0x165667b1), 0xc2b2ae3d);
  h ^= h >>> 14;
  h = Math.imul(h + place, 0x9e3779b1);
  return h ^ (h >>> 16);
}

/** Hashes the words [start, end) (byte addresses, multiples of 4) of a memory. */
export class StateHash {
  readonly #words: Int32Array;
  readonly #first: number;
  /** What each word was when it was last hashed. */
  readonly #known: Int32Array;
  #low = 0;
  #high = 0;

  constructor(buffer: ArrayBufferLike, start: number, end: number) {
    this.#words = new Int32Array(buffer, start, (end - start) >>> 2);
    this.#first = start >>> 2;
    this.#known = new Int32Array(this.#words.length);
    this.rehash(start, end);
  }

  get low(): number {
    return this.#low >>> 0;
  }

  get high(): number {
    return this.#high >>> 0;
  }

  /** Looks again at the bytes [address, address + size): a write may have changed them. */
  update(address: number, size: number): void {
    const last = ((address + size - 1) >>> 2) - this.#first;
    for (let n = (address >>> 2) - this.#first; n <= last; n++) this.#word(n);
  }

  /** Looks again at every word of [start, end). */
  rehash(start: number, end: number): void {
    if (end > start) this.update(start, end - start);
  }

  #word(n: number): void {
    const value = this.#words[n]!;
    const known = this.#known[n]!;
    if (value === known) return;
    if (known !== 0) {
      this.#low = (this.#low - mixLow(n, known)) | 0;
      this.#high = (this.#high - mixHigh(n, known)) | 0;
    }
    if (value !== 0) {
      this.#low = (this.#low + mixLow(n, value)) | 0;
      this.#high = (this.#high + mixHigh(n, value)) | 0;
    }
    this.#known[n] = value;
  }
}
