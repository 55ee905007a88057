// The XArray of the JavaScript cycle: 64-slot nodes, value entries (v << 1 | 1), child nodes (word offset << 2 | 2), siblings of multi-index entries as
// (slot << 2 | 2) with slot below 63. Look-ups without a lock, changes under xa_lock. As src/kernel/mm/xarray*.ts.
import { allocate, kfreeRcu, lock, never, rcuReadLock, rcuReadUnlock, unlock, w } from './memory.js';

/** Words of an array: lock and owner, head. */
const HEAD = 4;
export const XARRAY_WORDS = 8;
// Words of a node: shift, offset in the parent, count, parent; then 64 slots.
const SHIFT = 0;
const OFFSET = 1;
const COUNT = 2;
const PARENT = 3;
const SLOTS = 16;
const NODE_WORDS = 80;
const FIRST_NODE = 1024;

const free: number[] = [];

function nodeNew(shift: number, parent: number, offset: number): number {
  const node = free.pop() ?? allocate(NODE_WORDS);
  w.fill(0, node, node + NODE_WORDS);
  w[node + SHIFT] = shift;
  w[node + OFFSET] = offset;
  w[node + PARENT] = parent;
  return node;
}

const isNode = (entry: number): boolean => (entry & 3) === 2 && entry >>> 2 >= FIRST_NODE;
const isSibling = (entry: number): boolean => (entry & 3) === 2 && entry >>> 2 < 63;
export const toValue = (entry: number): number => entry >>> 1;

/** The entry at an index, 0 for none. Takes an RCU section. */
export function xaLoad(xa: number, index: number): number {
  rcuReadLock();
  const slot = slotOf(xa, index);
  const entry = slot < 0 ? 0 : Atomics.load(w, slot);
  rcuReadUnlock();
  return entry;
}

/** Word of the slot that stands for an index, -1 where the tree has none. Inside an RCU section. */
export function slotOf(xa: number, index: number): number {
  let slot = xa + HEAD;
  let entry = Atomics.load(w, slot);
  if (!isNode(entry)) return index === 0 ? slot : -1;
  let shift = w[(entry >>> 2) + SHIFT]!;
  if (index >>> shift >= 64) return -1;
  while (isNode(entry)) {
    const node = entry >>> 2;
    slot = node + SLOTS + ((index >>> shift) & 63);
    entry = Atomics.load(w, slot);
    while (isSibling(entry)) {
      slot = node + SLOTS + (entry >>> 2);
      entry = Atomics.load(w, slot);
    }
    shift -= 6;
  }
  return slot;
}

export function xaLock(xa: number): void {
  lock(xa);
}

export function xaUnlock(xa: number): void {
  unlock(xa);
}

/** Stores a value at an empty index, making nodes as needed. Under xa_lock. */
export function xaFill(xa: number, index: number, value: number): boolean {
  const entry = (value << 1) | 1;
  let at = w[xa + HEAD]!;
  if (!isNode(at)) {
    if (at === 0 && index === 0) {
      w[xa + HEAD] = entry;
      return true;
    }
    at = grow(xa, index);
  }
  let node = at >>> 2;
  while (index >>> w[node + SHIFT]! >= 64) node = grow(xa, index) >>> 2;
  for (let shift = w[node + SHIFT]!; shift > 0; shift -= 6) {
    const slot = node + SLOTS + ((index >>> shift) & 63);
    if (w[slot] === 0) {
      const child = nodeNew(shift - 6, node, (index >>> shift) & 63);
      w[node + COUNT]!++;
      w[slot] = (child << 2) | 2;
    }
    node = w[slot]! >>> 2;
  }
  const slot = node + SLOTS + (index & 63);
  if (w[slot] !== 0) return false;
  w[slot] = entry;
  w[node + COUNT]!++;
  return true;
}

/** Puts a node above the head; returns the new head. */
function grow(xa: number, index: number): number {
  const old = w[xa + HEAD]!;
  let shift = 0;
  if (old === 0) while (index >>> shift >= 64) shift += 6;
  else if (isNode(old)) shift = w[(old >>> 2) + SHIFT]! + 6;
  const node = nodeNew(shift, 0, 0);
  if (old !== 0) {
    w[node + SLOTS] = old;
    w[node + COUNT] = 1;
    if (isNode(old)) w[(old >>> 2) + PARENT] = node;
  }
  const head = (node << 2) | 2;
  w[xa + HEAD] = head;
  return head;
}

