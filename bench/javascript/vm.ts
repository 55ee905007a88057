// The VM of the JavaScript cycle: memslots, attributes, one vCPU with its requests, four-level page tables. As src/kernel/kvm/*.ts.
import { allocate, lock, never, q, rcuReadLock, rcuReadUnlock, srcuNew, unlock, w } from './memory.js';
import { XARRAY_WORDS, xaFillRange, xaLoad } from './xarray.js';

export const srcu = srcuNew();
export const mmuLock = allocate(16);
const invalidation = allocate(16);
const IN_PROGRESS = 0;
const SEQ = 1;
const START = 2;
const END = 3;
const BEGINS = 4;
const ENDS = 5;
const NO_RANGE = -1;
w[invalidation + START] = NO_RANGE;

// --- memslots: the active set, its last used slot, a slot ---

const SLOT_PAGES = 2048;
const sets = allocate(16);
const set = allocate(16);
const slot = allocate(32);
const LAST_USED = 1;
const BASE = 0;
const NPAGES = 1;
const FLAGS = 2;
const INDEX = 3;
const CALLBACKS_BEGUN = 4;
const CALLBACKS_ENDED = 5;
const CALLBACK_BY = 6;
const BOUND = 7;
const PRIVATE = 4;
const READONLY = 2;
const INVALID = 1 << 16;
w[sets] = set;
w[set + LAST_USED] = slot;
w[slot + NPAGES] = SLOT_PAGES;
w[slot + FLAGS] = PRIVATE;
w[slot + BOUND] = 1;
export const theSlot = slot;

export function gfnToMemslot(gfn: number): number {
  const active = Atomics.load(w, sets);
  const last = Atomics.load(w, active + LAST_USED);
  if (last !== 0 && gfn >= w[last + BASE]! && gfn < w[last + BASE]! + w[last + NPAGES]!) return last;
  return never('a slot that was not used last');
}

export function slotFlags(at: number): number {
  return w[at + FLAGS]!;
}

export function isPrivateWritable(flags: number): boolean {
  return (flags & (PRIVATE | READONLY | INVALID)) === PRIVATE;
}

/** File offset of a gfn. */
export function offsetOf(at: number, gfn: number): number {
  return gfn - w[at + BASE]! + w[at + INDEX]!;
}

/** File pages [start, end) as gfns: [first, last) in `range`; false when they do not meet the slot. */
export const range = { start: 0, end: 0 };
export function gfnRange(at: number, start: number, end: number): boolean {
  const index = w[at + INDEX]!;
  const first = Math.max(start, index);
  const last = Math.min(end, index + w[at + NPAGES]!);
  if (first >= last) return false;
  range.start = w[at + BASE]! + (first - index);
  range.end = w[at + BASE]! + (last - index);
  return true;
}

export function countCallback(at: number, begins: boolean): void {
  w[at + CALLBACK_BY] = 1;
  if (w[at + BOUND] === 0) never('a callback of an unbound slot');
  w[at + (begins ? CALLBACKS_BEGUN : CALLBACKS_ENDED)]!++;
}

// --- attributes: chunks of 512 gfns in an XArray ---

const attributes = allocate(XARRAY_WORDS);
xaFillRange(attributes, SLOT_PAGES / 512, 0, 1);

export function isPrivate(gfn: number): boolean {
  return xaLoad(attributes, gfn >> 9) !== 0;
}

// --- the invalidation protocol ---

export function invalidateBegin(start: number, end: number): void {
  const open = w[invalidation + IN_PROGRESS]! + 1;
  w[invalidation + IN_PROGRESS] = open;
  if (open !== 1) never('another open invalidation');
  w[invalidation + START] = start;
  w[invalidation + END] = end;
  w[invalidation + BEGINS]!++;
}

export function invalidateEnd(): void {
  w[invalidation + SEQ]!++;
  w[invalidation + IN_PROGRESS]!--;
  w[invalidation + ENDS]!++;
}

