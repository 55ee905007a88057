// The XArray cursor (xas): a position in the tree that survives from one step to the next, so that sequential work costs one slot
// access instead of a walk from the head. It lives on the task's private stack: `const xas = stackPush(XAS_SIZE)`.
// kernel: include/linux/xarray.h struct xa_state, lib/xarray.c xas_load, xas_pause, xas_next, xas_prev.
import { loadStatic32, loadStatic64, store32, store64 } from '../point';
import {
  headLoad, nodeShift, slotIndex, slotLoad, slotOf, xaErr, xaIsNode, xaIsSibling, xaMkErr, xaToNode, xaToSibling, XA_CHUNK_MASK,
  XA_CHUNK_SIZE, XA_RETRY_ENTRY, XA_ZERO_ENTRY,
} from './xarray-node';

// struct xa_state: private to the task.
export const XAS_XA: usize = 0; // u32: the array
export const XAS_NODE: usize = 4; // u32: address of the node it is in, or one of the states below
export const XAS_OFFSET: usize = 8; // u32: slot in that node (the canonical one of a multi-index entry)
export const XAS_SHIFT: usize = 12; // u32: shift of the entry to store, 0 for a single index
export const XAS_SIBS: usize = 16; // u32: siblings behind the entry to store
export const XAS_LEAF: usize = 20; // u32: XAS_NODE again, when it is a lowest node and the index is in its own slot: XAS_OFFSET is then stale
export const XAS_INDEX: usize = 24; // u64: the index it stands at
export const XAS_SIZE: usize = 32;

// XAS_NODE when it is not a node (node addresses end in 00):
//   0    at the head: the array holds at most the entry of index 0
//   1    BOUNDS: walked off the end of the tree
//   3    RESTART: walk from the head at the next step
//   ..10 an error, encoded as xaMkErr does; sticks until the cursor is set again
export const XAS_HEAD: u32 = 0;
export const XAS_BOUNDS: u32 = 1;
export const XAS_RESTART: u32 = 3;

/** Puts the cursor at a slot. */
// @ts-ignore: decorator
@inline
export function xasPlace(xas: usize, node: usize, offset: u32): void {
  store32(xas + XAS_NODE, <u32>node);
  store32(xas + XAS_OFFSET, offset);
  store32(xas + XAS_LEAF, 0);
}

/** Takes the cursor out of the tree: HEAD, BOUNDS, RESTART or an error. */
// @ts-ignore: decorator
@inline
export function xasLeave(xas: usize, state: u32): void {
  store32(xas + XAS_NODE, state);
  store32(xas + XAS_LEAF, 0);
}

/** Slot of the cursor in its node. */
// @ts-ignore: decorator
@inline
export function xasOffset(xas: usize): u32 {
  return loadStatic32(xas + XAS_LEAF) != 0 ? slotOf(loadStatic64(xas + XAS_INDEX), 0) : loadStatic32(xas + XAS_OFFSET);
}

/** Stands at `index`, nothing walked yet, single-index stores. */
export function xasInit(xas: usize, xa: usize, index: u64): void {
  store32(xas + XAS_XA, <u32>xa);
  xasSet(xas, index);
}

/** Moves to any other index of the same array; clears an error. */
export function xasSet(xas: usize, index: u64): void {
  store64(xas + XAS_INDEX, index);
  xasLeave(xas, XAS_RESTART);
  store32(xas + XAS_SHIFT, 0);
  store32(xas + XAS_SIBS, 0);
}

/** Stands at the aligned block of 2^order indices around `index`; stores fill the whole block. Orders 0..63. */
export function xasSetOrder(xas: usize, index: u64, order: u32): void {
  xasSet(xas, (index >> <u64>order) << <u64>order);
  store32(xas + XAS_SHIFT, order - order % 6);
  store32(xas + XAS_SIBS, (<u32>1 << (order % 6)) - 1);
}

/** Forgets the walk but not the index: the next step starts from the head. */
// @ts-ignore: decorator
@inline
export function xasReset(xas: usize): void { xasLeave(xas, XAS_RESTART); }
/** Index the cursor stands at. */
// @ts-ignore: decorator
@inline
export function xasIndex(xas: usize): u64 { return loadStatic64(xas + XAS_INDEX); }
/** The negative errno that a step ran into, or 0. */
// @ts-ignore: decorator
@inline
export function xasError(xas: usize): i32 { return xaErr(loadStatic32(xas + XAS_NODE)); }
/** Leaves the tree with a negative errno: all steps do nothing from now on. kernel: xas_set_err(). */
export function xasSetError(xas: usize, error: i32): void { xasLeave(xas, xaMkErr(error)); }
/** Whether the cursor has no position: off the end, to be restarted, or in error. */
// @ts-ignore: decorator
@inline
export function xasInvalid(node: u32): bool { return (node & 3) != 0; }
/** Whether the cursor stands in a real node. */
// @ts-ignore: decorator
@inline
export function xasInNode(node: u32): bool { return node != 0 && (node & 3) == 0; }

/** Whether `entry` is none of the user's: ZERO is to be skipped, after RETRY the walk starts again. */
// @ts-ignore: decorator
@inline
export function xasRetry(xas: usize, entry: u32): bool {
  if (entry == XA_RETRY_ENTRY) {
    xasReset(xas);
    return true;
  }
  return entry == XA_ZERO_ENTRY;
}

