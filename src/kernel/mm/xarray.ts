// The XArray: a sparse array of u32 entries over the full 64-bit index range, read without a lock (RCU), changed under its own spinlock.
// It holds bindings, page caches and memory attributes. This file is the plain interface; xarray-*.ts hold the tree and the cursor.
// kernel: lib/xarray.c, include/linux/xarray.h (6.8).
import { EBUSY, EINVAL } from '../abi/errno';
import { V_B59 } from '../abi/variants';
import { atomicLoad32, atomicStore32, loadStatic32, store32, variant } from '../point';
import { rcuReadLock, rcuReadUnlock, rcuReclaim } from '../sync/rcu';
import { spinLock, spinLockInit, spinTrylock, spinUnlock } from '../sync/spinlock';
import { stackPop, stackPush } from '../task';
import {
  entryEnd, XAS_NODE, XAS_SIZE, xasError, xasInit, xasInNode, xasLoad, xasOffset, xasReset, xasSetOrder,
} from './xarray-cursor';
import { xasClearMark, xasGetMark, xasSetMark } from './xarray-marks';
import {
  headLoad, headLocked, headPublish, nodeShift, slotLoad, slotOf, XA_CHUNK_SHIFT, XA_CHUNK_SIZE, XA_HEAD, XA_LOCK, XA_MARKS,
  XA_RETRY_ENTRY, XA_ZERO_ENTRY, xaIsErr, xaIsInternal, xaIsNode, xaIsSibling, xaMkErr, xaToNode, xaToSibling, xaZeroToNull,
} from './xarray-node';
import { freeNodes, xasCreateRange, xasStore } from './xarray-store';

export { XARRAY_SIZE, XA_LOCK, XA_PRESENT, XA_RETRY_ENTRY, XA_ZERO_ENTRY } from './xarray-node';
export { xaErr, xaIsErr, xaIsValue, xaMkValue, xaToValue } from './xarray-node';
export {
  XAS_SIZE, xasError, xasIndex, xasInit, xasLoad, xasNext, xasPause, xasPrev, xasReload, xasReset, xasRetry, xasSet, xasSetOrder,
} from './xarray-cursor';
export { xasCreateRange, xasStore, xasStoreNull } from './xarray-store';
export { xaMarked, xasClearMark, xasGetMark, xasSetMark } from './xarray-marks';
export { xaFind, xaFindAfter, xasFind, xasNextEntry } from './xarray-find';
export { xaFillLocked } from './xarray-fill';
export { xasSetRange, xaStoreRange } from './xarray-range';
export { xaEraseRangeBatch, xaGather } from './xarray-batch';

/** An empty array. `cls` is the lock class of its xa_lock. */
export function xaInit(xa: usize, cls: u32): void {
  spinLockInit(xa + XA_LOCK, cls);
  store32(xa + XA_HEAD, 0);
  store32(xa + XA_MARKS, 0);
}

/** @context takes xa_lock (spinning: no sleep until xaUnlock). For callers that hold it over several cursor steps. */
// @ts-ignore: decorator
@inline
export function xaLock(xa: usize): void { spinLock(xa + XA_LOCK); }
/** @context takes xa_lock if it is free; never waits. */
// @ts-ignore: decorator
@inline
export function xaTrylock(xa: usize): bool { return atomicLoad32(xa + XA_LOCK) == 0 && spinTrylock(xa + XA_LOCK); }
/** @context releases xa_lock. */
// @ts-ignore: decorator
@inline
export function xaUnlock(xa: usize): void {
  spinUnlock(xa + XA_LOCK);
  rcuReclaim(); // nodes that went
}

/** Whether nothing is stored, not even a reservation. */
// @ts-ignore: decorator
@inline
export function xaEmpty(xa: usize): bool { return headLoad(xa) == 0; }

/** Removes every entry and frees every node. @context takes xa_lock; the user's objects are the caller's to free. */
export function xaDestroy(xa: usize): void {
  xaLock(xa);
  const head = headLocked(xa);
  headPublish(xa, 0);
  atomicStore32(xa + XA_MARKS, 0);
  if (xaIsNode(head)) freeNodes(xaToNode(head));
  xaUnlock(xa);
}

/** The entry at `index`, or NULL (also for a reservation). @context any; takes rcu_read_lock. kernel: xa_load. */
export function xaLoad(xa: usize, index: u64): u32 {
  rcuReadLock();
  let entry = xaWalk(xa, index);
  while (entry == XA_RETRY_ENTRY) entry = xaWalk(xa, index);
  rcuReadUnlock();
  return xaZeroToNull(entry);
}

/**
 * One walk from the head without a cursor: an atomic load a level, the shift counted down instead of read from each node. What the reader
 * meets in a sibling's canonical slot may be newer than the sibling: another sibling (go on), or a child of other indices (start again).
 * @context rcu_read_lock or xa_lock.
 */
// @ts-ignore: decorator
@inline
function xaWalk(xa: usize, index: u64): u32 {
  let entry = headLoad(xa);
  if (!xaIsNode(entry)) return index == 0 ? entry : 0;
  let shift = nodeShift(xaToNode(entry));
  if (index >> <u64>shift >= <u64>XA_CHUNK_SIZE) return 0;
  do {
    const node = xaToNode(entry);
    entry = slotLoad(node, slotOf(index, shift));
    while (xaIsSibling(entry)) {
      entry = slotLoad(node, xaToSibling(entry));
      if (xaIsNode(entry)) entry = XA_RETRY_ENTRY;
      if (variant(V_B59)) break;
    }
    shift -= XA_CHUNK_SHIFT;
  } while (xaIsNode(entry));
  return entry;
}