export function snapshotSeq(): number {
  return Atomics.load(w, invalidation + SEQ);
}

/** The early look without mmu_lock. */
export function retryEarly(seq: number, gfn: number): boolean {
  if (Atomics.load(w, invalidation + IN_PROGRESS) !== 0) {
    const start = Atomics.load(w, invalidation + START);
    if (start === NO_RANGE || (gfn >= start && gfn < Atomics.load(w, invalidation + END))) return true;
  }
  return Atomics.load(w, invalidation + SEQ) !== seq;
}

/** The look that decides, under mmu_lock; and whether the root is still one. */
export function isStale(seq: number, gfn: number): boolean {
  if ((Atomics.load(w, w[vcpu + ROOT]! + ROOT_STATE) & 1) !== 0) return true;
  if (w[invalidation + IN_PROGRESS] !== 0 && gfn >= w[invalidation + START]! && gfn < w[invalidation + END]!)
    return true;
  return w[invalidation + SEQ] !== seq;
}

// --- page tables: 64-bit entries, a table is 512 of them; a present entry holds the word offset of the table below, or a pfn ---

const root = allocate(16);
const ROOT_STATE = 0;
const ROOT_NEXT = 2;
const ROOT_TABLE = 3;
const mmu = allocate(16);
const MMU_ROOTS = 0;
const MMU_FLUSHES = 1;

const PRESENT = 1n;
const LARGE = 1n << 7n;
const TABLE_BITS = PRESENT | 2n | 4n | 32n;
const PRIVATE_LEAF = TABLE_BITS | 64n | (1n << 58n) | (1n << 11n);

function newTable(): number {
  return allocate(1024);
}

const rootTable = newTable();
w[root + ROOT_TABLE] = rootTable;
w[mmu + MMU_ROOTS] = root;

function entryOf(tableWord: number, gfn: number, level: number): number {
  return (tableWord >> 1) + ((gfn >>> (9 * (level - 1))) & 511);
}

function tableBelow(entry: bigint): number {
  return Number(entry >> 12n);
}

/** The table of level 1 for a gfn; tables that are missing are made. */
function leafTable(gfn: number): number {
  let at = rootTable;
  for (let level = 4; level > 1; level--) {
    const index = entryOf(at, gfn, level);
    const entry = Atomics.load(q, index);
    if ((entry & (PRESENT | LARGE)) === PRESENT) at = tableBelow(entry);
    else {
      const made = newTable();
      if (Atomics.compareExchange(q, index, 0n, TABLE_BITS | (BigInt(made) << 12n)) !== 0n) never('another CPU');
      at = made;
    }
  }
  return at;
}

/** kvm_tdp_mmu_map of a private page; false when somebody was faster. */
export function map(gfn: number, pfn: number): boolean {
  rcuReadLock();
  const index = entryOf(leafTable(gfn), gfn, 1);
  const old = Atomics.load(q, index);
  if (old !== 0n) never('a mapped page');
  const mapped = Atomics.compareExchange(q, index, 0n, PRIVATE_LEAF | (BigInt(pfn) << 12n)) === 0n;
  rcuReadUnlock();
  if (mapped) w[vcpu + COUNT_MAPPED]!++;
  return mapped;
}

/** Clears the leafs of [start, end); true when TLBs must be flushed. Under mmu_lock for write. */
export function zap(start: number, end: number): boolean {
  let zapped = 0;
  rcuReadLock();
  for (let at = w[mmu + MMU_ROOTS]!; at !== 0; at = w[at + ROOT_NEXT]!) {
    for (let gfn = start; gfn < end;) {
      const top = q[entryOf(w[at + ROOT_TABLE]!, gfn, 4)]!;
      const middle = q[entryOf(tableBelow(top), gfn, 3)]!;
      const low = q[entryOf(tableBelow(middle), gfn, 2)]!;
      if ((low & PRESENT) === 0n) never('an absent table');
      const last = Math.min(end, (gfn | 511) + 1);
      zapped += zapTable(entryOf(tableBelow(low), gfn, 1), last - gfn);
      gfn = last;
    }
  }
  rcuReadUnlock();
  return zapped !== 0;
}

