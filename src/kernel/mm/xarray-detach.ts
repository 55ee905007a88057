// Whole lowest nodes leave the tree at once: one store a node under xa_lock, where erasing costs one for each of its 64 entries. What was in the node is
// taken out behind the lock, by the task that detached it alone, so that tasks that empty one array do not wait for one another. Readers that were in the
// node already go on in it: they read its entries as if they had come a moment earlier, or find them gone. kernel: none; lib/xarray.c xas_delete_node() does
// this to nodes that are empty.
import { load32, loadStatic32, store32 } from '../point';
import { XAS_NODE, xasIndex, xasPlace, xasSet } from './xarray-cursor';
import {
  nodeAdd, nodeFree, nodeShift, NODE_OFFSET, NODE_PARENT, slotClear, slotLocked, XA_CHUNK_SIZE, xaIsNode, xaIsValue, xaToNode, xaToValue,
} from './xarray-node';
import { xasDeleteNode } from './xarray-store';

/**
 * Takes up to `max` lowest nodes out of the tree, from the cursor's on, that are siblings and lie wholly in [first, last]: their addresses to `leafs`
 * (u32 each). Returns how many; 0 leaves the cursor where it is, else it stands behind the last one. Their entries must carry no marks and be single ones.
 * @context xa_lock; the cursor is at an entry. Empty the nodes with xaEmptyLeaf.
 */
export function xasDetachLeafs(xas: usize, first: u64, last: u64, leafs: usize, max: u32): u32 {
  const leaf: usize = loadStatic32(xas + XAS_NODE);
  if (leaf == 0 || nodeShift(leaf) != 0) return 0;
  const parent: usize = load32(leaf + NODE_PARENT);
  let base = xasIndex(xas) & ~(<u64>XA_CHUNK_SIZE - 1);
  if (parent == 0 || base < first) return 0;
  let offset = load32(leaf + NODE_OFFSET);
  let taken: u32 = 0;
  for (; offset < XA_CHUNK_SIZE && taken < max && base + (XA_CHUNK_SIZE - 1) <= last; offset++) {
    const entry = slotLocked(parent, offset);
    if (xaIsNode(entry)) {
      store32(leafs + (<usize>taken << 2), <u32>xaToNode(entry));
      slotClear(parent, offset);
      taken++;
    } else if (entry != 0) {
      break;
    }
    base += XA_CHUNK_SIZE;
  }
  if (taken == 0) return 0;
  nodeAdd(parent, -<i32>taken, 0);
  xasPlace(xas, parent, offset - 1);
  xasDeleteNode(xas);
  xasSet(xas, base);
  return taken;
}

/**
 * Takes the values out of a detached node, to `values` (u32 each, 64 at most), and frees it when its last readers are gone. Returns how many there were.
 * @context the task that detached the node; no lock.
 */
export function xaEmptyLeaf(leaf: usize, values: usize): u32 {
  let count: u32 = 0;
  for (let offset: u32 = 0; offset < XA_CHUNK_SIZE; offset++) {
    const entry = slotLocked(leaf, offset);
    if (!xaIsValue(entry)) continue;
    slotClear(leaf, offset);
    store32(values + (<usize>count << 2), xaToValue(entry));
    count++;
  }
  nodeFree(leaf);
  return count;
}
