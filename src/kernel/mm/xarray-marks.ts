// Marks of the XArray: three bits an entry, with a summary bit for each slot of every node above, so that a search for a mark skips whole
// subtrees. kernel: lib/xarray.c xas_set_mark, xas_clear_mark, xas_init_marks, xas_squash_marks.
import { atomicLoad32, atomicStore32, load32, loadStatic32, store32 } from '../point';
import {
  COUNT_MARKED, marksLoad, marksLocked, marksPublish, NODE_COUNTS, nodeHasMarks, NODE_OFFSET, NODE_PARENT, XA_MARKS, XA_MAX_MARKS,
} from './xarray-node';
import { XAS_NODE, XAS_XA, xasInvalid, xasOffset } from './xarray-cursor';

/** All marks in the root's summary. */
const ROOT_MARKS: u32 = (1 << XA_MAX_MARKS) - 1;

/** Whether any entry carries the mark: the root's summary bit. */
// @ts-ignore: decorator
@inline
export function xaMarked(xa: usize, mark: u32): bool {
  return (atomicLoad32(xa + XA_MARKS) >> mark & 1) != 0;
}

/** @context xa_lock. */
export function rootMarkSet(xa: usize, mark: u32): void {
  atomicStore32(xa + XA_MARKS, load32(xa + XA_MARKS) | <u32>1 << mark);
}

/** @context xa_lock. */
export function rootMarkClear(xa: usize, mark: u32): void {
  const marks = load32(xa + XA_MARKS);
  const bit = <u32>1 << mark;
  if ((marks & bit) != 0) atomicStore32(xa + XA_MARKS, marks & ~bit);
}

/** The mark of the entry the cursor is at. @context rcu_read_lock or xa_lock. */
export function xasGetMark(xas: usize, mark: u32): bool {
  const node = loadStatic32(xas + XAS_NODE);
  if (xasInvalid(node)) return false;
  if (node == 0) return xaMarked(loadStatic32(xas + XAS_XA), mark);
  return (marksLoad(node, mark) >> <u64>xasOffset(xas) & 1) != 0;
}

/** Marks the entry the cursor is at, which must not be NULL, and the slots above it. @context xa_lock. */
export function xasSetMark(xas: usize, mark: u32): void {
  let node: usize = loadStatic32(xas + XAS_NODE);
  if (xasInvalid(<u32>node)) return;
  let offset = xasOffset(xas);
  while (node != 0) {
    const bits = marksLocked(node, mark);
    const bit = <u64>1 << <u64>offset;
    if ((bits & bit) != 0) return; // then everything above is set too
    marksPublish(node, mark, bits | bit);
    store32(node + NODE_COUNTS, load32(node + NODE_COUNTS) | COUNT_MARKED);
    offset = load32(node + NODE_OFFSET);
    node = load32(node + NODE_PARENT);
  }
  rootMarkSet(loadStatic32(xas + XAS_XA), mark);
}

/** Clears the mark of the entry the cursor is at, and above it wherever it was the last. @context xa_lock. */
export function xasClearMark(xas: usize, mark: u32): void {
  let node: usize = loadStatic32(xas + XAS_NODE);
  if (xasInvalid(<u32>node)) return;
  let offset = xasOffset(xas);
  while (node != 0) {
    const bits = marksLocked(node, mark);
    const bit = <u64>1 << <u64>offset;
    if ((bits & bit) == 0) return;
    marksPublish(node, mark, bits & ~bit);
    if ((bits & ~bit) != 0) return;
    offset = load32(node + NODE_OFFSET);
    node = load32(node + NODE_PARENT);
  }
  rootMarkClear(loadStatic32(xas + XAS_XA), mark);
}

/** An entry becomes NULL: its marks go. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function xasInitMarks(xas: usize): void {
  const node: usize = loadStatic32(xas + XAS_NODE);
  if (node != 0 ? !nodeHasMarks(node) : (load32(<usize>loadStatic32(xas + XAS_XA) + XA_MARKS) & ROOT_MARKS) == 0) return;
  for (let mark: u32 = 0; mark < XA_MAX_MARKS; mark++) xasClearMark(xas, mark);
}

/**
 * Slots `offset`..`offset + sibs` become one entry: it has every mark that one of them had, and its siblings have none.
 * @context xa_lock; the cursor is in a node.
 */
export function xasSquashMarks(node: usize, offset: u32, sibs: u32): void {
  if (!nodeHasMarks(node)) return;
  const canonical = <u64>1 << <u64>offset;
  const covered = ((<u64>2 << <u64>sibs) - 1) << <u64>offset;
  for (let mark: u32 = 0; mark < XA_MAX_MARKS; mark++) {
    const bits = marksLocked(node, mark);
    if ((bits & covered) != 0) marksPublish(node, mark, (bits & ~covered) | canonical);
  }
}