function zapTable(first: number, count: number): number {
  let zapped = 0;
  // Present or not is in the low word of an entry, which is a plain look here as in the engine.
  for (let index = first; index < first + count; index++) {
    if ((w[index * 2]! & 1) === 0) continue;
    w[index * 2] = 0;
    w[index * 2 + 1] = 0;
    zapped++;
  }
  return zapped;
}

// --- the vCPU ---

const vcpu = allocate(64);
const MUTEX = 0;
const ROOT = 16;
const MODE = 32;
const REQUESTS = 33;
const IPI_WAITERS = 34;
const TLB_TAG = 48;
const COUNT_FLUSHES = 49;
const COUNT_MAPPED = 50;
const IN_GUEST = 1;
const EXITING = 2;
const MODE_MASK = 3;
const SESSION = 4;
const TLB_FLUSH = 1;
const REQUEST_BITS = [2, TLB_FLUSH, 4];
w[vcpu + ROOT] = root;

function setInGuest(): void {
  const session = (Atomics.load(w, vcpu + MODE) & ~MODE_MASK) + SESSION;
  Atomics.store(w, vcpu + MODE, session | IN_GUEST);
}

function exitGuest(): void {
  const mode = Atomics.load(w, vcpu + MODE);
  w[vcpu + MODE] = mode & ~MODE_MASK;
  if ((mode & MODE_MASK) !== IN_GUEST) never('a kick');
  if (Atomics.load(w, vcpu + IPI_WAITERS) !== 0) never('waiters');
}

/** One KVM_RUN: mutex, guest mode with the pending requests served, out again; `run` handles the faults. */
export function runVcpu(run: () => void): void {
  lock(vcpu + MUTEX);
  if (w[vcpu + ROOT] === 0) never('a vCPU without a root');
  if (Atomics.load(w, vcpu + REQUESTS) !== 0) serveRequests();
  setInGuest();
  if (Atomics.load(w, vcpu + REQUESTS) !== 0) never('a request that came meanwhile');
  exitGuest();
  run();
  unlock(vcpu + MUTEX);
}

function serveRequests(): void {
  for (const bit of REQUEST_BITS) {
    if ((Atomics.load(w, vcpu + REQUESTS) & bit) === 0) continue;
    if ((Atomics.and(w, vcpu + REQUESTS, ~bit) & bit) === 0 || bit !== TLB_FLUSH) continue;
    w[vcpu + COUNT_FLUSHES]!++;
    w[vcpu + TLB_TAG]!++;
  }
}

/** kvm_flush_remote_tlbs: the request, a kick of who is in the guest, a wait until he is out. */
export function flushRemoteTlbs(): void {
  w[mmu + MMU_FLUSHES]!++;
  Atomics.or(w, vcpu + REQUESTS, TLB_FLUSH);
  const mode = Atomics.load(w, vcpu + MODE);
  if ((mode & MODE_MASK) === IN_GUEST) Atomics.compareExchange(w, vcpu + MODE, mode, mode + (EXITING - IN_GUEST));
  if ((Atomics.load(w, vcpu + MODE) & MODE_MASK) === EXITING) never('a running vCPU');
}

/** Protocol state that must be the same after the same cycles as in the engine. */
export function protocolState(): {
  inProgress: number;
  seq: number;
  begins: number;
  ends: number;
  mapped: number;
  flushes: number;
} {
  return {
    inProgress: w[invalidation + IN_PROGRESS]!,
    seq: w[invalidation + SEQ]!,
    begins: w[invalidation + BEGINS]!,
    ends: w[invalidation + ENDS]!,
    mapped: w[vcpu + COUNT_MAPPED]!,
    flushes: w[mmu + MMU_FLUSHES]!,
  };
}
