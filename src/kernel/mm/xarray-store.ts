// Storing into the XArray: growing the tree to reach an index, replacing what is there, and giving back nodes that became empty. Every
// change is one atomic store of a slot or of the head, so that readers without the lock see the tree before or after it.
// kernel: lib/xarray.c xas_create, xas_store, xas_expand, xas_shrink, xas_delete_node, xas_free_nodes, xas_create_range.
import { ENOMEM } from '../abi/errno';
import { atomicStore32, load32, loadStatic32, loadStatic64, store32, store64 } from '../point';
import {
  COUNT_MARKED, COUNT_MASK, COUNT_ONE, COUNT_VALUE, headLocked, headMaxIndex, headPublish, marksPublish, nodeAdd, nodeAlloc, nodeCount, nodeFree,
  NODE_COUNTS, NODE_OFFSET, NODE_PARENT, nodeShift, slotLocked, slotOf, slotClear, slotPublish, ULONG_MAX, XA_CHUNK_MASK, XA_CHUNK_SHIFT, XA_CHUNK_SIZE,
  XA_MARKS, XA_MAX_MARKS, XA_RETRY_ENTRY, XA_ZERO_ENTRY, xaIsInternal, xaIsNode, xaIsSibling, xaIsValue, xaMkNode, xaMkSibling, xaToNode,
} from './xarray-node';
import {
  XAS_BOUNDS, XAS_HEAD, XAS_INDEX, XAS_LEAF, XAS_NODE, XAS_SHIFT, XAS_SIBS, XAS_XA, xasDescend, xasInvalid, xasLeave, xasLoad, xasOffset,
  xasPlace, xasSetError,
} from './xarray-cursor';
import { xasInitMarks, xasSquashMarks } from './xarray-marks';

/**
 * The index the tree must reach for this store. A block that starts at 0 must not fill the top node's whole range, else its only slot
 * would be the head, which stands for index 0 alone: one index more makes the tree a level taller. (The block of all 2^64 indices
 * has no such index; it is 16 slots of the tallest node.)
 */
function xasMax(xas: usize): u64 {
  const index = loadStatic64(xas + XAS_INDEX);
  const shift = loadStatic32(xas + XAS_SHIFT);
  const sibs = loadStatic32(xas + XAS_SIBS);
  if ((shift | sibs) == 0) return index;
  const mask = (<u64>(sibs + 1) << <u64>shift) - 1;
  const last = index | mask;
  return last == mask && last != ULONG_MAX ? last + 1 : last;
}

/**
 * Puts nodes above the head until the tree reaches the store's last index. Returns the shift above the tree's top slot, or -1 when out
 * of memory (the cursor then holds the error; the tree stays right, it may be a level taller than needed).
 * @context xa_lock.
 */
function xasExpand(xas: usize): i32 {
  const xa: usize = loadStatic32(xas + XAS_XA);
  const max = xasMax(xas);
  let head = headLocked(xa);
  let shift: u32 = 0;
  if (head == 0) {
    if (max == 0) return 0;
    while (max >> <u64>shift >= 64) shift += XA_CHUNK_SHIFT;
    return <i32>(shift + XA_CHUNK_SHIFT);
  }
  if (xaIsNode(head)) shift = nodeShift(xaToNode(head)) + XA_CHUNK_SHIFT;
  while (max > headMaxIndex(head)) {
    const node = nodeAlloc(xa, 0, 0, shift);
    if (node == 0) {
      xasSetError(xas, -ENOMEM);
      return -1;
    }
    nodeAdd(node, 1, xaIsValue(head) ? 1 : 0);
    slotPublish(node, 0, head);
    const marks = load32(xa + XA_MARKS);
    if (marks != 0) store32(node + NODE_COUNTS, load32(node + NODE_COUNTS) | COUNT_MARKED);
    for (let mark: u32 = 0; mark < XA_MAX_MARKS; mark++) marksPublish(node, mark, marks >> mark & 1);
    if (xaIsNode(head)) atomicStore32(xaToNode(head) + NODE_PARENT, <u32>node);
    head = xaMkNode(node);
    headPublish(xa, head);
    shift += XA_CHUNK_SHIFT;
  }
  return <i32>shift;
}

