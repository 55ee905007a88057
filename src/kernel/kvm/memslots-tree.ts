// The trees of a memslot set: by guest frame number (slots never overlap) and by host virtual address (they may: an interval tree), and a hash by
// slot id. A treap: a search tree whose heap order comes from a hash of the slot id, so that its shape needs no bookkeeping and repeats from run
// to run. kernel: virt/kvm/kvm_main.c kvm_insert_gfn_node(), kvm_replace_memslot() (there rb-trees and an augmented rb-tree).
// A set is changed only while it is inactive, so nothing here is atomic but the pointers through which readers come in.
import {
  NODE_LEFT_SLOT, NODE_RIGHT_SLOT, NODE_SLOT_SIZE, NODE_SUBTREE_LAST, SLOTS_COUNT, SLOTS_GFN_ROOT, SLOTS_HVA_ROOT, SLOTS_ID_BUCKETS, SLOTS_ID_HASH,
  SLOTS_LAST_USED, SLOTS_NODE_INDEX, SLOT_BASE_GFN, SLOT_GFN_NODE, SLOT_HVA_NODE, SLOT_ID, SLOT_ID_NODE, SLOT_NPAGES, SLOT_PRIORITY,
  SLOT_USERSPACE_ADDR,
} from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { atomicLoad32, atomicLoadNear32, atomicStore32, load32, load64, loadStatic64, store32, store64 } from '../point';

/** Largest value of the key that the slot covers: its last gfn, or the last byte of its host range. */
// @ts-ignore: decorator
@inline
function slotLast(slot: usize, byHva: bool): u64 {
  return byHva
    ? load64(slot + SLOT_USERSPACE_ADDR) + (load64(slot + SLOT_NPAGES) << PAGE_SHIFT) - 1
    : load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_NPAGES) - 1;
}

/** Order of the tree: by key, equal host addresses by slot id. */
function slotBefore(a: usize, b: usize, byHva: bool): bool {
  const key: usize = byHva ? SLOT_USERSPACE_ADDR : SLOT_BASE_GFN;
  const ka = load64(a + key);
  const kb = load64(b + key);
  return ka < kb || (ka == kb && load32(a + SLOT_ID) < load32(b + SLOT_ID));
}

// @ts-ignore: decorator
@inline
function subtreeLast(slot: usize, node: usize): u64 {
  return slot == 0 ? 0 : load64(slot + node + NODE_SUBTREE_LAST);
}

function updateNode(slot: usize, node: usize, byHva: bool): void {
  const children = max<u64>(subtreeLast(load32(slot + node + NODE_LEFT_SLOT), node), subtreeLast(load32(slot + node + NODE_RIGHT_SLOT), node));
  store64(slot + node + NODE_SUBTREE_LAST, max<u64>(slotLast(slot, byHva), children));
}

/** Inserts `slot` into the subtree at `root`; returns its new root. Recursion is as deep as the tree, about 2 log n. */
function treeInsert(root: usize, slot: usize, node: usize, byHva: bool): usize {
  if (root == 0) {
    store32(slot + node + NODE_LEFT_SLOT, 0);
    store32(slot + node + NODE_RIGHT_SLOT, 0);
    updateNode(slot, node, byHva);
    return slot;
  }
  const goLeft = slotBefore(slot, root, byHva);
  const near: usize = node + (goLeft ? NODE_LEFT_SLOT : NODE_RIGHT_SLOT);
  const child = treeInsert(load32(root + near), slot, node, byHva);
  if (load32(child + SLOT_PRIORITY) <= load32(root + SLOT_PRIORITY)) {
    store32(root + near, <u32>child);
    updateNode(root, node, byHva);
    return root;
  }
  // Rotate the child above its parent.
  const far: usize = node + (goLeft ? NODE_RIGHT_SLOT : NODE_LEFT_SLOT);
  store32(root + near, load32(child + far));
  updateNode(root, node, byHva);
  store32(child + far, <u32>root);
  updateNode(child, node, byHva);
  return child;
}

/** Joins two subtrees, all of `a` before all of `b`. */
function treeMerge(a: usize, b: usize, node: usize, byHva: bool): usize {
  if (a == 0) return b;
  if (b == 0) return a;
  if (load32(a + SLOT_PRIORITY) > load32(b + SLOT_PRIORITY)) {
    store32(a + node + NODE_RIGHT_SLOT, <u32>treeMerge(load32(a + node + NODE_RIGHT_SLOT), b, node, byHva));
    updateNode(a, node, byHva);
    return a;
  }
  store32(b + node + NODE_LEFT_SLOT, <u32>treeMerge(a, load32(b + node + NODE_LEFT_SLOT), node, byHva));
  updateNode(b, node, byHva);
  return b;
}

function treeRemove(root: usize, slot: usize, node: usize, byHva: bool): usize {
  if (root == slot) return treeMerge(load32(root + node + NODE_LEFT_SLOT), load32(root + node + NODE_RIGHT_SLOT), node, byHva);
  const near: usize = root + node + (slotBefore(slot, root, byHva) ? NODE_LEFT_SLOT : NODE_RIGHT_SLOT);
  store32(near, <u32>treeRemove(load32(near), slot, node, byHva));
  updateNode(root, node, byHva);
  return root;
}

