// Whole nodes leave the tree at once: one store a node under xa_lock, where erasing costs one for each entry. What was in the node is
// taken out behind the lock, by the task that detached it or whom it gives parts of it to, so that tasks that empty one array do not wait for one another. Readers that
// were in the node already go on in it: they read its entries as if they had come a moment earlier, or find them gone. kernel: none; lib/xarray.c xas_delete_node()
// does this to nodes that are empty.
import { load32, loadStatic32, store32 } from '../point';
import { XAS_NODE, xasIndex, xasPlace, xasSet } from './xarray-cursor';
import {
  headPublish, nodeAdd, nodeFree, nodeShift, NODE_OFFSET, NODE_PARENT, nodeValues, slotClear, slotLocked, XA_CHUNK_SIZE, xaIsNode, xaIsValue, xaMkNode, xaToNode, xaToValue,
} from './xarray-node';
import { xasDeleteNode } from './xarray-store';

/** The node of this shift that the cursor is in or below, 0 if there is none. @context xa_lock. */
function nodeAround(xas: usize, shift: u32): usize {
  let node: usize = loadStatic32(xas + XAS_NODE);
  while (node != 0 && nodeShift(node) < shift) node = load32(node + NODE_PARENT);
  return node != 0 && nodeShift(node) == shift ? node : 0;
}

/**
 * Takes up to `max` nodes of `shift` out of the tree, from the cursor's on, that are siblings and lie wholly in [first, last]: their addresses to `nodes`
 * (u32 each), one behind the other, or with `gaps` 0 for each empty slot between and behind them. Returns how many words that are; 0 leaves the cursor where it is, else
 * it stands behind them. Their entries must carry no marks.
 * @context xa_lock; the cursor is at an entry. Empty lowest nodes with xaEmptyLeaf.
 */
export function xasDetachNodes(xas: usize, shift: u32, first: u64, last: u64, nodes: usize, max: u32, gaps: bool): u32 {
  const node = nodeAround(xas, shift);
  if (node == 0) return 0;
  const parent: usize = load32(node + NODE_PARENT);
  const indices = <u64>XA_CHUNK_SIZE << shift;
  let base = xasIndex(xas) & ~(indices - 1);
  if (parent == 0 || base < first) return 0;
  let offset = load32(node + NODE_OFFSET);
  let words: u32 = 0;
  let taken: u32 = 0;
  for (; offset < XA_CHUNK_SIZE && words < max && base + (indices - 1) <= last; offset++) {
    const entry = slotLocked(parent, offset);
    const isNode = xaIsNode(entry);
    if (entry != 0 && !isNode) break;
    if (isNode) {
      slotClear(parent, offset);
      taken++;
    }
    if (isNode || gaps) {
      store32(nodes + (<usize>words << 2), isNode ? <u32>xaToNode(entry) : 0);
      words++;
    }
    base += indices;
  }
  if (taken == 0) return 0;
  nodeAdd(parent, -<i32>taken, 0);
  xasPlace(xas, parent, offset - 1);
  xasDeleteNode(xas);
  xasSet(xas, base);
  return words;
}

/** Makes `xa`, of the caller's own, an array of what is below a node, from index 0 on: for looking things up in a node that has been detached. */
export function xaOfNode(xa: usize, node: usize): void { headPublish(xa, xaMkNode(node)); }

/**
 * Takes the values, of one index each, out of a detached lowest node, to `values` (u32 each, 64 at most), and frees it when its last readers are gone. Returns how many there were.
 * @context the node's owner since it was detached; no lock.
 */
export function xaEmptyLeaf(leaf: usize, values: usize): u32 {
  let count: u32 = 0;
  if (nodeValues(leaf) == XA_CHUNK_SIZE) {
    for (; count < XA_CHUNK_SIZE; count += 4) takeFour(leaf, count, values + (<usize>count << 2));
  } else {
    for (let offset: u32 = 0; offset < XA_CHUNK_SIZE; offset++) {
      const entry = slotLocked(leaf, offset);
      if (!xaIsValue(entry)) continue;
      slotClear(leaf, offset);
      store32(values + (<usize>count << 2), xaToValue(entry));
      count++;
    }
  }
  nodeFree(leaf);
  return count;
}

/** Four values at once, of a leaf that holds nothing else: without a test or a jump for each. */
// @ts-ignore: decorator
@inline
function takeFour(leaf: usize, offset: u32, values: usize): void {
  const a = slotLocked(leaf, offset);
  const b = slotLocked(leaf, offset + 1);
  const c = slotLocked(leaf, offset + 2);
  const d = slotLocked(leaf, offset + 3);
  slotClear(leaf, offset);
  slotClear(leaf, offset + 1);
  slotClear(leaf, offset + 2);
  slotClear(leaf, offset + 3);
  store32(values, xaToValue(a));
  store32(values + 4, xaToValue(b));
  store32(values + 8, xaToValue(c));
  store32(values + 12, xaToValue(d));
}