/** Makes the child node for the cursor's slot (or for the head) and hangs it in. 0: out of memory, error set. @context xa_lock. */
function addChild(xas: usize, parent: usize, shift: u32): usize {
  const xa: usize = loadStatic32(xas + XAS_XA);
  const offset: u32 = parent == 0 ? 0 : xasOffset(xas);
  const node = nodeAlloc(xa, parent, offset, shift);
  if (node == 0) {
    // Nothing was stored: a node that was made for this store alone must not stay behind empty.
    if (parent != 0 && nodeCount(parent) == 0) xasDeleteNode(xas);
    xasSetError(xas, -ENOMEM);
    return 0;
  }
  if (parent == 0) {
    headPublish(xa, xaMkNode(node));
  } else {
    nodeAdd(parent, 1, 0);
    slotPublish(parent, offset, xaMkNode(node));
  }
  return node;
}

/**
 * Makes the path to the cursor's index, down to its shift, and returns the entry there. Stops early at an entry that is not a node: a
 * larger entry is replaced as a whole. `allowRoot`: the entry may be kept in the head.
 * @context xa_lock. kernel: xas_create.
 */
export function xasCreate(xas: usize, allowRoot: bool): u32 {
  const order = loadStatic32(xas + XAS_SHIFT);
  let node: usize = loadStatic32(xas + XAS_NODE);
  let entry: u32;
  let shift: u32;
  if (xasInvalid(<u32>node) && (<u32>node & ~2) != XAS_BOUNDS) return 0; // an error sticks
  if (xasInvalid(<u32>node) || node == 0) {
    xasLeave(xas, XAS_HEAD);
    node = 0;
    const grown = xasExpand(xas);
    if (grown < 0) return 0;
    shift = <u32>grown;
    if (shift == 0 && !allowRoot) shift = XA_CHUNK_SHIFT;
    entry = headLocked(loadStatic32(xas + XAS_XA));
  } else {
    shift = nodeShift(node);
    entry = slotLocked(node, xasOffset(xas));
  }
  while (shift > order) {
    shift -= XA_CHUNK_SHIFT;
    if (entry == 0) {
      node = addChild(xas, node, shift);
      if (node == 0) return 0;
    } else if (xaIsNode(entry)) {
      node = xaToNode(entry);
    } else {
      break;
    }
    entry = xasDescend(xas, node);
  }
  return entry;
}

/** Takes a subtree that is no longer reachable apart. Readers still inside meet RETRY and start again. @context xa_lock. */
export function freeNodes(top: usize): void {
  let node = top;
  let offset: u32 = 0;
  while (true) {
    const entry = slotLocked(node, offset);
    if (nodeShift(node) != 0 && xaIsNode(entry)) {
      node = xaToNode(entry);
      offset = 0;
      continue;
    }
    if (entry != 0) slotPublish(node, offset, XA_RETRY_ENTRY);
    offset++;
    while (offset == XA_CHUNK_SIZE) {
      const parent: usize = load32(node + NODE_PARENT);
      offset = load32(node + NODE_OFFSET) + 1;
      const done = node == top;
      nodeFree(node);
      if (done) return;
      node = parent;
    }
  }
}

/**
 * Lowers the tree while the top node holds nothing but its slot 0. An entry that moves into the head leaves RETRY behind: a reader
 * that is still in the node would otherwise miss later changes.
 * @context xa_lock. A reserved (ZERO) entry stays in its node, as it was never allowed into the head.
 */
function xasShrink(xas: usize): void {
  const xa: usize = loadStatic32(xas + XAS_XA);
  let node = xaToNode(headLocked(xa));
  while (nodeCount(node) == 1) {
    const entry = slotLocked(node, 0);
    if (entry == 0 || entry == XA_ZERO_ENTRY) break;
    const child = xaIsNode(entry);
    if (!child && nodeShift(node) != 0) break; // a multi-index entry does not fit the head
    xasLeave(xas, XAS_BOUNDS);
    if (child) atomicStore32(xaToNode(entry) + NODE_PARENT, 0);
    headPublish(xa, entry);
    if (!child) slotPublish(node, 0, XA_RETRY_ENTRY);
    nodeFree(node);
    if (!child) break;
    node = xaToNode(entry);
  }
}

