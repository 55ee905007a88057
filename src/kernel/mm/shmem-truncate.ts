// Taking pages out of the file: truncation and hole punching. A batch of entries is erased under one hold of xa_lock, their references are dropped
// outside, so that several tasks can work on disjoint parts of one file. kernel: mm/shmem.c shmem_undo_range, mm/filemap.c
// delete_from_page_cache_batch.
import { PTRS_PER_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { load64, store32, store64 } from '../point';
import { fanout, fanoutWanted } from '../program/fanout';
import { stackPop, stackPush } from '../task';
import { pageUptodate, putPages, setPageContent } from './page';
import { entryHead, entryIsFolio, shmemAccount, shmemFindPage, shmemHomeOf } from './shmem';
import { putPage } from './page';
import { shmemSplitFolio } from './shmem-split';
import { XAS_SIZE, xaIsValue, xaLock, xasFind, xasIndex, xasInit, xasNextEntry, xasStore, xasStoreNull, xaUnlock } from './xarray';

/** Entries a hold of xa_lock: about half a microsecond. */
const BATCH: u32 = 128;
const ALL: bool = false;
const NOT_UPTODATE: bool = true;

/** A batch's bounds and cursor, on the task's stack. */
const T_CURSOR: usize = 0; // u64: next index to look at
const T_START: usize = 8; // u64
const T_END: usize = 16; // u64
const T_PARTIAL: usize = 24; // u32: 1 = the cursor stands at a folio that reaches over an end of the range
const T_LIST: usize = 32; // BATCH x u32
const T_SIZE: usize = 32 + 128 * 4;

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
  truncateWhere(f, start, end, ALL);
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
  while (load64(t + T_CURSOR) < end) {
    store32(t + T_PARTIAL, 0);
    const count = eraseBatch(f, t, notUptodate);
    if (count != 0) putPages(t + T_LIST, count);
    if (load64(t + T_CURSOR) < end && count < BATCH) partial(f, t);
  }
  stackPop(T_SIZE);
}

/**
 * Erases up to BATCH entries from the cursor on, their pages to the list. Stops at a folio that is only partly in the range. Returns the count;
 * the cursor stands behind what was done.
 * @context takes xa_lock.
 */
function eraseBatch(f: usize, t: usize, notUptodate: bool): u32 {
  const xa = f + SHMEM_I_PAGES;
  const end = load64(t + T_END);
  const last = end - 1;
  const xas = stackPush(XAS_SIZE);
  let count: u32 = 0;
  let pages: i64 = 0;
  let next = end;
  xasInit(xas, xa, load64(t + T_CURSOR));
  xaLock(xa);
  let entry = xasFind(xas, last);
  while (entry != 0) {
    if (xaIsValue(entry) && !(notUptodate && pageUptodate(entryHead(entry)))) {
      if (count == BATCH) {
        next = xasIndex(xas);
        break;
      }
      if (!entryIsFolio(entry)) {
        xasStoreNull(xas);
        pages++;
      } else {
        const first = xasIndex(xas) & ~(<u64>PTRS_PER_FOLIO - 1);
        if (first < load64(t + T_START) || first + PTRS_PER_FOLIO > end) {
          next = xasIndex(xas);
          break;
        }
        xasStore(xas, 0);
        pages += PTRS_PER_FOLIO;
      }
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

/** The cursor stands at a folio that is partly in the range: split it, else zero the part and step over it. @context takes xa_lock. */
function partial(f: usize, t: usize): void {
  const at = load64(t + T_CURSOR);
  if (shmemSplitFolio(f, at)) return;
  const folioEnd = (at | (PTRS_PER_FOLIO - 1)) + 1;
  const stop = min<u64>(folioEnd, load64(t + T_END));
  for (let index = at; index < stop; index++) {
    const pfn = shmemFindPage(f, index);
    if (pfn == 0xffffffff) continue;
    setPageContent(pfn, 0);
    putPage(pfn);
  }
  store64(t + T_CURSOR, stop);
}