/** Takes the first look: the head, or BOUNDS when the tree is too low for the index. @context rcu_read_lock or xa_lock. */
function xasStart(xas: usize): u32 {
  const index = loadStatic64(xas + XAS_INDEX);
  const head = headLoad(loadStatic32(xas + XAS_XA));
  xasLeave(xas, XAS_HEAD);
  const fits = xaIsNode(head) ? index >> <u64>nodeShift(xaToNode(head)) < 64 : index == 0;
  if (fits) return head;
  store32(xas + XAS_NODE, XAS_BOUNDS);
  return 0;
}

/**
 * Steps into `node`, towards the cursor's index. A sibling leads to its canonical slot, and that again may have become a sibling
 * by now (a wider entry was stored meanwhile), hence the loop. A child node found through a sibling belongs to other indices.
 * @context rcu_read_lock or xa_lock. kernel: xas_descend, with "XArray: Do not return sibling entries from xa_load()".
 */
export function xasDescend(xas: usize, node: usize): u32 {
  const shift = nodeShift(node);
  let offset = slotOf(loadStatic64(xas + XAS_INDEX), shift);
  let entry = slotLoad(node, offset);
  const own = !xaIsSibling(entry);
  while (xaIsSibling(entry)) {
    offset = xaToSibling(entry);
    entry = slotLoad(node, offset);
    if (xaIsNode(entry)) entry = XA_RETRY_ENTRY;
  }
  xasPlace(xas, node, offset);
  if (own && shift == 0) store32(xas + XAS_LEAF, <u32>node);
  return entry;
}

/**
 * Goes to the entry of the cursor's index and returns it: NULL, the user's entry, RETRY or ZERO; a node entry when a larger block was
 * asked for (xasSetOrder) than the nodes that are there. From a position it returns what is there now.
 * @context rcu_read_lock or xa_lock.
 */
export function xasLoad(xas: usize): u32 {
  if (xasError(xas) != 0) return 0;
  let entry = xasInvalid(loadStatic32(xas + XAS_NODE)) ? xasStart(xas) : xasReload(xas);
  const wanted = loadStatic32(xas + XAS_SHIFT);
  while (xaIsNode(entry)) {
    const node = xaToNode(entry);
    const shift = nodeShift(node);
    if (wanted > shift) break;
    entry = xasDescend(xas, node);
    if (shift == 0) break;
  }
  return entry;
}

/** Reads the cursor's slot again, to see whether an entry is still there. @context rcu_read_lock or xa_lock. */
export function xasReload(xas: usize): u32 {
  const node: usize = loadStatic32(xas + XAS_NODE);
  if (node == 0) return headLoad(loadStatic32(xas + XAS_XA));
  let entry = slotLoad(node, xasOffset(xas));
  while (xaIsSibling(entry)) entry = slotLoad(node, xaToSibling(entry));
  return entry;
}

/** Whether the index lies behind the canonical slot's first index, inside a multi-index entry. */
export function xasSibling(xas: usize): bool {
  const node = loadStatic32(xas + XAS_NODE);
  if (!xasInNode(node)) return false;
  const shift = nodeShift(node);
  return loadStatic64(xas + XAS_INDEX) > slotIndex(loadStatic64(xas + XAS_INDEX), shift, xasOffset(xas));
}

/** First slot behind the entry at `offset`: its siblings are skipped. @context rcu_read_lock or xa_lock. */
export function entryEnd(node: usize, offset: u32): u32 {
  let next = offset + 1;
  while (next < XA_CHUNK_SIZE && xaIsSibling(slotLoad(node, next))) next++;
  return next;
}

/**
 * Leaves the tree in the middle of an iteration, so that the lock can be dropped: afterwards the cursor stands behind the entry it was at.
 * @context rcu_read_lock or xa_lock. kernel: xas_pause.
 */
export function xasPause(xas: usize): void {
  const node = loadStatic32(xas + XAS_NODE);
  if (xasInvalid(node)) return;
  const index = loadStatic64(xas + XAS_INDEX);
  let next = index + 1;
  if (node != 0) next = slotIndex(index, nodeShift(node), entryEnd(node, xasOffset(xas)));
  store64(xas + XAS_INDEX, next);
  xasLeave(xas, next <= index ? XAS_BOUNDS : XAS_RESTART);
}

/** Goes one index up (not to the next entry) and returns what is there; wraps from ULONG_MAX to 0. @context rcu_read_lock or xa_lock. */
export function xasNext(xas: usize): u32 {
  return xasMove(xas, 1, XA_CHUNK_MASK);
}

/** Goes one index down and returns what is there; wraps from 0 to ULONG_MAX. @context rcu_read_lock or xa_lock. */
export function xasPrev(xas: usize): u32 {
  return xasMove(xas, -1, 0);
}

// @ts-ignore: decorator
@inline
function xasMove(xas: usize, step: i32, edge: u32): u32 {
  const node = loadStatic32(xas + XAS_NODE);
  if ((node & 2) != 0) return xasLoad(xas); // RESTART or error: the first step loads the index itself
  const index = loadStatic64(xas + XAS_INDEX);
  const leaf: usize = loadStatic32(xas + XAS_LEAF);
  const offset = slotOf(index, 0);
  store64(xas + XAS_INDEX, index + <u64><i64>step);
  if (leaf != 0 && offset != edge) {
    const entry = slotLoad(leaf, offset + <u32>step);
    if (!xaIsSibling(entry)) return entry;
  }
  xasReset(xas);
  return xasLoad(xas);
}