/** Gives back the cursor's node if it is empty, and the nodes above that get empty by this. @context xa_lock. kernel: xas_delete_node. */
export function xasDeleteNode(xas: usize): void {
  let node: usize = loadStatic32(xas + XAS_NODE);
  while (nodeCount(node) == 0) {
    const parent: usize = load32(node + NODE_PARENT);
    const offset = load32(node + NODE_OFFSET);
    if (parent == 0) {
      xasLeave(xas, XAS_BOUNDS);
      headPublish(loadStatic32(xas + XAS_XA), 0);
      nodeFree(node);
      return;
    }
    xasPlace(xas, parent, offset);
    slotClear(parent, offset);
    nodeAdd(parent, -1, 0);
    nodeFree(node);
    node = parent;
  }
  if (load32(node + NODE_PARENT) == 0) xasShrink(xas);
}

/** @context xa_lock. */
function storeSlow(xas: usize, entry: u32): u32 {
  const old = entry != 0 ? xasCreate(xas, !xaIsNode(entry) && entry != XA_ZERO_ENTRY) : xasLoad(xas);
  const node: usize = loadStatic32(xas + XAS_NODE);
  if (xasInvalid(<u32>node)) return old;
  if (node != 0 && loadStatic32(xas + XAS_SHIFT) < nodeShift(node)) store32(xas + XAS_SIBS, 0);
  const sibs = loadStatic32(xas + XAS_SIBS);
  if (old == entry && sibs == 0) return old;
  if (node == 0) {
    if (entry == 0) xasInitMarks(xas);
    headPublish(loadStatic32(xas + XAS_XA), entry);
    if (xaIsNode(old)) freeNodes(xaToNode(old));
    return old;
  }
  if (sibs != 0) {
    xasSquashMarks(node, xasOffset(xas), sibs);
  }
  if (entry == 0) eraseSlots(xas, node, old);
  else fillSlots(xas, node, entry, old);
  return old;
}

/** Writes the canonical slot and its siblings. @context xa_lock; the cursor is in `node`. */
function fillSlots(xas: usize, node: usize, entry: u32, old: u32): void {
  let offset = xasOffset(xas);
  const last = offset + loadStatic32(xas + XAS_SIBS);
  const sibling = xaMkSibling(offset);
  const value: i32 = xaIsValue(entry) ? 1 : 0;
  let filled: i32 = 0;
  let values: i32 = 0;
  let owner = old; // the old entry that the slot belongs to, by itself or as a sibling
  let seen = old;
  slotPublish(node, offset, entry);
  while (true) {
    if (xaIsNode(seen) && nodeShift(node) != 0) freeNodes(xaToNode(seen));
    if (seen == 0) filled++;
    values += value - (xaIsValue(owner) ? 1 : 0);
    if (offset == last) break;
    seen = slotLocked(node, ++offset);
    if (!xaIsSibling(seen)) owner = seen;
    slotPublish(node, offset, sibling);
  }
  // What is left of the last old entry takes the new value too, through its siblings.
  const change = value - (xaIsValue(owner) ? 1 : 0);
  if (change != 0) {
    while (++offset < XA_CHUNK_SIZE && xaIsSibling(slotLocked(node, offset))) values += change;
  }
  nodeAdd(node, filled, values);
}

/** Clears the block's slots and the rest of the last entry it touches. @context xa_lock; the cursor is in `node`. */
function eraseSlots(xas: usize, node: usize, old: u32): void {
  let offset = xasOffset(xas);
  const last = offset + loadStatic32(xas + XAS_SIBS);
  let cleared: i32 = 0;
  let values: i32 = 0;
  let owner = old;
  let seen = old;
  xasInitMarks(xas);
  while (true) {
    if (seen != 0) slotClear(node, offset);
    if (xaIsNode(seen) && nodeShift(node) != 0) freeNodes(xaToNode(seen));
    if (seen != 0) cleared++;
    if (xaIsValue(owner)) values++;
    if (offset == XA_CHUNK_MASK) break;
    seen = slotLocked(node, ++offset);
    if (!xaIsSibling(seen)) {
      if (offset > last) break;
      owner = seen;
    }
  }
  nodeAdd(node, -cleared, -values);
  if (cleared != 0) xasDeleteNode(xas);
}

