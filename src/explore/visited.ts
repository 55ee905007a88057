// The visited set of the stateful search: hashes of states in one SharedArrayBuffer, which all workers fill at once without a lock. A state costs
// 12 bytes of a table that is filled to at most three quarters. When it is full, further states are remembered as bits of a Bloom filter: then a new
// state may be taken for an old one, and the search is no proof any more.
// After Holzmann's bit-state hashing ("An Analysis of Bitstate Hashing", 1998) and Laarman's shared tables ("Boosting Multi-Core Reachability
// Performance with Shared Hash Tables", FMCAD 2010).

/** What a look-up found. */
export const Seen = {
  New: 0,
  Again: 1,
  /** New as far as the Bloom filter knows. */
  NewByBits: 2,
  /** An old one, or one that shares all its bits with old ones. */
  AgainByBits: 3,
} as const;
export type Seen = (typeof Seen)[keyof typeof Seen];

// Header words: states in the table, states in the filter.
const STATES = 0;
const BIT_STATES = 1;
const HEADER_WORDS = 16;
// A slot: the hash's two halves (the first is never 0 once taken, the second follows), and a word of the search's own.
const SLOT_WORDS = 3;
const PROBES_BEFORE_FULL = 256;
const FILTER_BITS_A_STATE = 3;
/** A growing set starts so large. */
const SMALL_BYTES = 1 << 20;

/** What workers need to share a set: posted as it is. */
export interface VisitedHandle {
  buffer: SharedArrayBuffer;
  slots: number;
}

