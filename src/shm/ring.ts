// A ring of fixed-size records between one producer and one consumer, without locks. Lamport's queue: each side writes only its own
// position, and publishes it after the record.
import { UsageError } from '../host/errors.js';
import { Shared, type Arena } from './arena.js';

// Header words (u32), each position in a cache line of its own so that the two sides do not disturb each other:
// +0 record bytes, +4 capacity (a power of two); +64 head: records pushed so far; +128 tail: records popped so far. Records from +192.
// Positions run modulo 2^32; head - tail is the fill.
const HEAD = 64;
const TAIL = 128;
const RECORDS = 192;

export class Ring extends Shared {
  readonly recordBytes: number;
  readonly capacity: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  private constructor(arena: Arena, address: number) {
    super(arena, address);
    const view = new DataView(arena.buffer, address, 8);
    this.recordBytes = view.getUint32(0, true);
    this.capacity = view.getUint32(4, true);
    this.#words = new Int32Array(arena.buffer, address, RECORDS / 4);
    this.#bytes = new Uint8Array(arena.buffer, address + RECORDS, this.recordBytes * this.capacity);
  }

  /** A ring of `capacity` (a power of two) records of `recordBytes` bytes. */
  static create(arena: Arena, capacity: number, recordBytes: number): Ring {
    if (!Number.isInteger(capacity) || capacity < 1 || (capacity & (capacity - 1)) !== 0) {
      throw new UsageError('capacity', `capacity: ${capacity} is not a power of two`);
    }
    if (!Number.isInteger(recordBytes) || recordBytes < 1) {
      throw new UsageError('recordBytes', `recordBytes: ${recordBytes} is not a positive whole number`);
    }
    const address = arena.alloc(RECORDS + capacity * recordBytes);
    const view = new DataView(arena.buffer, address, 8);
    view.setUint32(0, recordBytes, true);
    view.setUint32(4, capacity, true);
    return new Ring(arena, address);
  }

  static at(arena: Arena, address: number): Ring {
    return new Ring(arena, address);
  }

  /** Producer: appends a record; false when the ring is full. */
  push(record: Uint8Array): boolean {
    if (record.length !== this.recordBytes) {
      throw new UsageError(
        'record',
        `record: ${record.length} bytes, but this ring has records of ${this.recordBytes}`,
      );
    }
    const head = this.#words[HEAD / 4]!;
    if (((head - Atomics.load(this.#words, TAIL / 4)) | 0) === this.capacity) return false;
    this.#bytes.set(record, (head & (this.capacity - 1)) * this.recordBytes);
    Atomics.store(this.#words, HEAD / 4, (head + 1) | 0);
    return true;
  }

  /** Consumer: takes the oldest record; undefined when the ring is empty. */
  pop(): Uint8Array | undefined {
    const tail = this.#words[TAIL / 4]!;
    if (Atomics.load(this.#words, HEAD / 4) === tail) return undefined;
    const at = (tail & (this.capacity - 1)) * this.recordBytes;
    const record = this.#bytes.slice(at, at + this.recordBytes);
    Atomics.store(this.#words, TAIL / 4, (tail + 1) | 0);
    return record;
  }

  /** Records in the ring now. */
  get length(): number {
    return (Atomics.load(this.#words, HEAD / 4) - Atomics.load(this.#words, TAIL / 4)) | 0;
  }
}
