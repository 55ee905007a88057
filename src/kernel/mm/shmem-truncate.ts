// Taking pages out of the file: truncation and hole punching. A batch of entries is erased under one hold of xa_lock, their references are dropped
// outside, so that several tasks can work on disjoint parts of one file. kernel: mm/shmem.c shmem_undo_range, mm/filemap.c
// delete_from_page_cache_batch.
import { PTRS_PER_FOLIO, SHMEM_FLAGS, SHMEM_GMEM, SHMEM_I_PAGES } from '../abi/mm';
import { cpuRelax, load32, loadStatic32, loadStatic64, store32, store64 } from '../point';
import { fanout, fanoutWanted } from '../program/fanout';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { spinTurns } from '../sync/word';
import { stackPop, stackPush } from '../task';
import { gmemTruncateRange } from './guest-memfd-folio';
import { pageUptodate, putPage, putPages, setPageContent } from './page';
import { entryHead, entryIsFolio, shmemAccount, shmemFindPage, shmemHomeOf } from './shmem';
import { shmemSplitFolio } from './shmem-split';
import {
  XAS_SIZE, xaIsValue, xaLeaf, xaLock, xasFind, xasIndex, xasInit, xasNextEntry, xasReload, xasSet, xasStore, xaTrylock, xaUnlock,
} from './xarray';
import { XAS_INDEX, XAS_NODE, XAS_OFFSET } from './xarray-cursor';
import { nodeAdd, slotLoad, slotLocked, slotClear, XA_CHUNK_SIZE } from './xarray-node';

/** Entries a hold of xa_lock: about half a microsecond. */
const BATCH: u32 = 256;
/** Spins of a lock's ordinary waiters that a truncation waits for xa_lock: about 10 us, far more than others hold it. */
const PATIENCE: i32 = 12;
const SLOTS_A_LINE: u32 = 16;
const ALL: bool = false;
const NOT_UPTODATE: bool = true;
const NOT_YET: u32 = 0xffffffff;

/** A batch's bounds and cursor, on the task's stack. */
const T_CURSOR: usize = 0; // u64: next index to look at
const T_START: usize = 8; // u64
const T_END: usize = 16; // u64
const T_LIST: usize = 32; // BATCH x u32
const T_SIZE: usize = 32 + 256 * 4;

/**
 * Removes pages [start, end) from the file, over the home workers of their partitions when this task asked for fan-out and the range is large.
 * @context may sleep; takes xa_lock and zone locks.
 */
export function shmemTruncate(f: usize, start: u64, end: u64): void {
  if (start < end && fanoutWanted(start, end)) fanout(<u32>shmemTruncateRange.index, <u32>shmemHomeOf.index, f, start, end);
  else shmemTruncateRange(f, start, end);
}

/**
 * Removes pages [start, end) from the file and drops the cache's references. A 2M folio that reaches over an end is split first; if it is in use and
 * cannot be, its part of the range is zeroed and stays, as in Linux. Tasks may do disjoint ranges at once.
 * @context takes xa_lock and zone locks.
 */
export function shmemTruncateRange(f: usize, start: u64, end: u64): void {
  if ((load32(f + SHMEM_FLAGS) & SHMEM_GMEM) != 0) gmemTruncateRange(f, start, end);
  else truncateWhere(f, start, end, ALL);
}

/** Undoes a failed fallocate: removes the pages of [start, end) that nobody was given yet. @context takes xa_lock and zone locks. */
export function shmemUndoFallocate(f: usize, start: u64, end: u64): void {
  truncateWhere(f, start, end, NOT_UPTODATE);
}

function truncateWhere(f: usize, start: u64, end: u64, notUptodate: bool): void {
  if (start >= end) return;
  const t = stackPush(T_SIZE);
  store64(t + T_CURSOR, start);
  store64(t + T_START, start);
  store64(t + T_END, end);
  while (loadStatic64(t + T_CURSOR) < end) {
    if (!CONTROLLED && end - loadStatic64(t + T_CURSOR) >= BATCH) warmLeafs(f + SHMEM_I_PAGES, loadStatic64(t + T_CURSOR));
    const count = eraseBatch(f, t, notUptodate);
    if (count != 0) putPages(t + T_LIST, count);
    if (loadStatic64(t + T_CURSOR) < end && count < BATCH) partial(f, t);
  }
  stackPop(T_SIZE);
}

/**
 * Reads the leafs of the next batch, a cache line each: side by side and before xa_lock is taken, instead of one by one while others wait for it.
 * @context takes rcu_read_lock.
 */
function warmLeafs(xa: usize, index: u64): void {
  rcuReadLock();
  for (let at = index; at < index + BATCH; at += XA_CHUNK_SIZE) {
    const leaf = xaLeaf(xa, at);
    if (leaf == 0) continue;
    for (let offset: u32 = 0; offset < XA_CHUNK_SIZE; offset += SLOTS_A_LINE) slotLoad(leaf, offset);
  }
  rcuReadUnlock();
}

