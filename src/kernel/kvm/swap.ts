// Reclaim of a process's memory: a page that was changed is written to swap, a clean one is dropped, for swap has it already. Whether the guest has changed it
// only the page tables of KVM know: the dirty bit of an entry that goes is noted with the page. kernel: mm/vmscan.c shrink_folio_list(), mm/memory.c
// do_swap_page(), arch/x86/kvm/mmu kvm_set_pfn_dirty().
import { PROCESS_MEMORY, PROCESS_NOTIFIERS, PROCESS_SWAP } from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { PAGE_WORD, PG_DIRTY } from '../abi/mm';
import { MN_OPS_END, MN_OPS_START, mmuNotifierCall } from '../mm/mmu-notifier';
import { getPageUnlessZero, pageAddress, pageContent, pageRefcount, putPage } from '../mm/page';
import { folioLock, folioUnlock } from '../mm/page-lock';
import { xaCmpxchg, xaErase, xaLoad, xaMkValue, xaStore, xaToValue } from '../mm/xarray';
import { atomicAnd32 } from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { forgetPages, isPage, swapEntry, SWAP_TOKEN_MASK } from './shared';

/**
 * Reclaims pages [start, start + pages) of a process, one after another; those that somebody uses right now stay. Returns the pages freed.
 * @context sleeps; takes mmu_lock of the VMs that use the process, and the lock of each page.
 */
export function processReclaim(process: usize, start: u64, pages: u64): i32 {
  let freed: i32 = 0;
  for (let index = start; index < start + pages; index++) {
    const pfn = pageAt(process, index);
    if (pfn == 0) continue;
    folioLock(pfn);
    mmuNotifierCall(process + PROCESS_NOTIFIERS, MN_OPS_START, index << PAGE_SHIFT, (index + 1) << PAGE_SHIFT);
    if (swapOut(process, index, pfn)) freed++;
    mmuNotifierCall(process + PROCESS_NOTIFIERS, MN_OPS_END, index << PAGE_SHIFT, (index + 1) << PAGE_SHIFT);
    folioUnlock(pfn);
    putPage(pfn);
  }
  return freed;
}

/** The page at `index` with a reference; 0: none is in memory. @context takes an RCU section. */
function pageAt(process: usize, index: u64): u32 {
  rcuReadLock();
  const entry = xaLoad(process + PROCESS_MEMORY, index);
  const pfn = isPage(entry) && getPageUnlessZero(xaToValue(entry)) ? xaToValue(entry) : 0;
  rcuReadUnlock();
  return pfn;
}

/**
 * Puts a swap entry in the place of a page, which nobody maps: with the content of the page, or, if it is clean, with what swap has. False when somebody else
 * holds the page or it has gone meanwhile. @context between start and end, the page locked, one reference of the caller's.
 */
function swapOut(process: usize, index: u64, pfn: u32): bool {
  if (pageRefcount(pfn) != 2) return false; // ours and the process's
  const word = pageAddress(pfn) + PAGE_WORD;
  if ((atomicAnd32(word, ~<u32>PG_DIRTY) & PG_DIRTY) != 0) xaStore(process + PROCESS_SWAP, index, xaMkValue(pageContent(pfn) & SWAP_TOKEN_MASK));
  const saved = xaToValue(xaLoad(process + PROCESS_SWAP, index));
  if (xaCmpxchg(process + PROCESS_MEMORY, index, xaMkValue(pfn), swapEntry(saved)) != xaMkValue(pfn)) {
    xaErase(process + PROCESS_SWAP, index);
    return false;
  }
  forgetPages(process + PROCESS_MEMORY, 1);
  putPage(pfn);
  return true;
}
