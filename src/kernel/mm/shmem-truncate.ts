// Taking pages out of the file: truncation and hole punching. Under xa_lock whole leafs of the tree are detached, and single entries erased where a leaf
// lies only partly in the range; the pages of both are let go of outside, so that several tasks can work on disjoint parts of one file.
// kernel: mm/shmem.c shmem_undo_range, mm/filemap.c delete_from_page_cache_batch.
import { PTRS_PER_FOLIO, SHMEM_FLAGS, SHMEM_GMEM, SHMEM_I_PAGES } from '../abi/mm';
import { cpuRelax, load32, loadStatic32, loadStatic64, store32, store64 } from '../point';
import { rcuReclaim } from '../sync/rcu';
import { nap, spinTurns } from '../sync/word';
import { stackPop, stackPush } from '../task';
import { gmemTruncateRange } from './guest-memfd-folio';
import { CLAIM_BUSY, CLAIM_TAKEN, claimUnused, pageUptodate, putPage, putPages, setPageContent, unfreezeFolio } from './page';
import { entryHead, entryIsFolio, shmemAccount, shmemFindPage } from './shmem';
import { shmemSplitFolio } from './shmem-split';
import {
  XAS_SIZE, xaIsValue, xaLock, xasFind, xasIndex, xasInit, xasNextEntry, xasReload, xasSet, xasStore, xaTrylock, xaUnlock,
} from './xarray';
import { XAS_INDEX, XAS_NODE, XAS_OFFSET } from './xarray-cursor';
import { xaEmptyLeaf, xasDetachNodes } from './xarray-detach';
import { nodeAdd, slotClear, slotLocked, XA_CHUNK_SIZE } from './xarray-node';

/** Entries erased, and leafs detached, in a hold of xa_lock: about half a microsecond. */
const BATCH: u32 = 256;
const LEAFS_MAX: u32 = 8;
/** Spins of a lock's ordinary waiters that a truncation waits for xa_lock: about 10 us, far more than others hold it. */
const PATIENCE: i32 = 12;
const ALL: bool = false;
const NOT_UPTODATE: bool = true;
const NOT_YET: u32 = 0xffffffff;
/** Looks at a page that somebody holds while a fallocate is undone: first spinning, then with naps between. Then it stays in the file. */
const BUSY_SPINS: u32 = 256;
const BUSY_NAP_NS: i64 = 50_000;
const BUSY_LOOKS: u32 = 512;

/** A batch's bounds and cursor, on the task's stack. */
const T_CURSOR: usize = 0; // u64: next index to look at
const T_START: usize = 8; // u64
const T_END: usize = 16; // u64
const T_COUNT: usize = 24; // u32: entries in the list
const T_LEAF_COUNT: usize = 28; // u32: detached leafs
const T_PARTIAL: usize = 32; // u32: 1 when the batch ended at a folio that is only partly in the range
const T_OWED: usize = 36; // u32: pages freed that the file still counts
const T_BUSY: usize = 40; // u32: 1 when the batch ended at a page that somebody holds
const T_LEAFS: usize = 44; // LEAFS_MAX x u32
const T_LIST: usize = 80; // BATCH x u32
const T_SIZE: usize = 80 + 256 * 4;

/**
 * Removes pages [start, end) from the file and drops the cache's references. A 2M folio that reaches over an end is split first; if it is in use and
 * cannot be, its part of the range is zeroed and stays, as in Linux. Tasks may do disjoint ranges at once.
 * @context takes xa_lock and zone locks.
 */
export function shmemTruncateRange(f: usize, start: u64, end: u64): void {
  if ((load32(f + SHMEM_FLAGS) & SHMEM_GMEM) != 0) gmemTruncateRange(f, start, end);
  else truncateWhere(f, start, end, ALL);
}

/** Undoes a failed fallocate: removes the pages of [start, end) that nobody was given yet. @context takes xa_lock and zone locks; waits for who is looking at one of them. */
export function shmemUndoFallocate(f: usize, start: u64, end: u64): void {
  truncateWhere(f, start, end, NOT_UPTODATE);
}

