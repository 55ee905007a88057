// XArray nodes and entries: what the words of the tree mean. A node has 64 slots and covers 2^(shift+6) indices; the same word
// can be a user's value or pointer, a child node, or one of the tree's own marks, told apart by its two lowest bits.
// kernel: include/linux/xarray.h, lib/xarray.c.
import { kzalloc } from '../heap';
import { atomicLoad32, atomicLoad64, atomicLoadNear32, atomicStore64, loadStatic32, loadStatic64, store32, storeOnce32, storeRelease32 } from '../point';
import { kfreeRcu } from '../sync/rcu';

// --- struct xarray ---
export const XA_LOCK: usize = 0; // spinlock (16 bytes): taken for every modification
export const XA_HEAD: usize = 16; // u32 entry: NULL, the entry of index 0, or the top node; written under xa_lock, read under RCU
export const XA_MARKS: usize = 20; // u32: bit m = some entry carries mark m; written under xa_lock
export const XARRAY_SIZE: usize = 32;

// --- struct xa_node: one cache line of header, four of slots; heap class 384 ---
export const NODE_SHIFT: usize = 0; // u32: index bits below one slot; constant
export const NODE_OFFSET: usize = 4; // u32: slot in the parent; constant (a node that gains a parent is slot 0, as heads are)
export const NODE_COUNTS: usize = 8; // u32, see below; xa_lock
export const NODE_PARENT: usize = 12; // u32: address, 0 for the top; written under xa_lock, read under RCU
export const NODE_XA: usize = 16; // u32: the array; constant
export const NODE_MARKS: usize = 40; // 3 x u64: bit s = slot s is marked, or something below it; written under xa_lock
export const NODE_SLOTS: usize = 64; // 64 x u32 entries; written under xa_lock, read under RCU
export const NODE_SIZE: usize = 320;

// NODE_COUNTS, one word so that the common store changes it once:
//   bits 7:0    count: slots that are not NULL, siblings included
//   bit 8       a mark was set in this node since it was made (it may be clear again)
//   bits 23:16  nr_values: slots whose entry is a value, siblings included
export const COUNT_ONE: u32 = 1;
export const COUNT_MASK: u32 = 0xff;
export const COUNT_MARKED: u32 = 0x100;
export const COUNT_VALUE: u32 = 0x10000;

export const XA_CHUNK_SHIFT: u32 = 6;
export const XA_CHUNK_SIZE: u32 = 64;
export const XA_CHUNK_MASK: u32 = 63;
/** Shift of the tallest top node: index bits 60..63, so only 16 of its slots can be used. */
export const XA_MAX_SHIFT: u32 = 60;
export const ULONG_MAX: u64 = 0xffffffffffffffff;

/** Marks are numbered from 0. */
export const XA_MAX_MARKS: u32 = 3;
/** Filter of the find functions: any entry that is not NULL. */
export const XA_PRESENT: u32 = 8;

// Entry word:
//   bits 1:0   00  pointer (4-aligned); the whole word 0 is NULL
//              x1  value: an integer in bits 31:1
//              10  the tree's own (internal), number in bits 31:2:
//                    0..62    sibling: this slot belongs to the multi-index entry whose canonical slot has that number
//                    256      RETRY: the node is dying, start again from the head
//                    257      ZERO: reserved, reads as NULL
//                    > 1024   address of a child node (nodes are 64-aligned, so number * 4 is the address)
//                    -4095..-1  error: only ever returned, never stored
export const XA_RETRY_ENTRY: u32 = (256 << 2) | 2;
export const XA_ZERO_ENTRY: u32 = (257 << 2) | 2;
const LAST_SIBLING: u32 = 62;
const FIRST_ERROR: u32 = 0xffffc006; // (-4095 << 2) | 2

// @ts-ignore: decorator
@inline
export function xaMkValue(v: u32): u32 { return (v << 1) | 1; }
/** The integer of a value entry. */
// @ts-ignore: decorator
@inline
export function xaToValue(entry: u32): u32 { return entry >> 1; }
// @ts-ignore: decorator
@inline
export function xaIsValue(entry: u32): bool { return (entry & 1) != 0; }
/** Whether an entry is the tree's own. */
// @ts-ignore: decorator
@inline
export function xaIsInternal(entry: u32): bool { return (entry & 3) == 2; }
/** The number of an internal entry; 2^30 or more for the others: one comparison tells both what it is and its range. */
// @ts-ignore: decorator
@inline
function internalNumber(entry: u32): u32 { return rotr<u32>(entry - 2, 2); }
// @ts-ignore: decorator
@inline
export function xaIsNode(entry: u32): bool { return internalNumber(entry) - 1024 < 0x3ffffc00; }
// @ts-ignore: decorator
@inline
export function xaToNode(entry: u32): usize { return <usize>(entry - 2); }
// @ts-ignore: decorator
@inline
export function xaMkNode(node: usize): u32 { return <u32>node | 2; }
// @ts-ignore: decorator
@inline
export function xaIsSibling(entry: u32): bool { return internalNumber(entry) <= LAST_SIBLING; }
// @ts-ignore: decorator
@inline
export function xaMkSibling(offset: u32): u32 { return (offset << 2) | 2; }
// @ts-ignore: decorator
@inline
export function xaToSibling(entry: u32): u32 { return entry >> 2; }
/** Whether a returned entry is an error; xaErr then gives the negative errno. */
// @ts-ignore: decorator
@inline
export function xaIsErr(entry: u32): bool { return (entry & 3) == 2 && entry >= FIRST_ERROR; }
/** The negative errno of an error entry, 0 of all others. */
// @ts-ignore: decorator
@inline
export function xaErr(entry: u32): i32 { return xaIsErr(entry) ? <i32>entry >> 2 : 0; }
/** Encodes a negative errno. */
// @ts-ignore: decorator
@inline
export function xaMkErr(error: i32): u32 { return <u32>(error << 2) | 2; }
/** ZERO reads as NULL for everyone outside the tree. */
// @ts-ignore: decorator
@inline
export function xaZeroToNull(entry: u32): u32 { return entry == XA_ZERO_ENTRY ? 0 : entry; }

