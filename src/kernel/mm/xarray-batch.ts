// Batches over the XArray: many entries under one RCU section or one hold of xa_lock, into plain arrays of the caller's. Truncation and the SNP
// hook walk page caches this way. kernel: the shape of mm/filemap.c filemap_get_folios and delete_from_page_cache_batch.
import { load64, store32, store64 } from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { stackPop, stackPush } from '../task';
import { XAS_SIZE, xasIndex, xasInit, xasPause, xasRetry } from './xarray-cursor';
import { xasFind, xasNextEntry } from './xarray-find';
import { XA_LOCK, xaIsValue, xaToValue } from './xarray-node';
import { xasStoreNull } from './xarray-store';

/** A batch spans fewer indices than fit its u32 deltas. */
const WINDOW: u64 = 0xffffffff;

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
      if (++count == max) {
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
      store32(outValues + (<usize>count << 2), xaToValue(entry));
      count++;
      xasStoreNull(xas);
    }
    entry = xasNextEntry(xas, last);
  }
  spinUnlock(xa + XA_LOCK);
  store64(indexp, next);
  stackPop(XAS_SIZE);
  return count;
}