function truncateWhere(f: usize, start: u64, end: u64, notUptodate: bool): void {
  if (start >= end) return;
  const t = stackPush(T_SIZE);
  store64(t + T_CURSOR, start);
  store64(t + T_START, start);
  store64(t + T_END, end);
  store32(t + T_OWED, 0);
  let looks: u32 = 0;
  while (loadStatic64(t + T_CURSOR) < end) {
    eraseBatch(f, t, notUptodate);
    const count = loadStatic32(t + T_COUNT);
    if (notUptodate) unfreeze(t, count);
    if (count != 0) putPages(t + T_LIST, count);
    looks = loadStatic32(t + T_BUSY) == 0 ? 0 : awaitHolder(t, count == 0 ? looks : 0);
    if (loadStatic32(t + T_LEAF_COUNT) != 0) emptyLeafs(t);
    if (loadStatic32(t + T_PARTIAL) != 0) partial(f, t);
  }
  if (loadStatic32(t + T_OWED) != 0) settle(f, t);
  stackPop(T_SIZE);
}

/** Claimed pages are out of the tree: whoever still finds one has looked before, and looks again. */
function unfreeze(t: usize, count: u32): void {
  for (let n: u32 = 0; n < count; n++) unfreezeFolio(loadStatic32(t + T_LIST + (<usize>n << 2)), 1);
}

/** The batch ended at a page that somebody holds, looked at `looks` times before: waits a little, or leaves it to him. Returns the looks. */
function awaitHolder(t: usize, looks: u32): u32 {
  if (looks == BUSY_LOOKS) {
    store64(t + T_CURSOR, loadStatic64(t + T_CURSOR) + 1);
    return 0;
  }
  if (looks < BUSY_SPINS) cpuRelax();
  else nap(BUSY_NAP_NS);
  return looks + 1;
}

/** Takes the last leafs' pages out of the file's count. @context takes xa_lock. */
function settle(f: usize, t: usize): void {
  lockSpinning(f + SHMEM_I_PAGES);
  shmemAccount(f, -<i64>loadStatic32(t + T_OWED));
  xaUnlock(f + SHMEM_I_PAGES);
}

/**
 * Frees the pages of the detached leafs. They are counted here, where nobody waits, and leave the file's count with the next hold of xa_lock: to look
 * into the leafs under it would fetch a cache line each from another CPU.
 * @context takes zone locks.
 */
function emptyLeafs(t: usize): void {
  let count: u32 = 0;
  const leafs = loadStatic32(t + T_LEAF_COUNT);
  for (let n: u32 = 0; n < leafs; n++) {
    count += xaEmptyLeaf(loadStatic32(t + T_LEAFS + (<usize>n << 2)), t + T_LIST + (<usize>count << 2));
    if (n + 1 != leafs && count <= BATCH - XA_CHUNK_SIZE) continue;
    store32(t + T_OWED, loadStatic32(t + T_OWED) + count);
    putPages(t + T_LIST, count);
    count = 0;
  }
  rcuReclaim();
}

/**
 * One hold of xa_lock, from the cursor on: up to LEAFS_MAX leafs are detached, up to BATCH other entries erased, their pages put on the list. Stops at a folio
 * that is only partly in the range. The cursor stands behind what was done.
 * @context takes xa_lock.
 */
