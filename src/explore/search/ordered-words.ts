// Words that several threads touch, but never at the same time: between any two accesses, one of them a write, lie steps at other words that put them in order
// (a lock, a reference count, the entry that a table was published by). Where between those steps such an access is made cannot matter, so that it is a
// local step as one to a word of the thread's own is (locality.ts). Adve and Hill, "Weak Ordering - A New Definition", ISCA 1990; Musuvathi and Qadeer,
// "Iterative Context Bounding", PLDI 2007, who explore synchronisation only and look for races in every execution.
// Here a first guess, from random executions; the search itself finds out where it was wrong (blocks.ts).
import { POINT_COPY, POINT_FUTEX_WAIT, POINT_FUTEX_WAKE, POINT_RELAX } from '../../kernel/abi/point.js';
import { ClockTable, MAX_THREADS, ThreadClocks } from '../clocks.js';
import type { View } from '../strategy.js';

const [THREAD, KIND, ADDRESS, BYTES, FROM, FLAGS] = [0, 1, 2, 3, 4, 5] as const;
const FIELDS = 6;
const WRITES = 1;

/** What was done in some executions, step by step. */
export class AccessLog {
  #entries = new Int32Array(FIELDS * 4096);
  #end = 0;
  /** Where each execution begins. */
  readonly #begins: number[] = [];

  begin(): void {
    this.#begins.push(this.#end);
  }

  note(thread: number, view: View): void {
    if (this.#end === this.#entries.length) {
      const larger = new Int32Array(this.#entries.length * 2);
      larger.set(this.#entries);
      this.#entries = larger;
    }
    const at = this.#end;
    this.#end += FIELDS;
    this.#entries[at + THREAD] = thread;
    this.#entries[at + KIND] = view.kind(thread);
    this.#entries[at + ADDRESS] = view.address(thread);
    this.#entries[at + BYTES] = view.bytes(thread);
    this.#entries[at + FROM] = view.low(thread);
    this.#entries[at + FLAGS] = (view.writes(thread) ? WRITES : 0) | ((view.wokenBy(thread) + 1) << 1);
  }

  *executions(): Generator<Int32Array> {
    for (const [n, begin] of this.#begins.entries())
      yield this.#entries.subarray(begin, this.#begins[n + 1] ?? this.#end);
  }
}

// Of each word four rows of clocks: reads, writes, and what those that put others in order knew.
const ROWS = 4;
const [READS, WRITTEN, OF_READS, OF_WRITES] = [0, 1, 2, 3] as const;

/** Which accesses of some executions no others put in order. */
class Order {
  /** Words at which two accesses, one of them a write, were in no order. */
  readonly races = new Set<number>();
  readonly #orders: (word: number, kind: number) => boolean;
  readonly #clocks = new ThreadClocks();
  readonly #rows = new ClockTable(4096);
  readonly #rowOf = new Map<number, number>();

  /** `orders`: an access of that kind to a word puts those of others to it in order with itself. */
  constructor(orders: (word: number, kind: number) => boolean) {
    this.#orders = orders;
  }

  execution(entries: Int32Array): void {
    this.#clocks.restart(MAX_THREADS);
    for (let at = 0; at < entries.length; at += FIELDS) {
      const thread = entries[at + THREAD]!;
      const kind = entries[at + KIND]!;
      const address = entries[at + ADDRESS]! >>> 0;
      const bytes = entries[at + BYTES]!;
      const flags = entries[at + FLAGS]!;
      const waker = (flags >> 1) - 1;
      if (kind === 0 && waker >= 0) this.#wake(waker, thread);
      if (kind === 0 || (kind === POINT_RELAX && address === 0)) continue;
      // A word that somebody waits at is looked at whenever he likes.
      if (kind === POINT_RELAX || kind === POINT_FUTEX_WAIT) this.races.add(address >>> 2);
      if (kind === POINT_RELAX || kind === POINT_FUTEX_WAKE) continue;
      if (kind === POINT_COPY) this.#range(thread, kind, entries[at + FROM]! >>> 0, bytes, false);
      this.#range(thread, kind, address, bytes, (flags & WRITES) !== 0);
    }
  }

  #wake(waker: number, thread: number): void {
    this.#clocks.learnFrom(thread, waker);
    this.#clocks.tick(waker);
  }

  #range(thread: number, kind: number, address: number, bytes: number, write: boolean): void {
    const end = (address + Math.max(1, bytes) + 3) >>> 2;
    for (let word = address >>> 2; word < end; word++) this.#access(thread, kind, word, write);
  }

  #access(thread: number, kind: number, word: number, write: boolean): void {
    let row = this.#rowOf.get(word);
    if (row === undefined) {
      row = this.#rows.add();
      for (let n = 1; n < ROWS; n++) this.#rows.add();
      this.#rowOf.set(word, row);
    }
    const clocks = this.#clocks;
    if (
      clocks.unknownIn(thread, this.#rows, row + WRITTEN) >= 0 ||
      (write && clocks.unknownIn(thread, this.#rows, row + READS) >= 0)
    )
      this.races.add(word);
    const clock = clocks.known[thread * MAX_THREADS + thread]!;
    this.#rows.set(row + (write ? WRITTEN : READS), thread, clock);
    if (!this.#orders(word, kind)) return;
    clocks.learn(thread, this.#rows, row + OF_WRITES);
    if (write) clocks.learn(thread, this.#rows, row + OF_READS);
    clocks.teach(thread, this.#rows, row + (write ? OF_WRITES : OF_READS), false);
    clocks.tick(thread);
  }
}

/**
 * Those of some words whose accesses others put in order, in all of the executions: each of them lends no order to the rest. `isPoint`: accesses of a
 * kind to a word are steps of the search.
 */
export function orderedWords(
  log: AccessLog,
  words: Iterable<number>,
  isPoint: (word: number, kind: number) => boolean,
): Set<number> {
  const ordered = new Set<number>();
  const racesWithout = (): Set<number> => {
    const order = new Order((word, kind) => !ordered.has(word) && isPoint(word, kind));
    for (const execution of log.executions()) order.execution(execution);
    return order.races;
  };
  const races = racesWithout();
  for (const word of words) if (!races.has(word)) ordered.add(word);
  for (let size = -1; size !== ordered.size;) {
    size = ordered.size;
    for (const word of racesWithout()) ordered.delete(word);
  }
  return ordered;
}
