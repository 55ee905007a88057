// Small folios of a guest_memfd taken out of the file by the dozen: their locks tried together, one hold of xa_lock for all of them, their references dropped at once. What
// a large hole costs is this. kernel: mm/filemap.c find_lock_entries(), delete_from_page_cache_batch(); mm/truncate.c truncate_inode_pages_range().
import { PAGE_REF_MASK, PAGE_WORD, PG_HWPOISON, PG_LOCKED, PG_WAITERS, SHMEM_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { atomicCas32, atomicLoad32, load32, load64, loadStatic32, store32, store64 } from '../point';
import { sevGmemInvalidate } from '../snp/guest-memfd';
import { rcuReclaim } from '../sync/rcu';
import { stackPop, stackPush } from '../task';
import { pageAddress, putPage, putPages, snpLeakPages } from './page';
import { folioUnlock } from './page-lock';
import { shmemAccount } from './shmem';
import { XAS_SIZE, xaGather, xaIsValue, xaLock, xasFind, xasIndex, xasInit, xasNextEntry, xasStoreNull, xaToValue, xaUnlock } from './xarray';

const BATCH: u32 = 32;
const DELTAS: usize = BATCH * 4;
const NEXT: usize = BATCH * 8;
const LOCAL_SIZE: usize = NEXT + 8;

/**
 * Takes up to BATCH pages out of the file, from *cursor on, which moves behind them. Stops at a 2M folio and at a page whose lock somebody else has. Returns the
 * pages that it had locked: with 0 the cursor stands at one that takes longer, or at the end.
 * @context the invalidate lock for write, or the file's last reference; takes xa_lock.
 */
export function gmemTruncateBatch(f: usize, cursor: usize, end: u64): u32 {
  const local = stackPush(LOCAL_SIZE);
  const start = load64(cursor);
  store64(local + NEXT, start);
  const found = xaGather(f + SHMEM_I_PAGES, local + NEXT, end - 1, local, local + DELTAS, BATCH);
  let locked: u32 = 0;
  while (locked < found && getAndTrylock(load32(local + (<usize>locked << 2)))) locked++;
  const next = locked == found ? load64(local + NEXT) : start + load32(local + DELTAS + (<usize>locked << 2));
  if (locked != 0) {
    const erased = eraseLocked(f, start, end - 1, local, locked);
    for (let n: u32 = 0; n < erased; n++) giveBack(load32(local + (<usize>n << 2)));
    // The file's own references: most pages are free now.
    if (erased != 0) putPages(local, erased);
  }
  store64(cursor, next);
  stackPop(LOCAL_SIZE);
  return locked;
}

/**
 * A reference and the lock of a page that is not part of a 2M folio, by one exchange, unless it is on its way out or locked. It may have become another file's by
 * then: the caller looks again. kernel: folio_try_get() and folio_trylock() of find_lock_entries().
 */
function getAndTrylock(value: u32): bool {
  if ((value & SHMEM_FOLIO) != 0) return false;
  const p = pageAddress(value) + PAGE_WORD;
  const word = atomicLoad32(p);
  if ((word & PAGE_REF_MASK) == 0 || (word & PG_LOCKED) != 0) return false;
  return atomicCas32(p, word, (word + 1) | PG_LOCKED) == word;
}

/**
 * Erases those of the `count` locked pages that are still where they were found; the list has them afterwards. Returns how many. The others are let go.
 * @context takes xa_lock.
 */
function eraseLocked(f: usize, start: u64, last: u64, list: usize, count: u32): u32 {
  const xas = stackPush(XAS_SIZE);
  const xa = f + SHMEM_I_PAGES;
  let erased: u32 = 0;
  let strangers: u32 = 0;
  xasInit(xas, xa, start);
  xaLock(xa);
  let entry = xasFind(xas, last);
  for (let n: u32 = 0; n < count; n++) {
    const index = start + loadStatic32(list + DELTAS + (<usize>n << 2));
    const pfn = loadStatic32(list + (<usize>n << 2));
    // A fault may have filled a hole between two of them: that page is not ours to take.
    while (entry != 0 && xasIndex(xas) < index) entry = xasNextEntry(xas, last);
    if (entry != 0 && xasIndex(xas) == index && xaIsValue(entry) && xaToValue(entry) == pfn) {
      xasStoreNull(xas);
      entry = xasNextEntry(xas, last);
      store32(list + (<usize>erased << 2), pfn);
      erased++;
    } else {
      store32(list + DELTAS + (<usize>strangers << 2), pfn);
      strangers++;
    }
  }
  shmemAccount(f, -<i64>erased);
  xaUnlock(xa);
  rcuReclaim();
  for (let n: u32 = 0; n < strangers; n++) unlockAndPut(loadStatic32(list + DELTAS + (<usize>n << 2)));
  stackPop(XAS_SIZE);
  return erased;
}

/** The page has left the file: back to the host, then our own reference. @context the folio lock, which is dropped. kernel: kvm_gmem_free_folio(). */
function giveBack(pfn: u32): void {
  sevGmemInvalidate(pfn, pfn + 1);
  // memory_failure() never gives its reference up: such a page is out of circulation for good.
  if ((atomicLoad32(pageAddress(pfn) + PAGE_WORD) & PG_HWPOISON) != 0) snpLeakPages(pfn, 1);
  unlockAndPut(pfn);
}

/** By one exchange where nobody waits for the lock and it is not the last reference. */
function unlockAndPut(pfn: u32): void {
  const p = pageAddress(pfn) + PAGE_WORD;
  const word = atomicLoad32(p);
  if ((word & PG_WAITERS) == 0 && (word & PAGE_REF_MASK) > 1 && atomicCas32(p, word, (word - 1) & ~<u32>PG_LOCKED) == word) return;
  folioUnlock(pfn);
  putPage(pfn);
}