/** Whether the slot behind is a sibling: then an entry at `offset` of a lowest node owns several slots. @context xa_lock. */
// @ts-ignore: decorator
@inline
function continues(leaf: usize, offset: u32): bool {
  return offset != XA_CHUNK_MASK && xaIsSibling(slotLocked(leaf, offset + 1));
}

/**
 * xasStore of NULL, inlined for what truncation does to every page: a single entry of a lowest node that has other entries and no marks. One
 * atomic store; all else takes the general way.
 * @context xa_lock; the cursor is set to a single index.
 */
// @ts-ignore: decorator
@inline
export function xasStoreNull(xas: usize): u32 {
  const leaf: usize = loadStatic32(xas + XAS_LEAF);
  if (leaf != 0) {
    const offset = slotOf(loadStatic64(xas + XAS_INDEX), 0);
    const entry = slotLocked(leaf, offset);
    const counts = load32(leaf + NODE_COUNTS);
    // Two left in the top node: the other one may have to move into the head.
    const plenty = (counts & (COUNT_MARKED | COUNT_MASK)) - 3 <= XA_CHUNK_SIZE - 3;
    if (plenty && entry != 0 && !xaIsInternal(entry) && !continues(leaf, offset)) {
      slotClear(leaf, offset);
      store32(leaf + NODE_COUNTS, counts - COUNT_ONE - (entry & 1) * COUNT_VALUE);
      return entry;
    }
  }
  return storeSlow(xas, 0);
}

/** The same for an entry: a single slot of a lowest node, empty or with a single entry in it. @context xa_lock. */
// @ts-ignore: decorator
@inline
function storeLeaf(xas: usize, leaf: usize, entry: u32): u32 {
  const offset = slotOf(loadStatic64(xas + XAS_INDEX), 0);
  const old = slotLocked(leaf, offset);
  if (xaIsInternal(old) || xaIsInternal(entry) || continues(leaf, offset)) return storeSlow(xas, entry);
  slotPublish(leaf, offset, entry);
  nodeAdd(leaf, old == 0 ? 1 : 0, <i32>(entry & 1) - <i32>(old & 1));
  return old;
}

/**
 * Stores `entry` (NULL erases) at the cursor's index or block and returns the entry that was there. Memory errors: see xasError.
 * The cursor stays at the entry. A smaller store into a larger entry replaces the whole of it; NULL erases whole entries.
 * @context xa_lock. kernel: xas_store.
 */
export function xasStore(xas: usize, entry: u32): u32 {
  if (loadStatic32(xas + XAS_SIBS) != 0) return storeSlow(xas, entry);
  if (entry == 0) return xasStoreNull(xas);
  const leaf: usize = loadStatic32(xas + XAS_LEAF);
  return leaf != 0 ? storeLeaf(xas, leaf, entry) : storeSlow(xas, entry);
}

/**
 * Makes the nodes for all of [index, last] without storing anything, so that later stores need no memory. Nodes that stay empty are
 * given back with the next erasure near them, or by xaDestroy.
 * @context xa_lock. Returns 0 or -ENOMEM. kernel: xas_create_range.
 */
export function xasCreateRange(xas: usize, last: u64): i32 {
  let index = loadStatic64(xas + XAS_INDEX) & ~(<u64>XA_CHUNK_MASK);
  last |= <u64>XA_CHUNK_MASK; // even the range [0, 0] gets a node
  while (true) {
    store64(xas + XAS_INDEX, index | <u64>XA_CHUNK_MASK);
    xasLeave(xas, XAS_BOUNDS);
    store32(xas + XAS_SHIFT, 0);
    xasCreate(xas, true);
    const node = loadStatic32(xas + XAS_NODE);
    if (xasInvalid(node)) return -ENOMEM;
    index += XA_CHUNK_SIZE;
    if (index == 0 || index > last) return 0;
  }
}
