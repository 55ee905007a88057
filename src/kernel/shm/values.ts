// The XArray for users of ./shm: indices and results as numbers of JavaScript, entries only 31-bit values. Thin: the tree is mm/xarray.ts.
import { SUBSYS_SHM } from '../abi/layout';
import { NT_LOCK } from '../abi/names';
import {
  xaClearMark, xaCmpxchg, xaErase, xaFind, xaFindAfter, xaGetMark, xaInsert, xaLoad, xaMkValue, xaSetMark, xaStore, xaStoreRange,
} from '../mm/xarray';
import { nameObject } from '../names';
import { atomicAdd32, load64, store64, storeF64 } from '../point';
import { stackPop, stackPush } from '../task';

// Results are entries: 0 nothing, odd a value, else an error. A stored value of -1 erases.
// @ts-ignore: decorator
@inline
function entryOf(value: i32): u32 { return value < 0 ? 0 : xaMkValue(<u32>value); }

/** The entry at `index`. @context any; takes rcu_read_lock, as all that only look. */
export function valuesLoad(xa: usize, index: f64): u32 { return xaLoad(xa, <u64>index); }
/** @context takes xa_lock, as all that change the array. */
export function valuesStore(xa: usize, index: f64, value: i32): u32 { return xaStore(xa, <u64>index, entryOf(value)); }
/** Takes the entry at `index` out and returns it, or an error. */
export function valuesErase(xa: usize, index: f64): u32 { return xaErase(xa, <u64>index); }
/** Stores where there is nothing. Returns 0, -EBUSY or -ENOMEM. */
export function valuesInsert(xa: usize, index: f64, value: i32): i32 { return xaInsert(xa, <u64>index, entryOf(value)); }
/** Stores `value` where `old` is (-1: nothing). Returns the entry that was there, or an error. */
export function valuesCmpxchg(xa: usize, index: f64, old: i32, value: i32): u32 {
  return xaCmpxchg(xa, <u64>index, entryOf(old), entryOf(value));
}
/** Stores in [first, last]. */
export function valuesStoreRange(xa: usize, first: f64, last: f64, value: i32): i32 {
  return xaStoreRange(xa, <u64>first, <u64>last, entryOf(value));
}
/** Sets mark 0, 1 or 2 of the entry at `index`; nothing there, nothing done. */
export function valuesSetMark(xa: usize, index: f64, mark: u32): void { xaSetMark(xa, <u64>index, mark); }
/** Takes it away. */
export function valuesClearMark(xa: usize, index: f64, mark: u32): void { xaClearMark(xa, <u64>index, mark); }
/** Whether the entry at `index` has the mark. */
export function valuesGetMark(xa: usize, index: f64, mark: u32): bool { return xaGetMark(xa, <u64>index, mark); }

/**
 * First entry in [from, last] that matches the filter (XA_PRESENT or a mark), with `after` the first behind the entry that `from` lies in; its index
 * goes to `out` as f64. 0: none.
 */
export function valuesFind(xa: usize, from: f64, last: f64, filter: u32, after: bool, out: usize): u32 {
  const indexp = stackPush(8);
  store64(indexp, <u64>from);
  const entry = after ? xaFindAfter(xa, indexp, <u64>last, filter) : xaFind(xa, indexp, <u64>last, filter);
  storeF64(out, <f64>load64(indexp));
  stackPop(8);
  return entry;
}

/** Gives a user's lock a number, which reports call it by. */
export function nameUserLock(address: usize, bytes: usize): u32 {
  const number = atomicAdd32(SUBSYS_SHM, 1);
  nameObject(address, bytes, NT_LOCK, 0, number);
  return number;
}
