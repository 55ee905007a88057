// Finding the next entry of the XArray: present, or carrying a mark. Iteration is not a snapshot: what is stored behind the cursor is missed, what is
// stored ahead is seen; a multi-index entry is met once, also when the search starts in its middle.
// kernel: lib/xarray.c xas_find, xas_find_marked, xa_find, xa_find_after; include/linux/xarray.h xas_next_entry.
import { atomicLoad32, load32, load64, loadStatic32, loadStatic64, store32, store64 } from '../point';
import { stackPop, stackPush } from '../task';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import {
  marksLoad, NODE_OFFSET, NODE_PARENT, nodeShift, slotIndex, slotLoad, slotOf, ULONG_MAX, XA_CHUNK_MASK, XA_CHUNK_SIZE,
  XA_MAX_MARKS, XA_RETRY_ENTRY, xaIsInternal, xaIsNode, xaIsSibling, xaToNode,
} from './xarray-node';
import {
  XAS_BOUNDS, XAS_INDEX, XAS_LEAF, XAS_NODE, XAS_RESTART, XAS_SIZE, xasIndex, xasInit, xasInNode, xasInvalid, xasLeave, xasLoad, xasPlace,
  xasRetry, xasSibling,
} from './xarray-cursor';
import { xasGetMark } from './xarray-marks';

/** No mark filter: any entry that is not NULL. */
const ANY: u32 = XA_MAX_MARKS;

/**
 * The next entry at an index up to `last`: the one at the cursor's index if the cursor was just set, else the first behind the entry it is at. The cursor
 * then stands at the entry: xasIndex is its first index (or the index asked for, if that lies inside the entry). NULL: there is none. May
 * return ZERO and RETRY: see xasRetry.
 * @context rcu_read_lock or xa_lock.
 */
export function xasFind(xas: usize, last: u64): u32 {
  return findFrom(xas, last, ANY);
}

/** xasFind, inlined as far as the next slot of the same lowest node: the step of a dense iteration. @context as xasFind. */
// @ts-ignore: decorator
@inline
export function xasNextEntry(xas: usize, last: u64): u32 {
  const leaf: usize = loadStatic32(xas + XAS_LEAF);
  const index = loadStatic64(xas + XAS_INDEX);
  const offset = slotOf(index, 0);
  if (leaf != 0 && offset != XA_CHUNK_MASK && index < last) {
    const entry = slotLoad(leaf, offset + 1);
    if (entry != 0 && !xaIsInternal(entry)) {
      store64(xas + XAS_INDEX, index + 1);
      return entry;
    }
  }
  return findFrom(xas, last, ANY);
}

/** The first look of a search: is the entry at the cursor's index one? RETRY counts, so that the caller starts again. */
function findHere(xas: usize, mark: u32): u32 {
  const entry = xasLoad(xas);
  if (entry == 0 || xaIsNode(entry)) return 0;
  if (mark != ANY && entry != XA_RETRY_ENTRY && !xasGetMark(xas, mark)) return 0;
  return entry;
}

/** @context rcu_read_lock or xa_lock. */
function findFrom(xas: usize, last: u64, mark: u32): u32 {
  const at = loadStatic32(xas + XAS_NODE);
  if (xasInvalid(at) && at != XAS_RESTART) return 0;
  if (loadStatic64(xas + XAS_INDEX) > last) return outOfBounds(xas);
  if (at == XAS_RESTART) {
    const entry = findHere(xas, mark);
    if (entry != 0) return entry;
  }
  const node = loadStatic32(xas + XAS_NODE);
  if (!xasInNode(node)) {
    // Behind the head's single entry, or beyond the tree.
    if (node == 0) store64(xas + XAS_INDEX, 1);
    return outOfBounds(xas);
  }
  return findBehind(xas, last, mark);
}

/** Goes through the slots behind the cursor's, up and down the tree. The cursor is in a node. @context rcu_read_lock or xa_lock. */
function findBehind(xas: usize, last: u64, mark: u32): u32 {
  let node: usize = loadStatic32(xas + XAS_NODE);
  let shift = nodeShift(node);
  const start = loadStatic64(xas + XAS_INDEX);
  // From the slot of the index, which in a multi-index entry lies behind the canonical one.
  let offset = slotOf(start, shift) + 1;
  let index = slotIndex(start, shift, offset);
  let entry: u32 = 0;
  // An index that wraps has passed ULONG_MAX.
  while (index > start && index <= last) {
    if (mark != ANY && offset < XA_CHUNK_SIZE) {
      const bits = marksLoad(node, mark) >> <u64>offset;
      offset = bits == 0 ? XA_CHUNK_SIZE : offset + <u32>ctz(bits);
      index = slotIndex(index, shift, offset);
      if (index <= start || index > last) break;
    }
    if (offset == XA_CHUNK_SIZE) {
      offset = load32(node + NODE_OFFSET) + 1;
      node = atomicLoad32(node + NODE_PARENT);
      if (node == 0) break;
      shift = nodeShift(node);
      continue;
    }
    entry = slotLoad(node, offset);
    if (xaIsNode(entry)) {
      node = xaToNode(entry);
      shift = nodeShift(node);
      offset = 0;
      entry = 0;
      continue;
    }
    if (entry != 0 && !xaIsSibling(entry)) break;
    entry = 0;
    offset++;
    index = slotIndex(index, shift, offset);
  }
  store64(xas + XAS_INDEX, index);
  if (entry == 0) {
    // The cursor stands at an index not looked at yet: a search with a larger `last` goes on there.
    xasLeave(xas, node == 0 || index <= start ? XAS_BOUNDS : XAS_RESTART);
    return 0;
  }
  xasPlace(xas, node, offset);
  if (shift == 0) store32(xas + XAS_LEAF, <u32>node);
  return entry;
}

function outOfBounds(xas: usize): u32 {
  xasLeave(xas, XAS_BOUNDS);
  return 0;
}

/**
 * The first entry at *indexp or behind it, up to `last` (inclusive), that is present (XA_PRESENT) or carries mark `filter`. Writes its index to
 * *indexp (u64; unchanged if the index lies inside the entry) and returns it, or NULL.
 * @context any; takes rcu_read_lock. kernel: xa_find.
 */
export function xaFind(xa: usize, indexp: usize, last: u64, filter: u32): u32 {
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, load64(indexp));
  rcuReadLock();
  let entry = findFiltered(xas, last, filter);
  while (xasRetry(xas, entry)) entry = findFiltered(xas, last, filter);
  rcuReadUnlock();
  if (entry != 0) store64(indexp, xasIndex(xas));
  stackPop(XAS_SIZE);
  return entry;
}

/** The first such entry behind the one that *indexp lies in. @context any; takes rcu_read_lock. kernel: xa_find_after. */
export function xaFindAfter(xa: usize, indexp: usize, last: u64, filter: u32): u32 {
  const index = load64(indexp);
  if (index == ULONG_MAX) return 0;
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index + 1);
  rcuReadLock();
  let entry = findFiltered(xas, last, filter);
  while (xasRetry(xas, entry) || (entry != 0 && xasSibling(xas))) entry = findFiltered(xas, last, filter);
  rcuReadUnlock();
  if (entry != 0) store64(indexp, xasIndex(xas));
  stackPop(XAS_SIZE);
  return entry;
}

// @ts-ignore: decorator
@inline
function findFiltered(xas: usize, last: u64, filter: u32): u32 {
  return findFrom(xas, last, filter < XA_MAX_MARKS ? filter : ANY);
}
