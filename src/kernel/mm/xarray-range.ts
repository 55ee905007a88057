// Ranges in the XArray. A slot of a node stands for 2^shift indices, and an entry can own several neighbouring slots of one node, so a range
// becomes one entry only when it fits that shape; else it is cut into pieces, each an entry of its own that iteration meets.
// kernel: lib/xarray.c xas_set_range, xa_store_range.
import { EINVAL } from '../abi/errno';
import { store32 } from '../point';
import { rcuReclaim } from '../sync/rcu';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { stackPop, stackPush } from '../task';
import { XAS_SHIFT, XAS_SIBS, XAS_SIZE, xasError, xasInit, xasSet } from './xarray-cursor';
import { slotOf, XA_CHUNK_MASK, XA_CHUNK_SHIFT, XA_LOCK, xaIsInternal } from './xarray-node';
import { xasStore } from './xarray-store';

/**
 * Aims the cursor at as much of [first, last] as one entry can hold from `first` on: one level up for as long as `first` is
 * aligned and the range fills a whole node, then as many slots of that node as the range fills.
 * Returns the number of indices in the piece (0 means 2^64).
 */
export function xasSetRange(xas: usize, first: u64, last: u64): u64 {
  const extra = last - first; // indices behind the first: a length that cannot overflow
  let shift: u32 = 0;
  let offset = slotOf(first, 0);
  let sibs = extra; // slots behind the first one that the range fills, at this shift
  while (offset == 0 && sibs >= <u64>XA_CHUNK_MASK) {
    shift += XA_CHUNK_SHIFT;
    offset = slotOf(first, shift);
    sibs = (extra - ((<u64>1 << <u64>shift) - 1)) >> <u64>shift;
  }
  const room = <u64>(XA_CHUNK_MASK - offset);
  if (sibs > room) sibs = room;
  xasSet(xas, first);
  store32(xas + XAS_SHIFT, shift);
  store32(xas + XAS_SIBS, <u32>sibs);
  return (sibs + 1) << <u64>shift;
}

/**
 * Stores `entry` at every index of [first, last] (inclusive); NULL erases. Each piece acts as a store of its own: it replaces larger entries as a
 * whole, and NULL erases every entry it touches as a whole. Returns 0, -EINVAL for an empty range or an internal entry, or
 * -ENOMEM with the leading pieces stored.
 * @context any; takes xa_lock once for all pieces.
 */
export function xaStoreRange(xa: usize, first: u64, last: u64, entry: u32): i32 {
  if (xaIsInternal(entry) || last < first) return -EINVAL;
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, first);
  spinLock(xa + XA_LOCK);
  const error = storePieces(xas, first, last, entry);
  spinUnlock(xa + XA_LOCK);
  rcuReclaim();
  stackPop(XAS_SIZE);
  return error;
}

/** @context xa_lock. */
function storePieces(xas: usize, first: u64, last: u64, entry: u32): i32 {
  while (true) {
    const size = xasSetRange(xas, first, last);
    xasStore(xas, entry);
    const error = xasError(xas);
    if (error != 0) return error;
    const next = first + size;
    if (next <= first || next > last) return 0; // a sum that wraps has passed ULONG_MAX
    first = next;
  }
}
