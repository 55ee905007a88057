// Batches over the XArray: many entries under one RCU section or one hold of xa_lock, into plain arrays of the caller's. Truncation and the SNP
// hook walk page caches this way. kernel: the shape of mm/filemap.c filemap_get_folios and delete_from_page_cache_batch.
import { load32, load64, loadStatic32, store32, store64 } from '../point';
import { rcuReadLock, rcuReadUnlock, rcuReclaim } from '../sync/rcu';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { stackPop, stackPush } from '../task';
import { XAS_INDEX, XAS_LEAF, XAS_SIZE, xasIndex, xasInit, xasPause, xasRetry } from './xarray-cursor';
import { xasFind, xasNextEntry } from './xarray-find';
import {
  COUNT_MARKED, COUNT_MASK, COUNT_ONE, COUNT_VALUE, NODE_COUNTS, slotLoad, slotLocked, slotOf, slotClear, XA_CHUNK_MASK, XA_LOCK, xaIsInternal,
  xaIsValue, xaToValue,
} from './xarray-node';
import { xasStoreNull } from './xarray-store';

/** A batch spans fewer indices than fit its u32 deltas. */
const WINDOW: u64 = 0xffffffff;

/** Last slot of the cursor's leaf that lies in the range. */
// @ts-ignore: decorator
@inline
function lastSlot(index: u64, last: u64): u32 {
  const offset = slotOf(index, 0);
  const left = last - index;
  return left < <u64>(XA_CHUNK_MASK - offset) ? offset + <u32>left : XA_CHUNK_MASK;
}

/**
 * The rest of a gather inside the cursor's leaf, position in registers: up to `room` values behind the cursor, to the first entry that is no plain
 * value. Returns how many; the cursor stands at the last one.
 * @context rcu_read_lock; the cursor is at an entry of a leaf.
 */
function gatherLeaf(xas: usize, start: u64, last: u64, outPfns: usize, outIndices: usize, room: u32): u32 {
  const leaf: usize = loadStatic32(xas + XAS_LEAF);
  const index = xasIndex(xas);
  const end = lastSlot(index, last);
  const first = slotOf(index, 0);
  const delta = <u32>(index - start);
  let at = first;
  let taken: u32 = 0;
  for (let offset = first + 1; offset <= end && taken < room; offset++) {
    const entry = slotLoad(leaf, offset);
    if (entry == 0) continue;
    if (!xaIsValue(entry)) break;
    at = offset;
    store32(outPfns + (<usize>taken << 2), xaToValue(entry));
    store32(outIndices + (<usize>taken << 2), delta + (at - first));
    taken++;
  }
  store64(xas + XAS_INDEX, index + <u64>(at - first));
  return taken;
}

/**
 * The same for erasing: plain values from the cursor's slot on, as long as one other entry stays in the node (the general way frees nodes). The node's counts
 * are written once. Returns how many; the cursor stands at the last one, if any was.
 * @context xa_lock; the cursor is at an entry of a leaf.
 */
function eraseLeaf(xas: usize, last: u64, outValues: usize, room: u32): u32 {
  const leaf: usize = loadStatic32(xas + XAS_LEAF);
  const counts = load32(leaf + NODE_COUNTS);
  if ((counts & COUNT_MARKED) != 0) return 0;
  const index = xasIndex(xas);
  const end = lastSlot(index, last);
  const first = slotOf(index, 0);
  // Two stay: the one left in a top node may have to move into the head.
  const limit = min<i32>(<i32>room, <i32>(counts & COUNT_MASK) - 2);
  let at = first;
  let taken: i32 = 0;
  let entry = slotLocked(leaf, first);
  for (let offset = first; offset <= end && taken < limit; offset++) {
    // A sibling behind makes the entry a multi-index one.
    const next: u32 = offset != XA_CHUNK_MASK ? slotLocked(leaf, offset + 1) : 0;
    if (entry != 0) {
      if (!xaIsValue(entry) || xaIsInternal(next)) break;
      slotClear(leaf, offset);
      store32(outValues + (<usize>taken << 2), xaToValue(entry));
      at = offset;
      taken++;
    }
    entry = next;
  }
  store32(leaf + NODE_COUNTS, counts - <u32>taken * (COUNT_ONE + COUNT_VALUE));
  store64(xas + XAS_INDEX, index + <u64>(at - first));
  return <u32>taken;
}

