// Reclaim of a process's memory: a page that was changed is written to swap, a clean one is dropped, for swap has it already. Whether the guest has changed it
// only the page tables of KVM know: the dirty bit of an entry that goes is noted with the page. kernel: mm/vmscan.c shrink_folio_list(), __remove_mapping(), mm/memory.c
// do_swap_page(), arch/x86/kvm/mmu kvm_set_pfn_dirty().
import { PROCESS_MEMORY, PROCESS_NOTIFIERS, PROCESS_SWAP } from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { PAGE_WORD, PG_DIRTY } from '../abi/mm';
import { MN_OPS_END, MN_OPS_START, mmuNotifierCall } from '../mm/mmu-notifier';
import { freezeFolio, getPageUnlessZero, pageAddress, pageContent, pageRefcount, putPage, unfreezeFolio } from '../mm/page';
import { folioLock, folioUnlock } from '../mm/page-lock';
import { XAS_SIZE, xaCmpxchg, xaIsErr, xaLoad, xaLock, xaMkValue, xasInit, xasLoad, xasStore, xaStore, xaToValue, xaUnlock } from '../mm/xarray';
import { atomicLoad32 } from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { stackPop, stackPush } from '../task';
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
 * holds the page or has changed it, when it has gone meanwhile, or when swap has no room. @context between start and end, the page locked, one reference of the caller's.
 */
function swapOut(process: usize, index: u64, pfn: u32): bool {
  if (pageRefcount(pfn) != 2) return false; // ours and the process's
  const dirty = isDirty(pfn);
  const content = pageContent(pfn) & SWAP_TOKEN_MASK;
  if (dirty && xaIsErr(xaStore(process + PROCESS_SWAP, index, xaMkValue(content)))) return false;
  const saved = dirty ? content : xaToValue(xaLoad(process + PROCESS_SWAP, index));
  const xa = process + PROCESS_MEMORY;
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, xa, index);
  xaLock(xa);
  const here = xasLoad(xas) == xaMkValue(pfn);
  // With both references taken away nobody writes any more. What was written until then may not be what swap has.
  let out = here && freezeFolio(pfn, 2);
  if (out && (dirty ? (pageContent(pfn) & SWAP_TOKEN_MASK) != content : isDirty(pfn))) {
    unfreezeFolio(pfn, 2);
    out = false;
  }
  if (out) xasStore(xas, swapEntry(saved));
  xaUnlock(xa);
  stackPop(XAS_SIZE);
  // The page was thrown away, and what swap has for it with it: what was just put there would come back in its stead.
  if (!here && dirty) xaCmpxchg(process + PROCESS_SWAP, index, xaMkValue(content), 0);
  if (!out) return false;
  forgetPages(xa, 1);
  unfreezeFolio(pfn, 1); // the caller's
  return true;
}

function isDirty(pfn: u32): bool { return (atomicLoad32(pageAddress(pfn) + PAGE_WORD) & PG_DIRTY) != 0; }
