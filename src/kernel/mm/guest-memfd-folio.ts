// Folios of a guest_memfd: got under their lock, taken out of the file one by one, and given back to the host as they leave it. The page cache itself is
// that of shmem.ts. kernel: virt/kvm/guest_memfd.c kvm_gmem_get_folio, kvm_gmem_free_folio; mm/truncate.c truncate_inode_pages_range.
import { EHWPOISON } from '../abi/errno';
import {
  PAGE_WORD, PG_HAS_HWPOISONED, PG_HWPOISON, PTRS_PER_FOLIO, SGP_WRITE, SHMEM_I_PAGES,
} from '../abi/mm';
import { atomicLoad32, atomicOr32, cpuRelax, load32, load64, store32, store64 } from '../point';
import { sevGmemInvalidate } from '../snp/guest-memfd';
import { stackPop, stackPush } from '../task';
import { gmemTruncateBatch } from './guest-memfd-batch';
import { compoundHead, getPageUnlessZero, pageAddress, pageOrder, putPage, setPageContent, snpLeakPages } from './page';
import { folioLock, folioUnlock } from './page-lock';
import { entryHead, entryIsFolio, shmemAccount, shmemGetFolio } from './shmem';
import { shmemSplitFolio } from './shmem-split';
import { shmemHolds } from './shmem-walk';
import { XA_PRESENT, XAS_SIZE, xaFind, xaIsValue, xaLock, xasInit, xasLoad, xasStore, xaUnlock } from './xarray';

/**
 * The page at `index`, in a locked folio with a reference, to *pfnp, the folio's order to *orderp; a hole is filled. A poisoned page is -EHWPOISON, and of a
 * folio with one no page is worth more than order 0. Else the errors of shmemGetFolio.
 * @context sleeps; takes xa_lock, zone locks, the folio lock. kernel: kvm_gmem_get_folio, filemap_grab_folio.
 */
export function gmemGetFolioLocked(f: usize, index: u64, pfnp: usize, orderp: usize): i32 {
  while (true) {
    const error = shmemGetFolio(f, index, pfnp, orderp, SGP_WRITE);
    if (error != 0) return error;
    const pfn = load32(pfnp);
    const head = compoundHead(pfn);
    folioLock(head);
    // It may have been truncated while we waited for the lock: then the file has another page there, or none.
    if (!shmemHolds(f, index, pfn)) {
      folioUnlock(head);
      putPage(pfn);
      cpuRelax();
      continue;
    }
    if ((atomicLoad32(pageAddress(pfn) + PAGE_WORD) & PG_HWPOISON) != 0) {
      folioUnlock(head);
      putPage(pfn);
      return -EHWPOISON;
    }
    const whole = (atomicLoad32(pageAddress(head) + PAGE_WORD) & PG_HAS_HWPOISONED) == 0;
    store32(orderp, whole ? pageOrder(pfn) : 0);
    return 0;
  }
  return 0;
}

/** Marks a page as failed: from now on nobody gets it from the file. @context the caller holds a reference. kernel: TestSetPageHWPoison. */
export function gmemPoison(pfn: u32): void {
  atomicOr32(pageAddress(pfn) + PAGE_WORD, PG_HWPOISON);
  if (pageOrder(pfn) != 0) atomicOr32(pageAddress(compoundHead(pfn)) + PAGE_WORD, PG_HAS_HWPOISONED);
}

/**
 * Takes the pages of [start, end) out of the file, each folio under its lock: small ones in batches, where nobody else holds their locks. A 2M folio that reaches over an
 * end is split; one that is in use and cannot be has its part given back to the host and zeroed, and stays.
 * @context the invalidate lock for write, or the file's last reference; sleeps. kernel: truncate_inode_pages_range.
 */
export function gmemTruncateRange(f: usize, start: u64, end: u64): void {
  const cursor = stackPush(8);
  store64(cursor, start);
  while (load64(cursor) < end) {
    if (gmemTruncateBatch(f, cursor, end) != 0 || load64(cursor) >= end) continue;
    if (!truncateOne(f, cursor, start, end)) break;
  }
  stackPop(8);
}

/** The folio at or behind *cursor, which moves behind it, or behind its part. False: there is none. May come back without having done it: look again. @context as gmemTruncateRange. */
function truncateOne(f: usize, cursor: usize, start: u64, end: u64): bool {
  const entry = xaFind(f + SHMEM_I_PAGES, cursor, end - 1, XA_PRESENT);
  if (entry == 0) return false;
  const at = load64(cursor);
  const head = entryHead(entry);
  if (!xaIsValue(entry) || !getPageUnlessZero(head)) {
    cpuRelax();
    return true;
  }
  folioLock(head);
  const first = entryIsFolio(entry) ? at & ~(<u64>PTRS_PER_FOLIO - 1) : at;
  const pages: u64 = entryIsFolio(entry) ? PTRS_PER_FOLIO : 1;
  // Taken out, or split, before we had its lock: look again.
  if (shmemHolds(f, first, head) && (pageOrder(head) != 0) == (pages != 1)) {
    if (first < start || first + pages > end) {
      store64(cursor, partial(f, at, end, head));
      return true;
    }
    removeFolio(f, first, head, <u32>pages);
    store64(cursor, first + pages);
  }
  folioUnlock(head);
  putPage(head);
  return true;
}

/** Out of the page cache, then back to the host, then the cache's reference. @context folio lock; takes xa_lock. kernel: filemap_remove_folio, kvm_gmem_free_folio. */
function removeFolio(f: usize, index: u64, head: u32, pages: u32): void {
  const xas = stackPush(XAS_SIZE);
  const xa = f + SHMEM_I_PAGES;
  xasInit(xas, xa, index);
  xaLock(xa);
  xasLoad(xas);
  xasStore(xas, 0);
  shmemAccount(f, -<i64>pages);
  xaUnlock(xa);
  stackPop(XAS_SIZE);
  sevGmemInvalidate(head, head + pages);
  for (let n: u32 = 0; n < pages; n++) {
    // memory_failure() never gives its reference up: such a page is out of circulation for good.
    if ((atomicLoad32(pageAddress(head + n) + PAGE_WORD) & PG_HWPOISON) != 0) snpLeakPages(head + n, 1);
  }
  putPage(head);
}

/**
 * The folio is only partly in the range: split it, else give its part back and zero it. Returns where to go on. Drops the folio lock and the reference.
 * @context folio lock and a reference; takes xa_lock.
 */
function partial(f: usize, at: u64, end: u64, head: u32): u64 {
  // The cache's reference keeps it, since only the holder of the lock can take it out; ours would be in the way of the split.
  putPage(head);
  if (shmemSplitFolio(f, at)) {
    folioUnlock(head);
    return at;
  }
  const stop = min<u64>((at | (PTRS_PER_FOLIO - 1)) + 1, end);
  const firstPfn = head + <u32>(at & (PTRS_PER_FOLIO - 1));
  sevGmemInvalidate(firstPfn, firstPfn + <u32>(stop - at));
  for (let n: u32 = 0; n < <u32>(stop - at); n++) setPageContent(firstPfn + n, 0);
  folioUnlock(head);
  return stop;
}