/** Offset in a slot of the node that links it into this set's tree by base_gfn. */
// @ts-ignore: decorator
@inline
export function gfnNode(slots: usize): usize { return <usize>load32(slots + SLOTS_NODE_INDEX) * NODE_SLOT_SIZE + SLOT_GFN_NODE; }
/** The same of the tree by userspace_addr. */
// @ts-ignore: decorator
@inline
export function hvaNode(slots: usize): usize { return <usize>load32(slots + SLOTS_NODE_INDEX) * NODE_SLOT_SIZE + SLOT_HVA_NODE; }
// @ts-ignore: decorator
@inline
function idNode(slots: usize): usize { return <usize>load32(slots + SLOTS_NODE_INDEX) * 4 + SLOT_ID_NODE; }
// @ts-ignore: decorator
@inline
function bucketOf(slots: usize, id: u32): usize { return slots + SLOTS_ID_HASH + <usize>(id % SLOTS_ID_BUCKETS) * 4; }

/** Heap order of a slot in the trees: a mix of its id (murmur3's finaliser). */
export function slotPriority(id: u32): u32 {
  let h = id + 1;
  h = (h ^ (h >>> 16)) * 0x85ebca6b;
  h = (h ^ (h >>> 13)) * 0xc2b2ae35;
  return h ^ (h >>> 16);
}

/**
 * Takes `old` (0: none) out of the set and puts `slot` (0: none) in.
 * @context slots_lock and slots_arch_lock held; the set is inactive and its last readers are gone. kernel: kvm_replace_memslot().
 */
export function slotsReplace(slots: usize, old: usize, slot: usize): void {
  const gfn = gfnNode(slots);
  const hva = hvaNode(slots);
  if (old != 0) {
    store32(slots + SLOTS_GFN_ROOT, <u32>treeRemove(load32(slots + SLOTS_GFN_ROOT), old, gfn, false));
    store32(slots + SLOTS_HVA_ROOT, <u32>treeRemove(load32(slots + SLOTS_HVA_ROOT), old, hva, true));
    unhash(slots, old);
    store32(slots + SLOTS_COUNT, load32(slots + SLOTS_COUNT) - 1);
    if (atomicLoad32(slots + SLOTS_LAST_USED) == <u32>old) atomicStore32(slots + SLOTS_LAST_USED, <u32>slot);
  }
  if (slot == 0) return;
  store32(slots + SLOTS_GFN_ROOT, <u32>treeInsert(load32(slots + SLOTS_GFN_ROOT), slot, gfn, false));
  store32(slots + SLOTS_HVA_ROOT, <u32>treeInsert(load32(slots + SLOTS_HVA_ROOT), slot, hva, true));
  const bucket = bucketOf(slots, load32(slot + SLOT_ID));
  store32(slot + idNode(slots), load32(bucket));
  store32(bucket, <u32>slot);
  store32(slots + SLOTS_COUNT, load32(slots + SLOTS_COUNT) + 1);
}

function unhash(slots: usize, slot: usize): void {
  const next = idNode(slots);
  let link = bucketOf(slots, load32(slot + SLOT_ID));
  while (load32(link) != <u32>slot) link = <usize>load32(link) + next;
  store32(link, load32(slot + next));
}

/** The slot with this id, or 0. @context kvm->srcu or slots_lock. kernel: id_to_memslot(). */
export function idToMemslot(slots: usize, id: u32): usize {
  const next = idNode(slots);
  let slot: usize = load32(bucketOf(slots, id));
  while (slot != 0 && load32(slot + SLOT_ID) != id) slot = load32(slot + next);
  return slot;
}

/** The slot that holds `gfn`, or 0: the last one found, else down the tree. @context kvm->srcu or slots_lock. kernel: search_memslots(). */
// @ts-ignore: decorator
@inline
export function searchMemslots(slots: usize, gfn: u64): usize {
  const hint: usize = atomicLoadNear32(slots + SLOTS_LAST_USED);
  if (hint != 0 && gfn - load64(hint + SLOT_BASE_GFN) < loadStatic64(hint + SLOT_NPAGES)) return hint;
  return searchTree(slots, gfn);
}

function searchTree(slots: usize, gfn: u64): usize {
  const node = gfnNode(slots);
  let slot: usize = load32(slots + SLOTS_GFN_ROOT);
  while (slot != 0) {
    const base = load64(slot + SLOT_BASE_GFN);
    if (gfn < base) {
      slot = load32(slot + node + NODE_LEFT_SLOT);
    } else if (gfn - base < load64(slot + SLOT_NPAGES)) {
      atomicStore32(slots + SLOTS_LAST_USED, <u32>slot);
      return slot;
    } else {
      slot = load32(slot + node + NODE_RIGHT_SLOT);
    }
  }
  return 0;
}

/**
 * The slot that holds `gfn`, else the next one above it, or 0: step of a walk over [gfn, end).
 * @context kvm->srcu or slots_lock. kernel: kvm_memslot_iter_start().
 */
export function memslotAtOrAbove(slots: usize, gfn: u64): usize {
  const node = gfnNode(slots);
  let found: usize = 0;
  let slot: usize = load32(slots + SLOTS_GFN_ROOT);
  while (slot != 0) {
    const last = load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_NPAGES) - 1;
    if (last >= gfn) {
      found = slot;
      slot = load32(slot + node + NODE_LEFT_SLOT);
    } else {
      slot = load32(slot + node + NODE_RIGHT_SLOT);
    }
  }
  return found;
}
