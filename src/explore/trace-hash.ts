// How many really different executions there were: a hash of an execution as a partial order, the same for two that differ in the order of independent steps
// only (Mazurkiewicz' traces). Each step's hash is mixed from that of its thread's last step and of the writes (and, for a write, the reads) before it on
// its words; their sum is the trace's.
import { POINT_COPY, POINT_RELAX } from '../kernel/abi/point.js';
import type { Observer } from './machine.js';
import type { View } from './strategy.js';

function mix(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h ^ b, 0xc2b2ae35);
  return h ^ (h >>> 13);
}

export class TraceHash implements Observer {
  // By word: hash of the last write and sum of the reads since, both of the execution in `stamp`.
  readonly #writes: Int32Array;
  readonly #reads: Int32Array;
  readonly #stamps: Int32Array;
  readonly #threads = new Int32Array(128);
  #execution = 0;
  #sum = 0;
  readonly #seen = new Set<number>();

  constructor(stateEnd: number) {
    const words = stateEnd >>> 2;
    this.#writes = new Int32Array(words);
    this.#reads = new Int32Array(words);
    this.#stamps = new Int32Array(words);
  }

  begin(): void {
    this.#execution++;
    this.#sum = 0;
    for (let thread = 0; thread < this.#threads.length; thread++) this.#threads[thread] = thread + 1;
  }

  performed(thread: number, view: View): void {
    const kind = view.kind(thread);
    if (kind === 0 || kind === POINT_RELAX) return;
    const writes = view.writes(thread);
    const address = view.address(thread);
    const bytes = view.bytes(thread);
    let hash = mix(this.#threads[thread]!, Math.imul(address, 32) + kind);
    hash = this.#before(hash, address, bytes, writes);
    if (kind === POINT_COPY) hash = this.#before(hash, view.low(thread) >>> 0, bytes, false);
    this.#after(hash, address, bytes, writes);
    if (kind === POINT_COPY) this.#after(hash, view.low(thread) >>> 0, bytes, false);
    this.#threads[thread] = hash;
    this.#sum = (this.#sum + hash) | 0;
  }

  woke(waker: number, waiter: number): void {
    this.#threads[waiter] = mix(this.#threads[waiter]!, this.#threads[waker]!);
  }

  #before(hash: number, address: number, bytes: number, writes: boolean): number {
    for (let word = address >>> 2; word <= (address + bytes - 1) >>> 2; word++) {
      if (this.#stamps[word] !== this.#execution) {
        this.#stamps[word] = this.#execution;
        this.#writes[word] = 0;
        this.#reads[word] = 0;
      }
      hash = mix(hash, this.#writes[word]!);
      if (writes) hash = mix(hash, this.#reads[word]!);
    }
    return hash;
  }

  #after(hash: number, address: number, bytes: number, writes: boolean): void {
    for (let word = address >>> 2; word <= (address + bytes - 1) >>> 2; word++) {
      if (writes) {
        this.#writes[word] = hash;
        this.#reads[word] = 0;
      } else {
        this.#reads[word] = (this.#reads[word]! + hash) | 0;
      }
    }
  }

  /** Notes the execution that has just ended. */
  end(): void {
    this.#seen.add(this.#sum);
  }

  /** Hashes of the traces so far, each once. */
  get hashes(): Iterable<number> {
    return this.#seen;
  }

  /** Different traces so far. 32-bit hashes: beyond some ten thousand, a few are counted as one. */
  get distinct(): number {
    return this.#seen.size;
  }
}
