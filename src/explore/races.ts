// The happens-before race detector: two accesses of one word, one of them a write and one of them plain, which no chain of atomics, wake-ups or
// program order puts in order. FastTrack (see clocks.ts) with its epochs for plain accesses; atomics keep a clock for each thread, since they race
// with plain accesses only. It speaks of the one execution it watches, and needs no luck in it: the order of the two need not be reversed to be seen.
import {
  POINT_ATOMIC_LOAD,
  POINT_ATOMIC_STORE,
  POINT_CAS_RELAXED,
  POINT_COPY,
  POINT_FENCE,
  POINT_FILL,
  POINT_LOAD,
  POINT_LOAD_RELAXED,
  POINT_RELAX,
  POINT_STORE,
} from '../kernel/abi/point.js';
import { ClockTable, epochThread, MAX_THREADS, THREAD_BITS, ThreadClocks } from './clocks.js';

/** One of the two accesses of a race. */
export interface RaceSide {
  thread: number;
  write: boolean;
  atomic: boolean;
}

/** Two accesses in no order: `second` is the one that was just made. */
export interface Race {
  address: number;
  first: RaceSide;
  second: RaceSide;
}

/** In a word of read epochs: several threads have read since the last write; who, is in a row of clocks. */
const SHARED = 0xffffffff;
const ALL_BYTES = 0b1111;

/** Bytes of the word at `address & ~3` that an access touches, one bit each. */
function bytesOf(address: number, size: number): number {
  return size >= 4 ? ALL_BYTES : (((1 << size) - 1) << (address & 3)) & ALL_BYTES;
}

/** Watches the accesses of executions on memory [start, end), bytes. */
export class RaceDetector {
  readonly #start: number;
  readonly #clocks = new ThreadClocks();
  // A cell a word: the last plain write, the last plain read (or SHARED), and which bytes of the word they touched.
  readonly #writes: Uint32Array;
  readonly #reads: Uint32Array;
  readonly #writeBytes: Uint8Array;
  readonly #readBytes: Uint8Array;
  // Rows of clocks, 1 up; 0 is none.
  readonly #sharedReads: Uint32Array;
  readonly #atomics: Uint32Array;
  readonly #rows = new ClockTable(256);

  constructor(start: number, end: number) {
    const words = (end - start + 3) >>> 2;
    this.#start = start;
    this.#writes = new Uint32Array(words);
    this.#reads = new Uint32Array(words);
    this.#writeBytes = new Uint8Array(words);
    this.#readBytes = new Uint8Array(words);
    this.#sharedReads = new Uint32Array(words);
    this.#atomics = new Uint32Array(words);
    this.#clear();
    this.restart();
  }

