// A bounded queue of fixed-size records: one consumer, one producer or many, waiting or not (src/kernel/shm/ring.ts).
import { RING_MASK, RING_RECORD, RING_REFUSED, RING_SIZE, RING_SLOTS } from '../kernel/abi/shm.js';
import { z } from 'zod';
import { within } from '../host/arguments.js';
import { KernelError, UsageError } from '../host/errors.js';
import { boolean, checkOptions, shown } from '../host/options.js';
import { arenaOf, limitNs, Shared, type Arena } from './arena.js';

/** Who uses a ring. */
export interface RingOptions {
  /** Only one thread ever pushes: saves a compare-and-exchange. */
  oneProducer?: boolean;
}

const ringOptions = z.strictObject({
  oneProducer: boolean.optional(),
} satisfies Record<keyof RingOptions, z.ZodType>);

/** A bounded queue of records of one size: one or many threads put them in, one takes them out in the same order. */
export class Ring extends Shared {
  readonly recordBytes: number;
  readonly capacity: number;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  private constructor(arena: Arena, address: number) {
    super(arena, address, RING_SIZE);
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
    checkOptions('Ring.create', ringOptions, options);
    const { x } = arenaOf('Ring.create', arena);
    // More than 4 GiB would come back as what is left of it in 32 bits.
    if (capacity * recordBytes >= arena.buffer.byteLength) throw new KernelError('Ring', 12, { capacity, recordBytes });
    const slotsBytes = x.ringSlotsBytes(capacity, recordBytes) >>> 0;
    const address = arena.alloc(RING_SIZE);
    let slots: number;
    try {
      slots = arena.alloc(slotsBytes);
    } catch (error) {
      arena.free(address, RING_SIZE);
      throw error;
    }
    x.ringInit(address, slots, capacity, recordBytes, options.oneProducer === true ? 0 : 1);
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
    if (record instanceof Uint8Array && record.length === this.recordBytes) return;
    if (!(record instanceof Uint8Array)) throw new UsageError('record', `record: ${shown(record)} is not a Uint8Array`);
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
    this.checkLive('free');
    const slots = new DataView(this.arena.buffer, this.address).getUint32(RING_SLOTS, true);
    this.arena.free(slots, this.arena.x.ringSlotsBytes(this.capacity, this.recordBytes) >>> 0);
    this.arena.free(this.address, RING_SIZE);
  }
}