/** What a store returns to the user: the error, else the old entry; a subtree or a reservation reads as NULL. */
function storeResult(xas: usize, old: u32): u32 {
  const error = xasError(xas);
  if (error != 0) return xaMkErr(error);
  return xaIsNode(old) ? 0 : xaZeroToNull(old);
}

/**
 * Stores `entry` (NULL erases) at `index`; returns the old entry, or an error entry (-ENOMEM, -EINVAL for an internal entry). Inside a multi-index
 * entry it replaces the whole of it.
 * @context any; takes xa_lock. kernel: xa_store.
 */
export function xaStore(xa: usize, index: u64, entry: u32): u32 {
  return xaStoreOrder(xa, index, 0, entry);
}

/** Stores at the aligned block of 2^order indices around `index`; returns the old entry at its start. Orders 0..63. @context takes xa_lock. */
export function xaStoreOrder(xa: usize, index: u64, order: u32, entry: u32): u32 {
  if (xaIsInternal(entry)) return xaMkErr(-EINVAL);
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  if (order != 0) xasSetOrder(xas, index, order);
  xaLock(xa);
  const old = xasStore(xas, entry);
  xaUnlock(xa);
  const result = storeResult(xas, old);
  stackPop(XAS_SIZE);
  return result;
}

/** Erases the entry that `index` lies in, all of it, and returns it. @context any; takes xa_lock. kernel: xa_erase. */
export function xaErase(xa: usize, index: u64): u32 {
  return xaStoreOrder(xa, index, 0, 0);
}

/**
 * Stores `entry` if `old` is there; returns what was there (equal to `old` on success) or an error entry. A reservation is ZERO, not
 * NULL, to the comparison, but is returned as NULL.
 * @context any; takes xa_lock. kernel: xa_cmpxchg.
 */
export function xaCmpxchg(xa: usize, index: u64, old: u32, entry: u32): u32 {
  if (xaIsInternal(entry) && entry != XA_ZERO_ENTRY) return xaMkErr(-EINVAL);
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  xaLock(xa);
  const seen = xasLoad(xas);
  if (seen == old) xasStore(xas, entry);
  xaUnlock(xa);
  const result = storeResult(xas, seen);
  stackPop(XAS_SIZE);
  return result;
}

/** Stores `entry` (NULL: a reservation) if nothing is there. 0, -EBUSY (also for a reservation), -ENOMEM, -EINVAL. @context takes xa_lock. */
export function xaInsert(xa: usize, index: u64, entry: u32): i32 {
  if (xaIsInternal(entry)) return -EINVAL;
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  xaLock(xa);
  const busy = xasLoad(xas) != 0;
  if (!busy) xasStore(xas, entry == 0 ? XA_ZERO_ENTRY : entry);
  xaUnlock(xa);
  const error = xasError(xas);
  stackPop(XAS_SIZE);
  return busy ? -EBUSY : error;
}

/** Makes sure that a later store at `index` needs no memory: an empty index holds ZERO, which reads as NULL. 0 or -ENOMEM. @context takes xa_lock. */
export function xaReserve(xa: usize, index: u64): i32 {
  const result = xaCmpxchg(xa, index, 0, XA_ZERO_ENTRY);
  return xaIsErr(result) ? <i32>result >> 2 : 0;
}

/** Undoes a reservation that was not used. @context takes xa_lock. */
export function xaRelease(xa: usize, index: u64): void {
  xaCmpxchg(xa, index, XA_ZERO_ENTRY, 0);
}

/** Marks the entry at `index`; NULL cannot be marked. @context takes xa_lock. kernel: xa_set_mark. */
export function xaSetMark(xa: usize, index: u64, mark: u32): void {
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  xaLock(xa);
  if (xasLoad(xas) != 0) xasSetMark(xas, mark);
  xaUnlock(xa);
  stackPop(XAS_SIZE);
}

/** @context takes xa_lock. kernel: xa_clear_mark. */
export function xaClearMark(xa: usize, index: u64, mark: u32): void {
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  xaLock(xa);
  if (xasLoad(xas) != 0) xasClearMark(xas, mark);
  xaUnlock(xa);
  stackPop(XAS_SIZE);
}

/** Whether the entry at `index` carries the mark. @context any; takes rcu_read_lock. kernel: xa_get_mark. */
export function xaGetMark(xa: usize, index: u64, mark: u32): bool {
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  rcuReadLock();
  let entry = xasLoad(xas);
  while (entry == XA_RETRY_ENTRY) {
    xasReset(xas);
    entry = xasLoad(xas);
  }
  const marked = entry != 0 && xasGetMark(xas, mark);
  rcuReadUnlock();
  stackPop(XAS_SIZE);
  return marked;
}

/** Order of the entry at `index`, rounded up for a range that is no power of two; 0 for none. @context takes rcu_read_lock. kernel: xa_get_order. */
export function xaGetOrder(xa: usize, index: u64): u32 {
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  rcuReadLock();
  const entry = xasLoad(xas);
  const node = loadStatic32(xas + XAS_NODE);
  let order: u32 = 0;
  if (entry != 0 && xasInNode(node)) {
    const offset = xasOffset(xas);
    const slots = entryEnd(node, offset) - offset;
    if (slots > 1) order = 32 - <u32>clz<u32>(slots - 1);
    order += nodeShift(node);
  }
  rcuReadUnlock();
  stackPop(XAS_SIZE);
  return order;
}

/** Makes all nodes for [first, last] (inclusive), so that later stores there need no memory. 0 or -ENOMEM. @context takes xa_lock. */
export function xaCreateRange(xa: usize, first: u64, last: u64): i32 {
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, first);
  xaLock(xa);
  const error = xasCreateRange(xas, last);
  xaUnlock(xa);
  stackPop(XAS_SIZE);
  return error;
}
