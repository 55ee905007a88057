// The hidden memfd behind a restrictedmem file: a shmem inode whose page cache owns the pages. Look-ups take no lock (RCU and a speculative
// reference), changes take the cache's xa_lock for short batches. The page lock of Linux is left out: the reference count
// and the re-check of the cache entry order what it does; that a failing fallocate takes no page back that somebody is just being given is decided by one exchange (claimUnused). kernel: mm/shmem.c (shmem_get_folio_gfp, shmem_add_to_page_cache), mm/filemap.c.
import { LC_I_PAGES } from '../abi/classes';
import { EEXIST, EFBIG, EINVAL, ENOENT, ENOMEM } from '../abi/errno';
import { NO_PFN, PAGE_SHIFT, SH_PARTITION_COUNT } from '../abi/layout';
import {
  PG_UPTODATE, PTRS_PER_FOLIO, REGION_FILE_HINT, REGION_INDEX_HINT, SGP_CACHE, SGP_FALLOC, SGP_NOALLOC, SGP_READ, SHMEM_FLAGS, SHMEM_FOLIO, SHMEM_HOME,
  SHMEM_HUGE, SHMEM_I_PAGES, SHMEM_I_SIZE, SHMEM_INTERLEAVE, SHMEM_MAGIC, SHMEM_NRPAGES, SHMEM_REFS, SHMEM_SIZE,
} from '../abi/mm';
import { OOPS_USE_AFTER_FREE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { kfree, kzalloc } from '../heap';
import { oops } from '../oops';
import {
  atomicCas64, atomicLoad32, atomicLoad64, atomicLoadNear32, atomicLoadStatic32, atomicStore32, atomicStore64, atomicSub32, cpuRelax, load32, loadStatic32, loadStatic64, store32, store64, storeOnce64,
} from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { stackPop, stackPush } from '../task';
import { allocFolio, allocPage, getPageUnlessZero, putPage, setPageUptodate } from './page';
import { regionOf } from './page-region';
import { shmemTruncateRange } from './shmem-truncate';
import {
  XA_PRESENT, XA_RETRY_ENTRY, XAS_SIZE, xaDestroy, xaFillLocked, xaFind, xaInit, xaIsValue, xaLock, xaMkValue, xasError, xasInit, xasSetOrder, xasStore, xaToValue,
  xaUnlock,
} from './xarray';
import {
  nodeShift, slotAddress, slotOf, XA_CHUNK_SHIFT, XA_CHUNK_SIZE, XA_HEAD, xaIsNode, xaIsSibling, xaToNode, xaToSibling,
} from './xarray-node';

const MAGIC: u32 = 0x73686d65;
const NONE: u32 = NO_PFN;
/** References that a page gets as it enters the cache: the cache's and the caller's. */
const CACHE_AND_CALLER: u32 = 2;
/** First page offset that no file can have (loff_t is signed). */
export const MAX_INDEX: u64 = (<u64>1 << 51);

/** An empty file of size 0; 0 when out of memory. The caller holds its only reference. kernel: shmem_file_setup(VM_NORESERVE). */
export function shmemFileSetup(): usize {
  const f = kzalloc(SHMEM_SIZE);
  if (f == 0) return 0;
  xaInit(f + SHMEM_I_PAGES, LC_I_PAGES);
  store32(f + SHMEM_REFS, 1);
  store32(f + SHMEM_HOME, <u32>-1);
  store32(f + SHMEM_MAGIC, MAGIC);
  return f;
}

/** Where the file's pages come from: see SHMEM_HOME and SHMEM_INTERLEAVE. @context before the file is shared. */
export function shmemSetPolicy(f: usize, home: i32, interleave: bool, huge: bool): void {
  store32(f + SHMEM_HOME, <u32>home);
  store32(f + SHMEM_FLAGS, (huge ? SHMEM_HUGE : 0) | (interleave ? SHMEM_INTERLEAVE : 0));
}

/** Drops a reference to the file; the last one frees its pages. @context may sleep (fan-out of the freeing); takes xa_lock, zone locks. */
export function shmemPut(f: usize): void {
  shmemCheck(f);
  if (atomicSub32(f + SHMEM_REFS, 1) != 1) return;
  shmemTruncateRange(f, 0, shmemEndIndex(f));
  shmemTruncateRange(f, shmemEndIndex(f), MAX_INDEX);
  xaDestroy(f + SHMEM_I_PAGES);
  atomicStore32(f + SHMEM_MAGIC, 0);
  kfree(f, SHMEM_SIZE);
}

// @ts-ignore: decorator
@inline
function shmemCheck(f: usize): void {
  if (ORACLES && load32(f + SHMEM_MAGIC) != MAGIC) oops(ORACLE_KERNEL_BUG, OOPS_USE_AFTER_FREE, <f64>f, <f64>MAGIC);
}

/** i_size in bytes. */
// @ts-ignore: decorator
@inline
export function shmemSize(f: usize): u64 { return atomicLoad64(f + SHMEM_I_SIZE); }
/** Pages the file holds. */
export function shmemPages(f: usize): u64 { return atomicLoad64(f + SHMEM_NRPAGES); }
/** First page offset behind i_size. */
// @ts-ignore: decorator
@inline
export function shmemEndIndex(f: usize): u64 { return (shmemSize(f) + 4095) >> PAGE_SHIFT; }

/** Grows i_size to `size` bytes, never shrinks it. */
export function shmemExtend(f: usize, size: u64): void {
  let old = shmemSize(f);
  while (old < size) {
    const seen = atomicCas64(f + SHMEM_I_SIZE, old, size);
    if (seen == old) return;
    old = seen;
  }
}

/** Sets i_size; pages behind a smaller size are freed. 0, or -EFBIG. @context takes xa_lock, zone locks. kernel: shmem_setattr. */
export function shmemSetSize(f: usize, size: u64): i32 {
  if (size >> 63 != 0) return -EFBIG;
  const old = shmemSize(f);
  atomicStore64(f + SHMEM_I_SIZE, size);
  if (size < old) shmemTruncateRange(f, shmemEndIndex(f), (old + 4095) >> PAGE_SHIFT);
  return 0;
}

/** Sets the size of a file that has none yet. Returns false when another task was first. */
export function shmemSetFirstSize(f: usize, size: u64): bool {
  return atomicCas64(f + SHMEM_I_SIZE, 0, size) == 0;
}

/** The partition that the page at `index` is to come from; -1: any. */
// @ts-ignore: decorator
@inline
export function shmemPolicy(f: usize, index: u64): i32 {
  const home = <i32>loadStatic32(f + SHMEM_HOME);
  if ((loadStatic32(f + SHMEM_FLAGS) & SHMEM_INTERLEAVE) == 0) return home;
  return <i32>((max(home, 0) + <u32>(index >> 9)) % load32(SH_PARTITION_COUNT));
}

/**
 * Whose home worker should free the pages around `start`. Where the policy says nothing, chunks go round; the answer must not depend on what
 * is in the file, for every worker asks for itself.
 */
export function shmemHomeOf(f: usize, start: u64): u32 {
  const policy = shmemPolicy(f, start);
  return policy >= 0 ? <u32>policy : <u32>(start >> 9) % load32(SH_PARTITION_COUNT);
}

// --- look-up ---

/** Whether a cache entry stands for a folio of 2M. */
// @ts-ignore: decorator
@inline
export function entryIsFolio(entry: u32): bool { return (xaToValue(entry) & SHMEM_FOLIO) != 0; }
/** First page of what a cache entry names. */
// @ts-ignore: decorator
@inline
export function entryHead(entry: u32): u32 { return xaToValue(entry) & ~(<u32>SHMEM_FOLIO); }
/** The page of a cache entry that stands at `index`. */
// @ts-ignore: decorator
@inline
export function entryPfn(entry: u32, index: u64): u32 {
  return entryIsFolio(entry) ? entryHead(entry) + (<u32>index & (PTRS_PER_FOLIO - 1)) : entryHead(entry);
}

/** Address of the slot that stands for `index`, 0 where the tree has none: a look-up without a cursor. @context rcu_read_lock. */
function cacheSlot(xa: usize, index: u64): usize {
  let slot: usize = xa + XA_HEAD;
  let entry = atomicLoadStatic32(slot);
  if (!xaIsNode(entry)) return index == 0 ? slot : 0;
  let shift = nodeShift(xaToNode(entry));
  if (index >> <u64>shift >= <u64>XA_CHUNK_SIZE) return 0;
  while (xaIsNode(entry)) {
    const node = xaToNode(entry);
    slot = slotAddress(node, slotOf(index, shift));
    entry = atomicLoad32(slot);
    while (xaIsSibling(entry)) {
      slot = slotAddress(node, xaToSibling(entry));
      entry = atomicLoad32(slot);
      if (xaIsNode(entry)) return slot; // a child of other indices: the caller sees that it is no page, and looks again
    }
    shift -= XA_CHUNK_SHIFT;
  }
  return slot;
}

/** Answer of one look at the cache: a page that is just leaving it or being split has no count to raise. Look again. */
const CHANGING: u32 = XA_RETRY_ENTRY;

/** One try of shmemGetEntry: the entry with a reference to its folio, 0 for a hole, or CHANGING. @context rcu_read_lock. */
// @ts-ignore: decorator
@inline
export function shmemTryGetEntry(f: usize, index: u64): u32 {
  const slot = cacheSlot(f + SHMEM_I_PAGES, index);
  const entry = slot == 0 ? 0 : atomicLoadNear32(slot);
  return entry == 0 ? 0 : holdEntry(slot, entry);
}

function holdEntry(slot: usize, entry: u32): u32 {
  if (!xaIsValue(entry)) return CHANGING;
  const head = entryHead(entry);
  if (!getPageUnlessZero(head)) return CHANGING;
  if (atomicLoad32(slot) == entry) return entry;
  putPage(head);
  return CHANGING;
}

/**
 * The cache entry at `index` with a reference to its folio, or 0 for a hole.
 * @context any; takes rcu_read_lock. kernel: filemap_get_entry.
 */
export function shmemGetEntry(f: usize, index: u64): u32 {
  while (true) {
    rcuReadLock();
    const entry = shmemTryGetEntry(f, index);
    rcuReadUnlock();
    if (entry != CHANGING) return entry;
    cpuRelax();
  }
  return 0;
}

/** The page at `index` with a reference, or NO_PFN for a hole. Never allocates. @context any; takes rcu_read_lock. */
export function shmemFindPage(f: usize, index: u64): u32 {
  const entry = shmemGetEntry(f, index);
  return entry == 0 ? NONE : entryPfn(entry, index);
}

/**
 * The page at `index` with a reference for the caller to *pfnp, the order of its folio to *orderp (0: not wanted). A hole: SGP_READ gives NO_PFN,
 * SGP_NOALLOC -ENOENT, the others allocate a zeroed page; SGP_WRITE and SGP_FALLOC also behind i_size, as shmem does.
 * Returns 0, -EFBIG, -EINVAL (behind i_size), -ENOENT, -ENOMEM.
 * @context takes xa_lock and zone locks to allocate. kernel: shmem_get_folio.
 */
export function shmemGetFolio(f: usize, index: u64, pfnp: usize, orderp: usize, flags: i32): i32 {
  return shmemFolioAfterLook(f, index, CHANGING, pfnp, orderp, flags);
}

/** shmemGetFolio for a caller who has looked already: `seen` is what shmemTryGetEntry said, whose reference passes on. @context as shmemGetFolio. */
export function shmemFolioAfterLook(f: usize, index: u64, seen: u32, pfnp: usize, orderp: usize, flags: i32): i32 {
  shmemCheck(f);
  if (index >= MAX_INDEX) return -EFBIG;
  if (flags <= SGP_CACHE && index >= shmemEndIndex(f)) return -EINVAL;
  for (let entry = seen; ; entry = CHANGING) {
    if (entry == CHANGING) entry = shmemGetEntry(f, index);
    if (entry != 0) {
      // Handed out again: a failing fallocate may no longer take it back.
      if (flags > SGP_CACHE) setPageUptodate(entryHead(entry));
      store32(pfnp, entryPfn(entry, index));
      if (orderp != 0) store32(orderp, entryIsFolio(entry) ? 9 : 0);
      return 0;
    }
    if (flags == SGP_READ || flags == SGP_NOALLOC) {
      store32(pfnp, NONE);
      return flags == SGP_READ ? 0 : -ENOENT;
    }
    const error = addFolio(f, index, pfnp, orderp, flags);
    if (error != -EEXIST) return error;
  }
  return 0;
}

/** Allocates for a hole: a 2M folio when the file likes them and one fits, else a page. -EEXIST: somebody was first. @context as shmemGetFolio. */
function addFolio(f: usize, index: u64, pfnp: usize, orderp: usize, flags: i32): i32 {
  const word = CACHE_AND_CALLER | (flags == SGP_FALLOC ? 0 : PG_UPTODATE);
  if ((loadStatic32(f + SHMEM_FLAGS) & SHMEM_HUGE) != 0) {
    const head = addHuge(f, index, word);
    if (head != NONE) {
      store32(pfnp, head + (<u32>index & (PTRS_PER_FOLIO - 1)));
      if (orderp != 0) store32(orderp, 9);
      return 0;
    }
  }
  const pfn = allocPage(shmemPolicy(f, index), word);
  if (pfn == NONE) return -ENOMEM;
  const error = addPage(f, index, pfn);
  if (error != 0) {
    putPage(pfn);
    putPage(pfn);
    return error;
  }
  store32(pfnp, pfn);
  if (orderp != 0) store32(orderp, 0);
  return 0;
}

/** Stores a new page at `index` unless there is one. 0, -EEXIST, -ENOMEM. @context takes xa_lock. kernel: shmem_add_to_page_cache. */
function addPage(f: usize, index: u64, pfn: u32): i32 {
  const xa = f + SHMEM_I_PAGES;
  xaLock(xa);
  const error = xaFillLocked(xa, index, xaMkValue(pfn));
  if (error == 0) shmemAccount(f, 1);
  xaUnlock(xa);
  if (error == 0) shmemHint(f, index, pfn);
  return error;
}

/** Changes nrpages. @context xa_lock. */
// @ts-ignore: decorator
@inline
export function shmemAccount(f: usize, pages: i64): void {
  storeOnce64(f + SHMEM_NRPAGES, loadStatic64(f + SHMEM_NRPAGES) + <u64>pages);
}

/** Notes which file took a page of the region last, for the way back from a page to its file. Only a hint: later ones overwrite it. */
// @ts-ignore: decorator
@inline
export function shmemHint(f: usize, index: u64, pfn: u32): void {
  const region = regionOf(pfn);
  if (loadStatic32(region + REGION_FILE_HINT) == <u32>f) return;
  atomicStore32(region + REGION_FILE_HINT, <u32>f);
  atomicStore64(region + REGION_INDEX_HINT, index);
}

/**
 * Fills the aligned 2M chunk around `index` with one folio, if the chunk lies within i_size and is empty, and memory allows. Returns the
 * folio's first page or NO_PFN. @context takes xa_lock and zone locks. kernel: shmem_alloc_and_acct_folio with huge=within_size.
 */
export function addHuge(f: usize, index: u64, word: u32): u32 {
  const first = index & ~(<u64>PTRS_PER_FOLIO - 1);
  if (first + PTRS_PER_FOLIO > shmemEndIndex(f) || !chunkEmpty(f, first)) return NONE;
  const head = allocFolio(shmemPolicy(f, first), word);
  if (head == NONE) return NONE;
  const xa = f + SHMEM_I_PAGES;
  const xas = stackPush(XAS_SIZE);
  xaLock(xa);
  let stored = chunkEmpty(f, first);
  if (stored) {
    xasInit(xas, xa, first);
    xasSetOrder(xas, first, 9);
    xasStore(xas, xaMkValue(head | SHMEM_FOLIO));
    stored = xasError(xas) == 0;
    if (stored) shmemAccount(f, PTRS_PER_FOLIO);
  }
  xaUnlock(xa);
  stackPop(XAS_SIZE);
  if (stored) {
    shmemHint(f, first, head);
    return head;
  }
  for (let n = word & 0xffff; n != 0; n--) putPage(head);
  return NONE;
}

/** @context any, a hint without xa_lock. */
function chunkEmpty(f: usize, first: u64): bool {
  const at = stackPush(8);
  store64(at, first);
  const entry = xaFind(f + SHMEM_I_PAGES, at, first + PTRS_PER_FOLIO - 1, XA_PRESENT);
  stackPop(8);
  return entry == 0;
}
