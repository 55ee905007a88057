// What a search over states keeps of memory: the words as they are known, their hash, and a journal of what each change replaced, so that going back costs
// what was written since. The hash is a sum over words, kept up to date by what changed (src/explore/state-hash.ts).
import { mixHigh, mixLow } from '../state-hash.js';

const ENTRY = 2;

export class Journal {
  /** Every word as the search knows it; 0 where no later step reads. */
  readonly known: Int32Array;
  low = 0;
  high = 0;
  readonly #words: Int32Array;
  /** Of each change: the word's index, what it was. */
  #entries = new Int32Array(1 << 16);
  #length = 0;

  constructor(words: Int32Array) {
    this.#words = words;
    this.known = Int32Array.from(words);
  }

  /** Entries so far: where `back` can go to. */
  get length(): number {
    return this.#length;
  }

  /** A word counts as `value` from here on. */
  note(index: number, value: number): void {
    const before = this.known[index]!;
    if (before === value) return;
    if (this.#length === this.#entries.length) this.#grow();
    this.#entries[this.#length] = index;
    this.#entries[this.#length + 1] = before;
    this.#length += ENTRY;
    this.known[index] = value;
    this.low = (this.low + mixLow(index, value) - mixLow(index, before)) | 0;
    this.high = (this.high + mixHigh(index, value) - mixHigh(index, before)) | 0;
  }

  /** Takes in the words [first, end) as they lie in memory. */
  take(first: number, end: number): void {
    const words = this.#words;
    const { known } = this;
    for (let n = first; n < end; n++) if (words[n] !== known[n]) this.note(n, words[n]!);
  }

  /** Words [first, end) that no later step reads. They are cleared, so that what becomes of them does not depend on what they were. */
  forget(first: number, end: number): void {
    this.#words.fill(0, first, end);
    for (let n = first; n < end; n++) this.note(n, 0);
  }

  /** Undoes all changes behind an earlier length, in memory too. The hash is the caller's to put back. */
  back(length: number): void {
    const entries = this.#entries;
    const words = this.#words;
    const { known } = this;
    for (let at = this.#length - ENTRY; at >= length; at -= ENTRY) {
      const index = entries[at]!;
      known[index] = words[index] = entries[at + 1]!;
    }
    this.#length = length;
  }

  /** Indices of the words changed since the beginning, each once. */
  changed(): Set<number> {
    const found = new Set<number>();
    for (let at = 0; at < this.#length; at += ENTRY) found.add(this.#entries[at]!);
    return found;
  }

  #grow(): void {
    const larger = new Int32Array(this.#entries.length * 2);
    larger.set(this.#entries);
    this.#entries = larger;
  }
}