/** Second, unrelated hash of the same state, for the filter's bits. Murmur3's finaliser. */
function mix(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A table and a filter within `bytes`. */
function tableOf(bytes: number): VisitedHandle {
  const words = Math.max(256, Math.floor(bytes / 4));
  const slots = Math.floor((((words - HEADER_WORDS) / SLOT_WORDS) * 7) / 8);
  return { buffer: new SharedArrayBuffer(words * 4), slots };
}

export class VisitedSet {
  #words!: Int32Array;
  #slots = 0;
  #filter = 0;
  #filterBits = 0;
  #buffer!: SharedArrayBuffer;
  /** A set of one thread grows up to so many bytes. */
  readonly #mostBytes: number;

  private constructor(handle: VisitedHandle, mostBytes = 0) {
    this.#mostBytes = mostBytes;
    this.#use(handle);
  }

  #use(handle: VisitedHandle): void {
    this.#buffer = handle.buffer;
    this.#words = new Int32Array(handle.buffer);
    this.#slots = handle.slots;
    this.#filter = HEADER_WORDS + handle.slots * SLOT_WORDS;
    this.#filterBits = (this.#words.length - this.#filter) * 32;
  }

  /** A set within `bytes` of memory, which is only committed as it fills: seven eighths table, one eighth filter. */
  static create(bytes: number): VisitedSet {
    return new VisitedSet(tableOf(bytes));
  }

  /** A set for one thread, which takes no more memory than it needs, up to `bytes`: a large empty one costs a page fault for each of its first states. */
  static growing(bytes: number): VisitedSet {
    return new VisitedSet(tableOf(Math.min(bytes, SMALL_BYTES)), bytes);
  }

  /** The same set on another thread. */
  static attach(handle: VisitedHandle): VisitedSet {
    return new VisitedSet(handle);
  }

  handle(): VisitedHandle {
    return { buffer: this.#buffer, slots: this.#slots };
  }

  /** States remembered exactly. */
  get states(): number {
    return Atomics.load(this.#words, STATES);
  }

  /** The hashes of all states in the table: low, high, low, high, ... @context nobody inserts. */
  hashes(): Uint32Array {
    const hashes = new Uint32Array(this.states * 2);
    let count = 0;
    for (let at = HEADER_WORDS; at < this.#filter; at += SLOT_WORDS) {
      if (this.#words[at] === 0) continue;
      hashes[count++] = this.#words[at]!;
      hashes[count++] = this.#words[at + 1]!;
    }
    return hashes;
  }

  /** Adds states by their hashes, as `hashes` gives them. */
  insertAll(hashes: Uint32Array): void {
    for (let at = 0; at < hashes.length; at += 2) this.insert(hashes[at]!, hashes[at + 1]!);
  }

  /** Half of the table is taken: three quarters may be. */
  get isHalfFull(): boolean {
    return this.states >= this.#slots / 2;
  }

  /** States that found no place in the table. Above 0 the search is incomplete. */
  get bitStates(): number {
    return Atomics.load(this.#words, BIT_STATES);
  }

  /** Bytes of the set a state costs when the table is as full as it gets. */
  get bytesPerState(): number {
    return (this.#buffer.byteLength / (this.#slots * 3)) * 4;
  }

  /**
   * Remembers the state with this 64-bit hash (two u32), whose word of the search's own starts as `word`. At most one caller of all threads is
   * told that a state is New.
   */
  insert(low: number, high: number, word = 0): Seen {
    const slot = this.#find(low, high, true);
    if (slot < 0) return this.#insertBits(low, high);
    if (slot % SLOT_WORDS !== 0) return Seen.Again;
    Atomics.store(this.#words, this.#at(slot) + 2, word);
    return Seen.New;
  }

  /** The search's own word of a state in the table; undefined when the state is not there. */
  word(low: number, high: number): number | undefined {
    const slot = this.#find(low, high, false);
    return slot < 0 ? undefined : Atomics.load(this.#words, this.#at(slot) + 2);
  }

  /** Replaces the word if it is still `expected`; what it was. The state must be in the table. */
  exchangeWord(low: number, high: number, expected: number, word: number): number {
    const slot = this.#find(low, high, false);
    if (slot < 0) throw new RangeError('no such state in the visited set');
    return Atomics.compareExchange(this.#words, this.#at(slot) + 2, expected, word);
  }

  /** Word index of a slot code. */
  #at(code: number): number {
    return HEADER_WORDS + Math.floor(code / SLOT_WORDS) * SLOT_WORDS;
  }

  /**
   * The slot of a hash, as slot * 3 for one that was taken now, slot * 3 + 1 for one that had it; -1: not there and no room (or not to be added).
   * Linear probing, so that most look-ups touch one cache line.
   */
  #find(low: number, high: number, add: boolean): number {
    const first = (low | 0) === 0 ? 1 : low | 0;
    const second = (high | 0) === 0 ? 1 : high | 0;
    let slot = Math.floor(((high >>> 0) / 2 ** 32) * this.#slots);
    for (let probe = 0; probe < PROBES_BEFORE_FULL; probe++) {
      const at = HEADER_WORDS + slot * SLOT_WORDS;
      let seen = Atomics.load(this.#words, at);
      if (seen === 0) {
        if (!add) return -1;
        if (this.#isFull()) return this.#grow() ? this.#find(low, high, add) : -1;
        seen = Atomics.compareExchange(this.#words, at, 0, first);
        if (seen === 0) {
          Atomics.store(this.#words, at + 1, second);
          Atomics.add(this.#words, STATES, 1);
          return slot * SLOT_WORDS;
        }
      }
      if (seen === first && this.#second(at + 1) === second) return slot * SLOT_WORDS + 1;
      slot = slot + 1 === this.#slots ? 0 : slot + 1;
    }
    return -1;
  }

  /** Whoever took the slot is about to write this word: that is two instructions away. */
  #second(at: number): number {
    let second = Atomics.load(this.#words, at);
    while (second === 0) second = Atomics.load(this.#words, at);
    return second;
  }

  #isFull(): boolean {
    return this.states >= this.#slots * 0.75;
  }

  /** Makes the table twice as large, if it may. */
  #grow(): boolean {
    const bytes = Math.min(this.#buffer.byteLength * 2, this.#mostBytes);
    if (bytes <= this.#buffer.byteLength) return false;
    const before = this.#words;
    const end = this.#filter;
    this.#use(tableOf(bytes));
    for (let at = HEADER_WORDS; at < end; at += SLOT_WORDS) {
      if (before[at] !== 0) this.insert(before[at]!, before[at + 1]!, before[at + 2]);
    }
    return true;
  }

  #insertBits(low: number, high: number): Seen {
    const step = (mix(low) | 1) >>> 0;
    let isNew = false;
    for (let n = 0; n < FILTER_BITS_A_STATE; n++) {
      const bit = ((high >>> 0) + n * step) % this.#filterBits;
      const mask = 1 << (bit & 31);
      const at = this.#filter + Math.floor(bit / 32);
      if ((Atomics.load(this.#words, at) & mask) === 0) {
        isNew = (Atomics.or(this.#words, at, mask) & mask) === 0 || isNew;
      }
    }
    if (!isNew) return Seen.AgainByBits;
    Atomics.add(this.#words, BIT_STATES, 1);
    return Seen.NewByBits;
  }
}