/**
 * Erases up to BATCH entries from the cursor on, their pages to the list. Stops at a folio that is only partly in the range. Returns the count;
 * the cursor stands behind what was done.
 * @context takes xa_lock.
 */
function eraseBatch(f: usize, t: usize, notUptodate: bool): u32 {
  const xa = f + SHMEM_I_PAGES;
  const end = loadStatic64(t + T_END);
  const last = end - 1;
  const xas = stackPush(XAS_SIZE);
  let count: u32 = 0;
  let pages: i64 = 0;
  let next = end;
  xasInit(xas, xa, loadStatic64(t + T_CURSOR));
  lockSpinning(xa);
  let entry = xasFind(xas, last);
  while (entry != 0) {
    if (count == BATCH) {
      next = xasIndex(xas);
      break;
    }
    if (!entryIsFolio(entry)) {
      const taken = eraseLeaf(xas, last, t + T_LIST + (<usize>count << 2), BATCH - count, notUptodate);
      count += taken;
      pages += taken;
      entry = xasIndex(xas) <= last ? xasFind(xas, last) : 0;
      continue;
    }
    if (!notUptodate || !pageUptodate(entryHead(entry))) {
      const first = xasIndex(xas) & ~(<u64>PTRS_PER_FOLIO - 1);
      if (first < loadStatic64(t + T_START) || first + PTRS_PER_FOLIO > end) {
        next = xasIndex(xas);
        break;
      }
      xasStore(xas, 0);
      pages += PTRS_PER_FOLIO;
      store32(t + T_LIST + (<usize>count << 2), entryHead(entry));
      count++;
    }
    entry = xasNextEntry(xas, last);
  }
  shmemAccount(f, -pages);
  xaUnlock(xa);
  stackPop(XAS_SIZE);
  store64(t + T_CURSOR, next);
  return count;
}

/**
 * xa_lock, with more patience than others have: home workers that erase one file take turns at it, each for half a microsecond. Whoever parks in such a
 * convoy loses a hundred turns. @context takes xa_lock.
 */
function lockSpinning(xa: usize): void {
  for (let n = PATIENCE * spinTurns(); n > 0; n--) {
    if (xaTrylock(xa)) return;
    cpuRelax();
  }
  xaLock(xa);
}

/**
 * Erases up to `room` pages of the lowest node that the cursor is in, from the cursor to `last`, their PFNs to `list`, and moves the cursor behind what
 * was looked at. Slots are cleared one by one, but the first only at the end and by xasStore, which gives the node back when it is empty.
 * Page cache entries carry no marks. Returns the count.
 * @context xa_lock.
 */
function eraseLeaf(xas: usize, last: u64, list: usize, room: u32, notUptodate: bool): u32 {
  const node: usize = loadStatic32(xas + XAS_NODE);
  const index = xasIndex(xas);
  const inHead = node == 0; // the only page of a file, at offset 0
  const base = inHead ? index : index - loadStatic32(xas + XAS_OFFSET);
  const stop: u32 = inHead ? 1 : <u32>min<u64>(XA_CHUNK_SIZE, last - base + 1);
  let first: u32 = NOT_YET;
  let taken: u32 = 0;
  let offset = <u32>(index - base);
  while (offset < stop && taken < room) {
    const entry = inHead ? xasReload(xas) : slotLocked(node, offset);
    if (xaIsValue(entry) && !(notUptodate && pageUptodate(entryHead(entry)))) {
      store32(list + (<usize>taken << 2), entryHead(entry));
      taken++;
      if (first == NOT_YET) first = offset;
      else slotClear(node, offset);
    }
    offset++;
  }
  if (taken != 0) {
    const others = <i32>taken - 1;
    if (others != 0) nodeAdd(node, -others, -others);
    store32(xas + XAS_OFFSET, first);
    store64(xas + XAS_INDEX, base + first);
    xasStore(xas, 0);
  }
  xasSet(xas, base + offset);
  return taken;
}

/** The cursor stands at a folio that is partly in the range: split it, else zero the part and step over it. @context takes xa_lock. */
function partial(f: usize, t: usize): void {
  const at = loadStatic64(t + T_CURSOR);
  if (shmemSplitFolio(f, at)) return;
  const folioEnd = (at | (PTRS_PER_FOLIO - 1)) + 1;
  const stop = min<u64>(folioEnd, loadStatic64(t + T_END));
  for (let index = at; index < stop; index++) {
    const pfn = shmemFindPage(f, index);
    if (pfn == 0xffffffff) continue;
    setPageContent(pfn, 0);
    putPage(pfn);
  }
  store64(t + T_CURSOR, stop);
}
