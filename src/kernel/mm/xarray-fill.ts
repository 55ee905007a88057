// Filling an empty index with a single entry: what a page cache does at every new page. With the leaf node in place it is one walk and one
// atomic store, without a cursor; whatever else it meets it leaves to the cursor. kernel: lib/xarray.c xas_store() behind xas_load() == NULL.
import { EEXIST } from '../abi/errno';
import { stackPop, stackPush } from '../task';
import { XAS_SIZE, xasError, xasInit, xasLoad } from './xarray-cursor';
import {
  headLocked, headPublish, nodeAdd, nodeShift, slotLocked, slotOf, slotPublish, XA_CHUNK_SHIFT, XA_CHUNK_SIZE, xaIsNode, xaToNode,
} from './xarray-node';
import { xasStore } from './xarray-store';

/**
 * Stores `entry` (a value or pointer) at `index` if nothing is there. 0, -EEXIST, -ENOMEM.
 * @context xa_lock, taken by xaLock.
 */
// @ts-ignore: decorator
@inline
export function xaFillLocked(xa: usize, index: u64, entry: u32): i32 {
  const leaf = leafNode(xa, index);
  const offset = slotOf(index, 0);
  // NULL: no sibling and no reservation either, and a NULL slot carries no mark.
  if (leaf == 0 || slotLocked(leaf, offset) != 0) return fillSlow(xa, index, entry);
  slotPublish(leaf, offset, entry);
  nodeAdd(leaf, 1, <i32>(entry & 1));
  return 0;
}

/** The lowest node that covers `index`, 0 when there is none. @context xa_lock. */
// @ts-ignore: decorator
@inline
function leafNode(xa: usize, index: u64): usize {
  let entry = headLocked(xa);
  if (!xaIsNode(entry)) return 0;
  let node = xaToNode(entry);
  let shift = nodeShift(node);
  if (index >> <u64>shift >= <u64>XA_CHUNK_SIZE) return 0;
  while (shift != 0) {
    entry = slotLocked(node, slotOf(index, shift));
    if (!xaIsNode(entry)) return 0;
    node = xaToNode(entry);
    shift -= XA_CHUNK_SHIFT;
  }
  return node;
}

function fillSlow(xa: usize, index: u64, entry: u32): i32 {
  if (index == 0 && headLocked(xa) == 0) {
    headPublish(xa, entry); // a tree of index 0 alone has no node
    return 0;
  }
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  let error: i32 = -EEXIST;
  if (xasLoad(xas) == 0) {
    xasStore(xas, entry);
    error = xasError(xas);
  }
  stackPop(XAS_SIZE);
  return error;
}