function eraseBatch(f: usize, t: usize, notUptodate: bool): void {
  const xa = f + SHMEM_I_PAGES;
  const last = loadStatic64(t + T_END) - 1;
  const xas = stackPush(XAS_SIZE);
  store32(t + T_COUNT, 0);
  store32(t + T_LEAF_COUNT, 0);
  store32(t + T_PARTIAL, 0);
  store32(t + T_BUSY, 0);
  let next = last + 1;
  let pages: i64 = loadStatic32(t + T_OWED);
  store32(t + T_OWED, 0);
  xasInit(xas, xa, loadStatic64(t + T_CURSOR));
  lockSpinning(xa);
  let entry = xasFind(xas, last);
  while (entry != 0) {
    const count = loadStatic32(t + T_COUNT);
    if (count == BATCH) {
      next = xasIndex(xas);
      break;
    }
    if (entryIsFolio(entry)) {
      pages += eraseFolio(xas, t, entry, notUptodate);
      if ((loadStatic32(t + T_PARTIAL) | loadStatic32(t + T_BUSY)) != 0) {
        next = xasIndex(xas);
        break;
      }
      entry = xasNextEntry(xas, last);
      continue;
    }
    if (notUptodate || !detachLeafs(xas, t, last)) {
      const taken = eraseLeaf(xas, last, t, notUptodate);
      store32(t + T_COUNT, count + taken);
      pages += taken;
      if (loadStatic32(t + T_BUSY) != 0) {
        next = xasIndex(xas);
        break;
      }
    } else if (loadStatic32(t + T_LEAF_COUNT) == LEAFS_MAX) {
      next = min<u64>(xasIndex(xas), next);
      break;
    }
    entry = xasIndex(xas) <= last ? xasFind(xas, last) : 0;
  }
  shmemAccount(f, -pages);
  xaUnlock(xa);
  stackPop(XAS_SIZE);
  store64(t + T_CURSOR, next);
}

/** Erases the folio that the cursor is at, unless it is only partly in the range, or not to be taken. Returns the pages. @context xa_lock. */
function eraseFolio(xas: usize, t: usize, entry: u32, notUptodate: bool): u32 {
  const first = xasIndex(xas) & ~(<u64>PTRS_PER_FOLIO - 1);
  if (notUptodate && pageUptodate(entryHead(entry))) return 0;
  if (first < loadStatic64(t + T_START) || first + PTRS_PER_FOLIO > loadStatic64(t + T_END)) {
    store32(t + T_PARTIAL, 1);
    return 0;
  }
  if (notUptodate && !claimed(t, entry)) return 0;
  xasStore(xas, 0);
  const count = loadStatic32(t + T_COUNT);
  store32(t + T_LIST + (<usize>count << 2), entryHead(entry));
  store32(t + T_COUNT, count + 1);
  return PTRS_PER_FOLIO;
}

/** Whether a page that may be somebody's by now is this undo's to take; T_BUSY when that is not settled. @context xa_lock. */
function claimed(t: usize, entry: u32): bool {
  const claim = claimUnused(entryHead(entry));
  if (claim == CLAIM_BUSY) store32(t + T_BUSY, 1);
  return claim == CLAIM_TAKEN;
}

/** Detaches the leafs from the cursor's on that lie wholly in the range, if there are any. @context xa_lock. */
function detachLeafs(xas: usize, t: usize, last: u64): bool {
  const before = loadStatic32(t + T_LEAF_COUNT);
  const leafs = t + T_LEAFS + (<usize>before << 2);
  const taken = xasDetachNodes(xas, 0, loadStatic64(t + T_START), last, leafs, LEAFS_MAX - before, false);
  store32(t + T_LEAF_COUNT, before + taken);
  return taken != 0;
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
 * Erases pages of the lowest node that the cursor is in, from the cursor to `last` or until the list is full, their PFNs to the list, and moves the cursor behind what
 * was looked at. Slots are cleared one by one, but the first only at the end and by xasStore, which gives the node back when it is empty.
 * Page cache entries carry no marks. Returns the count.
 * @context xa_lock.
 */
function eraseLeaf(xas: usize, last: u64, t: usize, notUptodate: bool): u32 {
  const before = loadStatic32(t + T_COUNT);
  const list = t + T_LIST + (<usize>before << 2);
  const room = BATCH - before;
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
    if (xaIsValue(entry) && (!notUptodate || claimed(t, entry))) {
      store32(list + (<usize>taken << 2), entryHead(entry));
      taken++;
      if (first == NOT_YET) first = offset;
      else slotClear(node, offset);
    }
    if (notUptodate && loadStatic32(t + T_BUSY) != 0) break;
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
