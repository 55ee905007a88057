// The kernel's XArray for JavaScript: a sparse array of small numbers with ranges, marks and lock-free readers. Indices are whole numbers up to
// 2^53 - 1, values below 2^31 (src/kernel/mm/xarray*.ts; numbers in and out: src/kernel/shm/values.ts).
import { LC_NONE } from '../kernel/abi/classes.js';
import { EBUSY } from '../kernel/abi/errno.js';
import { KernelError, UsageError } from '../host/errors.js';
import { shown } from '../host/options.js';
import { arenaOf, Shared, type Arena } from './arena.js';

const XARRAY_BYTES = 64;
const XA_PRESENT = 8;
const NOTHING = -1; // an erased value on the way into the kernel
const LAST_INDEX = Number.MAX_SAFE_INTEGER;

/** A label on an entry, by which `entries` finds it. */
export type Mark = 0 | 1 | 2;

function checkedIndex(index: number): number {
  if (!Number.isSafeInteger(index) || index < 0)
    throw new UsageError('index', `index: ${shown(index)} is not a whole number of at least 0`);
  return index;
}

function checkedValue(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 31)
    throw new UsageError('value', `value: ${shown(value)} is not a whole number from 0 to ${2 ** 31 - 1}`);
  return value;
}

function checkedMark(mark: number): number {
  if (mark !== 0 && mark !== 1 && mark !== 2) throw new UsageError('mark', `mark: ${shown(mark)} is not 0, 1 or 2`);
  return mark;
}

/** What an entry holds; undefined for nothing. What is neither is an error. */
function valueOf(operation: string, entry: number): number | undefined {
  if (entry === 0) return undefined;
  if ((entry & 1) === 0) throw new KernelError(operation, entry >> 2);
  return entry >>> 1;
}

/** A missing value is undefined. */
export class XArray extends Shared {
  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena): XArray {
    const array = new XArray(arena, arenaOf('XArray.create', arena).alloc(XARRAY_BYTES), XARRAY_BYTES);
    arena.x.xaInit(array.address, LC_NONE);
    return array;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): XArray {
    return new XArray(arena, address, XARRAY_BYTES);
  }

  /** Whether it has no entry. */
  get empty(): boolean {
    return this.arena.x.xaEmpty(this.address) !== 0;
  }

  /** The entry at an index; undefined when there is none. Takes no lock. */
  load(index: number): number | undefined {
    return valueOf('xa_load', this.arena.x.valuesLoad(this.address, checkedIndex(index)));
  }

  /** Stores a value; returns what was there. Inside a piece of a range it replaces the whole piece, as in the kernel. */
  store(index: number, value: number): number | undefined {
    return valueOf('xa_store', this.arena.x.valuesStore(this.address, checkedIndex(index), checkedValue(value)));
  }

  /** Stores a value where there is none; false when there is one. */
  insert(index: number, value: number): boolean {
    const error = this.arena.x.valuesInsert(this.address, checkedIndex(index), checkedValue(value));
    if (error !== 0 && error !== -EBUSY) throw new KernelError('xa_insert', error, { index });
    return error === 0;
  }

  /** Replaces `expected` by `value` (undefined: nothing) if it is there. Returns what was there. */
  compareExchange(index: number, expected: number | undefined, value: number | undefined): number | undefined {
    const number = (wanted: number | undefined): number => (wanted === undefined ? NOTHING : checkedValue(wanted));
    const old = this.arena.x.valuesCmpxchg(this.address, checkedIndex(index), number(expected), number(value));
    return valueOf('xa_cmpxchg', old);
  }

  /** Removes the entry at `index`, of a range the whole piece. Returns what was there. */
  erase(index: number): number | undefined {
    return valueOf('xa_erase', this.arena.x.valuesErase(this.address, checkedIndex(index)));
  }

  /**
   * Stores one value in all of [first, last]; `last` is inclusive, as in xa_store_range. The range is kept in pieces, cut at multiples of powers of 64.
   */
  storeRange(first: number, last: number, value: number): void {
    this.#range(first, last, checkedValue(value));
  }

  /** Removes what is stored in [first, last]; `last` is inclusive. */
  eraseRange(first: number, last: number): void {
    this.#range(first, last, NOTHING);
  }

  #range(first: number, last: number, value: number): void {
    const error = this.arena.x.valuesStoreRange(this.address, checkedIndex(first), checkedIndex(last), value);
    if (error !== 0) throw new KernelError('xa_store_range', error, { first, last });
  }

  /**
   * Entries of [first, last] in order, a piece of a range once; `last` is inclusive; with a mark those that carry it. Others may store meanwhile: entries ahead
   * are seen, those behind are not.
   */
  *entries(first = 0, last = LAST_INDEX, mark?: Mark): Generator<[index: number, value: number]> {
    const filter = mark === undefined ? XA_PRESENT : checkedMark(mark);
    let next = this.#find(checkedIndex(first), checkedIndex(last), filter, 0);
    while (next !== undefined) {
      yield next;
      next = this.#find(next[0], last, filter, 1);
    }
  }

  #find(from: number, last: number, filter: number, after: number): [number, number] | undefined {
    const { x, scratch, buffer } = this.arena;
    const value = valueOf('xa_find', x.valuesFind(this.address, from, last, filter, after, scratch));
    return value === undefined ? undefined : [new DataView(buffer, scratch, 8).getFloat64(0, true), value];
  }

  /** Sets mark 0, 1 or 2 of the entry at `index`; a missing entry takes no mark. */
  setMark(index: number, mark: Mark): void {
    this.arena.x.valuesSetMark(this.address, checkedIndex(index), checkedMark(mark));
  }

  /** Takes a mark from the entry at an index. */
  clearMark(index: number, mark: Mark): void {
    this.arena.x.valuesClearMark(this.address, checkedIndex(index), checkedMark(mark));
  }

  /** Whether the entry at an index has a mark. */
  hasMark(index: number, mark: Mark): boolean {
    return this.arena.x.valuesGetMark(this.address, checkedIndex(index), checkedMark(mark)) !== 0;
  }

  /** Removes everything and gives the memory back. Readers may be inside. */
  clear(): void {
    this.arena.x.xaDestroy(this.address);
  }
}
