// The SNP leak list: pages whose RMP entry could not be reset. They are never freed, for a host write to one would be an RMP violation.
// kernel: drivers/crypto/ccp/sev-dev.c of RFC v8 patch 23 (snp_mark_pages_offline), arch/x86/virt/svm/sev.c snp_leak_pages.
import { LOCK_SNP_LEAKED } from '../abi/layout';
import { PG_LEAKED, REGION_COMPOUND, REGION_LEAKED, REGION_STATE } from '../abi/mm';
import { V_B15, V_B44 } from '../abi/variants';
import { kmallocSure } from '../heap';
import { atomicOr32, load32, store32, variant } from '../point';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { pageAddress } from './page';
import { pcpCount, pcpCurrent } from './page-pcp';
import { PAGE_LEAK_COUNT, PAGE_LEAK_HEAD, regionOf } from './page-region';

// A list node stands for page->lru of one page: the struct page here has no room for it.
const LEAK_NEXT: usize = 0; // u32
const LEAK_PFN: usize = 4; // u32
const LEAK_SIZE: usize = 32;

/**
 * Puts [pfn, pfn + npages) on the leak list, each page once. Their users may still hold references: the last one to go does not free them.
 * @context takes snp_leaked_pages_list_lock (spinning).
 */
export function snpLeakPages(pfn: u32, npages: u32): void {
  if (variant(V_B15)) {
    leakSamePage(pfn, npages);
    return;
  }
  spinLock(LOCK_SNP_LEAKED);
  for (let n: u32 = 0; n < npages; n++) {
    if (!markLeaked(pfn + n) && !variant(V_B44)) continue;
    const node = kmallocSure(LEAK_SIZE);
    if (node != 0) listAdd(node, pfn + n);
    store32(PAGE_LEAK_COUNT, load32(PAGE_LEAK_COUNT) + 1);
  }
  spinUnlock(LOCK_SNP_LEAKED);
}

/** Returns false when the page was leaked before. @context snp_leaked_pages_list_lock. */
function markLeaked(pfn: u32): bool {
  if ((atomicOr32(pageAddress(pfn), PG_LEAKED) & <u32>PG_LEAKED) != 0) return false;
  const state = regionOf(pfn) + REGION_STATE;
  if ((load32(state) & REGION_COMPOUND) != 0) atomicOr32(state, REGION_LEAKED);
  pcpCount(pcpCurrent(), -1);
  return true;
}

/** @context snp_leaked_pages_list_lock. */
function listAdd(node: usize, pfn: u32): void {
  store32(node + LEAK_NEXT, load32(PAGE_LEAK_HEAD));
  store32(node + LEAK_PFN, pfn);
  store32(PAGE_LEAK_HEAD, <u32>node);
}

/** B15: the page pointer stays where it is, so one page is added npages times (its link then leads to itself) and counted once. @context takes the list lock. */
function leakSamePage(pfn: u32, npages: u32): void {
  spinLock(LOCK_SNP_LEAKED);
  if (markLeaked(pfn)) {
    const node = kmallocSure(LEAK_SIZE);
    for (let n: u32 = 0; n < npages && node != 0; n++) listAdd(node, pfn);
    store32(PAGE_LEAK_COUNT, load32(PAGE_LEAK_COUNT) + 1);
  }
  spinUnlock(LOCK_SNP_LEAKED);
}

/** Pages on the list, counted by walking it; -1 when the list is corrupt (longer than its counter). @context takes the list lock. */
export function snpLeakListLength(): i32 {
  spinLock(LOCK_SNP_LEAKED);
  const limit = load32(PAGE_LEAK_COUNT);
  let length: u32 = 0;
  let node: usize = load32(PAGE_LEAK_HEAD);
  while (node != 0 && length <= limit) {
    length++;
    node = load32(node + LEAK_NEXT);
  }
  spinUnlock(LOCK_SNP_LEAKED);
  return length > limit ? -1 : <i32>length;
}