/** One multi-index entry over [0, 64 << shift) of a single node, its siblings behind it: what one binding of a power-of-two range is. */
export function xaFillRange(xa: number, slots: number, shift: number, value: number): void {
  if (w[xa + HEAD] !== 0) never('a range in an array that holds something');
  const node = nodeNew(shift, 0, 0);
  w[node + SLOTS] = (value << 1) | 1;
  for (let n = 1; n < slots; n++) w[node + SLOTS + n] = 2;
  w[node + COUNT] = slots;
  w[xa + HEAD] = (node << 2) | 2;
}

/** The first index of [index, last] (inclusive) with an entry, -1 for none: steps over empty slots and subtrees. Inside an RCU section. */
export function xaFindIndex(xa: number, index: number, last: number): number {
  const head = Atomics.load(w, xa + HEAD);
  if (head === 0) return -1;
  if (!isNode(head)) return index === 0 ? 0 : -1;
  let at = index;
  while (at <= last) {
    let node = head >>> 2;
    let shift = w[node + SHIFT]!;
    if (at >>> shift >= 64) return -1;
    for (;;) {
      const entry = Atomics.load(w, node + SLOTS + ((at >>> shift) & 63));
      if (isNode(entry)) {
        node = entry >>> 2;
        shift -= 6;
      } else if (entry !== 0) return at;
      else break;
    }
    at = ((at >>> shift) + 1) << shift;
  }
  return -1;
}

/** First index behind the entry that covers `index`. Inside an RCU section. */
export function xaBehind(xa: number, index: number): number {
  const head = Atomics.load(w, xa + HEAD);
  if (!isNode(head)) return index + 1;
  let node = head >>> 2;
  for (;;) {
    const shift = w[node + SHIFT]!;
    let offset = (index >>> shift) & 63;
    const entry = Atomics.load(w, node + SLOTS + offset);
    if (isNode(entry)) {
      node = entry >>> 2;
      continue;
    }
    do offset++;
    while (offset < 64 && isSibling(Atomics.load(w, node + SLOTS + offset)));
    return ((index >>> (shift + 6)) << (shift + 6)) + (offset << shift);
  }
}

/** Reads up to `max` values of [index, end) with their indices. Returns how many and leaves where it stopped in `cursor`. */
export const cursor = { index: 0 };
export function xaGather(xa: number, end: number, values: Int32Array, indices: Int32Array, max: number): number {
  let count = 0;
  let at = cursor.index;
  rcuReadLock();
  while (count < max) {
    at = xaFindIndex(xa, at, end - 1);
    if (at < 0) break;
    const first = slotOf(xa, at);
    const inHead = first === xa + HEAD;
    const stop = inHead ? 1 : Math.min(64 - (at & 63), end - at);
    let n = 0;
    for (; n < stop && count < max; n++) {
      const entry = Atomics.load(w, first + n);
      if (entry === 0) continue;
      values[count] = toValue(entry);
      indices[count++] = at + n;
    }
    at += n;
  }
  rcuReadUnlock();
  cursor.index = at < 0 ? end : at;
  return count;
}

/** Erases up to `max` values of [cursor.index, end); under xa_lock. Empty nodes are given back. */
export function xaEraseBatch(xa: number, end: number, values: Int32Array, max: number): number {
  let count = 0;
  let at = cursor.index;
  while (count < max) {
    at = xaFindIndex(xa, at, end - 1);
    if (at < 0) break;
    const first = slotOf(xa, at);
    if (first === xa + HEAD) {
      values[count++] = toValue(w[first]!);
      w[first] = 0;
      at++;
      continue;
    }
    const node = first - (at & 63) - SLOTS;
    const stop = Math.min(64 - (at & 63), end - at);
    let n = 0;
    let taken = 0;
    for (; n < stop && count < max; n++) {
      const entry = w[first + n]!;
      if (entry === 0) continue;
      values[count++] = toValue(entry);
      w[first + n] = 0;
      taken++;
    }
    w[node + COUNT]! -= taken;
    if (w[node + COUNT] === 0) deleteNode(xa, node);
    at += n;
  }
  cursor.index = at < 0 ? end : at;
  return count;
}

function deleteNode(xa: number, empty: number): void {
  let node = empty;
  for (;;) {
    const parent = w[node + PARENT]!;
    if (parent === 0) w[xa + HEAD] = 0;
    else w[parent + SLOTS + w[node + OFFSET]!] = 0;
    kfreeRcu(node, (object) => free.push(object));
    if (parent === 0 || --w[parent + COUNT]! !== 0) return;
    node = parent;
  }
}