/** Address of a slot's word. */
// @ts-ignore: decorator
@inline
export function slotAddress(node: usize, offset: u32): usize { return node + NODE_SLOTS + (<usize>offset << 2); }
/** A slot as a reader sees it. @context rcu_read_lock or xa_lock. */
// @ts-ignore: decorator
@inline
export function slotLoad(node: usize, offset: u32): u32 { return atomicLoad32(slotAddress(node, offset)); }
/** A slot as its only writer sees it. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function slotLocked(node: usize, offset: u32): u32 { return loadStatic32(slotAddress(node, offset)); }
/** Publishes an entry: everything written to a new node before is visible to who finds it here. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function slotPublish(node: usize, offset: u32, entry: u32): void { storeRelease32(slotAddress(node, offset), entry); }

/** Erases an entry. Nothing hangs on a NULL, so nothing has to be visible before it. @context xa_lock. kernel: RCU_INIT_POINTER(slot, NULL). */
// @ts-ignore: decorator
@inline
export function slotClear(node: usize, offset: u32): void { storeOnce32(slotAddress(node, offset), 0); }

/** The head as a reader sees it. @context rcu_read_lock or xa_lock. */
// @ts-ignore: decorator
@inline
export function headLoad(xa: usize): u32 { return atomicLoadNear32(xa + XA_HEAD); }
/** The head as its only writer sees it. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function headLocked(xa: usize): u32 { return loadStatic32(xa + XA_HEAD); }
/** Publishes the head, as slotPublish does a slot. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function headPublish(xa: usize, entry: u32): void { storeRelease32(xa + XA_HEAD, entry); }

/** How far an index is shifted right to give a slot of this node; fixed. */
// @ts-ignore: decorator
@inline
export function nodeShift(node: usize): u32 { return loadStatic32(node + NODE_SHIFT); }
/** Number of the slot that leads to `index` in a node of this shift. */
// @ts-ignore: decorator
@inline
export function slotOf(index: u64, shift: u32): u32 { return <u32>(index >> <u64>shift) & XA_CHUNK_MASK; }
/** First index of slot `offset` in the node of this shift that covers `index`; slot 64 is the first index behind the node. */
// @ts-ignore: decorator
@inline
export function slotIndex(index: u64, shift: u32, offset: u32): u64 {
  return (index & ~((<u64>64 << <u64>shift) - 1)) + (<u64>offset << <u64>shift);
}
/** Last index that the tree below `head` has room for: without a node that is index 0 alone. */
export function headMaxIndex(head: u32): u64 {
  if (!xaIsNode(head)) return 0;
  const shift = nodeShift(xaToNode(head));
  return shift >= XA_MAX_SHIFT ? ULONG_MAX : (<u64>64 << <u64>shift) - 1;
}

/** A fresh node, not yet reachable; 0 when out of memory. @context xa_lock; takes the heap lock at most. */
export function nodeAlloc(xa: usize, parent: usize, offset: u32, shift: u32): usize {
  const node = kzalloc(NODE_SIZE);
  if (node == 0) return 0;
  store32(node + NODE_SHIFT, shift);
  store32(node + NODE_OFFSET, offset);
  store32(node + NODE_PARENT, <u32>parent);
  store32(node + NODE_XA, <u32>xa);
  return node;
}

/**
 * Frees a node when no reader can be inside it any more.
 * @context xa_lock; the node must be unreachable already, else the grace period could end before a new reader enters it.
 */
export function nodeFree(node: usize): void {
  store32(node + NODE_COUNTS, 0);
  kfreeRcu(node, NODE_SIZE);
}

/** Address of a node's 64 bits of a mark. */
// @ts-ignore: decorator
@inline
export function markWord(node: usize, mark: u32): usize { return node + NODE_MARKS + (<usize>mark << 3); }
/** The mark bits of a node as a reader sees them. @context rcu_read_lock or xa_lock. */
// @ts-ignore: decorator
@inline
export function marksLoad(node: usize, mark: u32): u64 { return atomicLoad64(markWord(node, mark)); }
/** The mark bits as their only writer sees them. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function marksLocked(node: usize, mark: u32): u64 { return loadStatic64(markWord(node, mark)); }
/** Changes the mark bits, seen by readers at once. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function marksPublish(node: usize, mark: u32, bits: u64): void { atomicStore64(markWord(node, mark), bits); }
/** Whether a slot may carry a mark: lets the common store skip them all. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function nodeHasMarks(node: usize): bool { return (loadStatic32(node + NODE_COUNTS) & COUNT_MARKED) != 0; }
/** Slots in use. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function nodeCount(node: usize): u32 { return loadStatic32(node + NODE_COUNTS) & COUNT_MASK; }
/** Slots whose entry is a value. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function nodeValues(node: usize): u32 { return loadStatic32(node + NODE_COUNTS) >> 16; }
/** Adds to count and nr_values. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function nodeAdd(node: usize, slots: i32, values: i32): void {
  store32(node + NODE_COUNTS, loadStatic32(node + NODE_COUNTS) + <u32>slots + <u32>values * COUNT_VALUE);
}