/**
 * Reads up to `max` present value entries of [*startIndexp, last] (inclusive; last < ULONG_MAX): their integers to `outPfns`, their indices minus the
 * old *startIndexp to `outIndices` (u32 each; an entry that begins before counts as delta 0). A multi-index entry appears once.
 * *startIndexp moves behind what was read, to last + 1 when nothing is left: loop while it is <= last. Returns the count, which can be 0
 * before the end when the next entry lies 2^32 or more indices away.
 * @context any; takes rcu_read_lock. The pages may be gone by the time the caller looks: take a reference and reload.
 */
export function xaGather(xa: usize, startIndexp: usize, last: u64, outPfns: usize, outIndices: usize, max: u32): u32 {
  const start = load64(startIndexp);
  if (start > last || max == 0) return 0;
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, start);
  let count: u32 = 0;
  let next = last + 1;
  rcuReadLock();
  let entry = xasFind(xas, last);
  while (entry != 0) {
    if (xaIsValue(entry)) {
      const delta = xasIndex(xas) - start;
      if (delta > WINDOW) {
        next = xasIndex(xas);
        break;
      }
      store32(outPfns + (<usize>count << 2), xaToValue(entry));
      store32(outIndices + (<usize>count << 2), <u32>delta);
      count++;
      if (loadStatic32(xas + XAS_LEAF) != 0 && delta < WINDOW - <u64>XA_CHUNK_MASK) {
        const done = <usize>count << 2;
        count += gatherLeaf(xas, start, last, outPfns + done, outIndices + done, max - count);
      }
      if (count == max) {
        xasPause(xas);
        const behind = xasIndex(xas);
        if (behind != 0 && behind <= last) next = behind; // 0: the entry reached ULONG_MAX
        break;
      }
    } else {
      xasRetry(xas, entry); // RETRY: the same index again, from the head; anything else is stepped over
    }
    entry = xasNextEntry(xas, last);
  }
  rcuReadUnlock();
  store64(startIndexp, next);
  stackPop(XAS_SIZE);
  return count;
}

/**
 * Erases up to `max` value entries of [*indexp, last] (inclusive; last < ULONG_MAX) under one hold of xa_lock and writes their integers to `outValues`
 * (u32 each). An entry that reaches over an end of the range is erased whole. *indexp moves behind the last one erased, to last + 1 when
 * nothing is left. Returns the count.
 * @context any; takes xa_lock.
 */
export function xaEraseRangeBatch(xa: usize, indexp: usize, last: u64, outValues: usize, max: u32): u32 {
  const start = load64(indexp);
  if (start > last || max == 0) return 0;
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, start);
  let count: u32 = 0;
  let next = last + 1;
  spinLock(xa + XA_LOCK);
  let entry = xasFind(xas, last);
  while (entry != 0) {
    if (xaIsValue(entry)) {
      if (count == max) {
        next = xasIndex(xas);
        break;
      }
      const taken = loadStatic32(xas + XAS_LEAF) != 0 ? eraseLeaf(xas, last, outValues + (<usize>count << 2), max - count) : 0;
      count += taken;
      if (taken == 0) {
        store32(outValues + (<usize>count << 2), xaToValue(entry));
        count++;
        xasStoreNull(xas);
      }
    }
    entry = xasNextEntry(xas, last);
  }
  spinUnlock(xa + XA_LOCK);
  rcuReclaim();
  store64(indexp, next);
  stackPop(XAS_SIZE);
  return count;
}
