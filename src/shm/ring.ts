// A bounded queue of fixed-size records: one consumer, one producer or many, waiting or not (src/kernel/shm/ring.ts).
import { RING_MASK, RING_RECORD, RING_REFUSED, RING_SIZE, RING_SLOTS } from '../kernel/abi/shm.js';
import { UsageError } from '../host/errors.js';
import { within } from '../host/arguments.js';
import { limitNs, Shared, type Arena } from './arena.js';

/** Who uses a ring. */
export interface RingOptions {
  /** Only one thread ever pushes: saves a compare-and-exchange. */
  oneProducer?: boolean;
}

/** A bounded queue of records of one size: one or many threads put them in, one takes them out in the same order. */
export class Ring extends Shared {
  readonly recordBytes: number;
  readonly capacity: number;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  private constructor(arena: Arena, address: number) {
    super(arena, address);
    const view = new DataView(arena.buffer, address, RING_SIZE);
    this.recordBytes = view.getUint32(RING_RECORD, true);
    this.capacity = view.getUint32(RING_MASK, true) + 1;
    this.#bytes = new Uint8Array(arena.buffer);
  }

  /** A ring of `capacity` (a power of two, at least 2) records of `recordBytes` bytes. */
  static create(arena: Arena, capacity: number, recordBytes: number, options: RingOptions = {}): Ring {
    within('capacity', capacity, 2, 2 ** 24);
    if ((capacity & (capacity - 1)) !== 0)
      throw new UsageError('capacity', `capacity: ${capacity} is not a power of two`);
    within('recordBytes', recordBytes, 1, 65536);
    const slots = arena.alloc(arena.x.ringSlotsBytes(capacity, recordBytes));
    const address = arena.alloc(RING_SIZE);
    arena.x.ringInit(address, slots, capacity, recordBytes, options.oneProducer === true ? 0 : 1);
    return new Ring(arena, address);
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): Ring {
    return new Ring(arena, address);
  }

  /** Appends a record; false when the ring is full, which `refused` counts. */
  push(record: Uint8Array): boolean {
    this.#check(record);
    return this.#put(this.arena.x.ringReserve(this.address) >>> 0, record);
  }

  /** Appends a record; waits for space, at most `timeoutMs` if given. */
  pushWait(record: Uint8Array, timeoutMs?: number): boolean {
    this.#check(record);
    return this.#put(this.arena.x.ringReserveWait(this.address, limitNs(timeoutMs)) >>> 0, record);
  }

  #check(record: Uint8Array): void {
    if (record.length === this.recordBytes) return;
    const message = `record: ${record.length} bytes, but this ring has records of ${this.recordBytes}`;
    throw new UsageError('record', message);
  }

  #put(payload: number, record: Uint8Array): boolean {
    if (payload === 0) return false;
    this.#bytes.set(record, payload);
    this.arena.x.ringCommit(this.address, payload);
    return true;
  }

  /** Consumer: takes the oldest record; undefined when the ring is empty. */
  pop(): Uint8Array | undefined {
    return this.#take(this.arena.x.ringPeek(this.address) >>> 0);
  }

  /** Consumer: takes the oldest record; waits for one, at most `timeoutMs` if given. */
  popWait(timeoutMs?: number): Uint8Array | undefined {
    return this.#take(this.arena.x.ringPeekWait(this.address, limitNs(timeoutMs)) >>> 0);
  }

  #take(payload: number): Uint8Array | undefined {
    if (payload === 0) return undefined;
    const record = new Uint8Array(this.recordBytes);
    record.set(this.#bytes.subarray(payload, payload + this.recordBytes));
    this.arena.x.ringRelease(this.address);
    return record;
  }

  /** Records in the ring now, those being written included. */
  get length(): number {
    return this.arena.x.ringLength(this.address) >>> 0;
  }

  /** Records that `push` refused because the ring was full. */
  get refused(): number {
    return Atomics.load(new Uint32Array(this.arena.buffer, this.address + RING_REFUSED, 1), 0);
  }

  /** Gives the memory back. Nobody may use the ring any more. */
  free(): void {
    const slots = new DataView(this.arena.buffer, this.address).getUint32(RING_SLOTS, true);
    this.arena.free(slots, this.arena.x.ringSlotsBytes(this.capacity, this.recordBytes) >>> 0);
    this.arena.free(this.address, RING_SIZE);
  }
}
