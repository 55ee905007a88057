// The kernel's XArray for JavaScript: a sparse array of small integers, indexed by up to 64 bits, with ranges, marks and lock-free readers.
import { LC_USER } from '../kernel/abi/classes.js';
import { KernelError, UsageError } from '../host/errors.js';
import { Shared, type Arena } from './arena.js';

const XARRAY_BYTES = 64;
const XA_PRESENT = 8;

function checkedIndex(index: number): bigint {
  if (!Number.isSafeInteger(index) || index < 0)
    throw new UsageError('index', `index: ${index} is not a whole number of at least 0`);
  return BigInt(index);
}

/** Values are whole numbers in [0, 2^30); a missing value is undefined. */
export class XArray extends Shared {
  static create(arena: Arena): XArray {
    const array = new XArray(arena, arena.alloc(XARRAY_BYTES));
    arena.x.xaInit(array.address, LC_USER + 5);
    return array;
  }

  static at(arena: Arena, address: number): XArray {
    return new XArray(arena, address);
  }

  load(index: number): number | undefined {
    return this.#value(this.arena.x.xaLoad(this.address, checkedIndex(index)));
  }

  /** Stores a value; returns what was there. Storing into a range replaces the whole range, as in the kernel. */
  store(index: number, value: number): number | undefined {
    return this.#value(
      this.#checked('xa_store', this.arena.x.xaStore(this.address, checkedIndex(index), this.#entry(value))),
    );
  }

  /** Stores one value in all of [first, last]; `last` is inclusive, as in xa_store_range. */
  storeRange(first: number, last: number, value: number): void {
    const error = this.arena.x.xaStoreRange(this.address, checkedIndex(first), checkedIndex(last), this.#entry(value));
    if (error !== 0) throw new KernelError('xa_store_range', error, { first, last });
  }

  /** Removes the entry at `index`: all of it, if it is a range. Returns what was there. */
  erase(index: number): number | undefined {
    return this.#value(this.arena.x.xaErase(this.address, checkedIndex(index)));
  }

  /** Entries of [first, last] in order; `last` is inclusive. Others may store meanwhile: entries ahead are seen, those behind are not. */
  *entries(first = 0, last = Number.MAX_SAFE_INTEGER): Generator<[index: number, value: number]> {
    const { x } = this.arena;
    const cursor = this.arena.alloc(8);
    const view = new DataView(this.arena.buffer, cursor, 8);
    try {
      view.setBigUint64(0, checkedIndex(first), true);
      let entry = x.xaFind(this.address, cursor, checkedIndex(last), XA_PRESENT);
      while (entry !== 0) {
        yield [Number(view.getBigUint64(0, true)), this.#value(entry)!];
        entry = x.xaFindAfter(this.address, cursor, checkedIndex(last), XA_PRESENT);
      }
    } finally {
      this.arena.free(cursor, 8);
    }
  }

  /** Sets mark 0, 1 or 2 of the entry at `index`; a missing entry takes no mark. */
  setMark(index: number, mark: number): void {
    this.arena.x.xaSetMark(this.address, checkedIndex(index), mark);
  }

  clearMark(index: number, mark: number): void {
    this.arena.x.xaClearMark(this.address, checkedIndex(index), mark);
  }

  hasMark(index: number, mark: number): boolean {
    return this.arena.x.xaGetMark(this.address, checkedIndex(index), mark) !== 0;
  }

  /** Removes everything. Nobody else may use the array meanwhile. */
  clear(): void {
    this.arena.x.xaDestroy(this.address);
  }

  #entry(value: number): number {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** 30) {
      throw new UsageError('value', `value: ${value} is not a whole number from 0 to ${2 ** 30 - 1}`);
    }
    return this.arena.x.xaMkValue(value);
  }

  #value(entry: number): number | undefined {
    return entry === 0 ? undefined : this.arena.x.xaToValue(entry) >>> 0;
  }

  #checked(operation: string, entry: number): number {
    if (this.arena.x.xaIsErr(entry) !== 0) throw new KernelError(operation, 12);
    return entry;
  }
}