  #clear(): void {
    for (const cells of [this.#writes, this.#reads, this.#sharedReads, this.#atomics]) cells.fill(0);
    this.#rows.clear();
    this.#rows.add();
  }

  /** A new execution of `threads` threads begins: what was done so far (the set-up) happened before all of it. */
  restart(threads = MAX_THREADS): void {
    if (!this.#clocks.restart(threads)) this.#clear();
  }

  /** `waiter` goes on because of `waker`: what the waker did before is in order with what the waiter does now. */
  wake(waker: number, waiter: number): void {
    this.#clocks.learnFrom(waiter, waker);
    this.#clocks.tick(waker);
  }

  /**
   * The step that `thread` is about to make: kind POINT_*, address and size in bytes (of a fill the whole range), `from` the source of a copy.
   * Returns the race it is the second half of, if it is.
   */
  access(thread: number, kind: number, address: number, size: number, from = 0): Race | undefined {
    const word = (address - this.#start) >>> 2;
    if (kind === POINT_LOAD)
      return size === 4 ? this.#plainRead(thread, word, ALL_BYTES) : this.#range(thread, address, size, false);
    if (kind === POINT_STORE)
      return size === 4 ? this.#plainWrite(thread, word, ALL_BYTES) : this.#range(thread, address, size, true);
    if (kind === POINT_FILL) return this.#range(thread, address, size, true);
    if (kind === POINT_COPY) return this.#range(thread, from, size, false) ?? this.#range(thread, address, size, true);
    if (kind === POINT_FENCE || kind === POINT_RELAX) return undefined;
    return this.#atomic(thread, kind, word, address, size);
  }

  #range(thread: number, address: number, size: number, write: boolean): Race | undefined {
    const first = (address - this.#start) >>> 2;
    const bytes = bytesOf(address, size);
    const last = first + ((size + 3) >>> 2) - 1;
    let race: Race | undefined;
    for (let word = first; word <= last; word++) {
      const found = write ? this.#plainWrite(thread, word, bytes) : this.#plainRead(thread, word, bytes);
      race ??= found;
    }
    return race;
  }

  #race(word: number, first: RaceSide, second: RaceSide): Race {
    return { address: this.#start + word * 4, first, second };
  }

  /** A plain write of another thread to these bytes that `thread` does not know of. */
  #unknownWrite(thread: number, word: number, bytes: number): RaceSide | undefined {
    const epoch = this.#writes[word]!;
    if (epoch === 0 || this.#clocks.knows(thread, epoch) || (this.#writeBytes[word]! & bytes) === 0) return undefined;
    return { thread: epochThread(epoch), write: true, atomic: false };
  }

  #unknownRead(thread: number, word: number, bytes: number): RaceSide | undefined {
    const epoch = this.#reads[word]!;
    if (epoch === 0 || (this.#readBytes[word]! & bytes) === 0) return undefined;
    let reader = -1;
    if (epoch === SHARED) reader = this.#clocks.unknownIn(thread, this.#rows, this.#sharedReads[word]!);
    else if (!this.#clocks.knows(thread, epoch)) reader = epochThread(epoch);
    return reader < 0 ? undefined : { thread: reader, write: false, atomic: false };
  }

  /** An atomic access of another thread that `thread` does not know of; of a word's three rows the last two: loads, writes. */
  #unknownAtomic(thread: number, word: number, write: boolean): RaceSide | undefined {
    const row = this.#atomics[word]!;
    if (row === 0) return undefined;
    const other = this.#clocks.unknownIn(thread, this.#rows, row + (write ? 2 : 1));
    return other < 0 ? undefined : { thread: other, write, atomic: true };
  }

  #plainRead(thread: number, word: number, bytes: number): Race | undefined {
    const now = this.#clocks.now[thread]!;
    const before = this.#reads[word]!;
    if (before === now && (this.#readBytes[word]! & bytes) === bytes) return undefined;
    const first = this.#unknownWrite(thread, word, bytes) ?? this.#unknownAtomic(thread, word, true);
    if (before !== SHARED && (before === 0 || this.#clocks.knows(thread, before))) {
      this.#reads[word] = now;
      this.#readBytes[word] = before === now ? this.#readBytes[word]! | bytes : bytes;
    } else {
      this.#noteSharedRead(thread, word, bytes, now);
    }
    return first && this.#race(word, first, { thread, write: false, atomic: false });
  }

  #noteSharedRead(thread: number, word: number, bytes: number, now: number): void {
    const before = this.#reads[word]!;
    let row = this.#sharedReads[word]!;
    if (before !== SHARED) {
      if (row === 0) row = this.#sharedReads[word] = this.#rows.add();
      for (let other = 0; other < MAX_THREADS; other++) this.#rows.set(row, other, 0);
      this.#rows.set(row, epochThread(before), before >>> THREAD_BITS);
      this.#reads[word] = SHARED;
    }
    this.#rows.set(row, thread, now >>> THREAD_BITS);
    // Which thread read which byte is not kept: of mixed sizes only the common bytes are spoken of.
    this.#readBytes[word] = this.#readBytes[word]! & bytes;
  }

  #plainWrite(thread: number, word: number, bytes: number): Race | undefined {
    const now = this.#clocks.now[thread]!;
    const before = this.#writes[word]!;
    const first =
      this.#unknownWrite(thread, word, bytes) ??
      this.#unknownRead(thread, word, bytes) ??
      this.#unknownAtomic(thread, word, true) ??
      this.#unknownAtomic(thread, word, false);
    this.#writeBytes[word] = before === now ? this.#writeBytes[word]! | bytes : bytes;
    this.#writes[word] = now;
    this.#reads[word] = 0;
    return first && this.#race(word, first, { thread, write: true, atomic: false });
  }

  /** Rows of a word that atomics touch: what its value carries to who reads it, atomic loads, atomic writes. */
  #atomicRows(word: number): number {
    let row = this.#atomics[word]!;
    if (row === 0) {
      row = this.#atomics[word] = this.#rows.add();
      this.#rows.add();
      this.#rows.add();
    }
    return row;
  }

  #atomic(thread: number, kind: number, word: number, address: number, size: number): Race | undefined {
    const write = kind !== POINT_ATOMIC_LOAD && kind !== POINT_LOAD_RELAXED;
    const row = this.#atomicRows(word);
    // What comes with the value orders this access, too: first take it.
    const relaxed = kind === POINT_LOAD_RELAXED || kind === POINT_CAS_RELAXED;
    if (kind !== POINT_ATOMIC_STORE && !relaxed) this.#clocks.learn(thread, this.#rows, row);
    const bytes = bytesOf(address, size);
    let race = this.#atomicWord(thread, word, bytes, write);
    if (size > 4) race ??= this.#atomicWord(thread, word + 1, bytes, write);
    if (write && !relaxed) {
      this.#clocks.teach(thread, this.#rows, row, kind === POINT_ATOMIC_STORE);
      this.#clocks.tick(thread);
    }
    return race;
  }

  #atomicWord(thread: number, word: number, bytes: number, write: boolean): Race | undefined {
    const first =
      this.#unknownWrite(thread, word, bytes) ?? (write ? this.#unknownRead(thread, word, bytes) : undefined);
    const row = this.#atomicRows(word);
    this.#rows.set(row + (write ? 2 : 1), thread, this.#clocks.now[thread]! >>> THREAD_BITS);
    return first && this.#race(word, first, { thread, write, atomic: true });
  }
}
