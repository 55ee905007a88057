// The process memory behind shared gfns: what get_user_pages() would find under the slot's userspace_addr. Pages are allocated at the first touch and
// belong to the address, not to the slot: a moved slot shows the same memory, a deleted one leaves it. The host takes pages away through the
// mmu_notifier path (kvmDiscardShared). Stands for the VMM's anonymous memory and mm/gup.c.
import { KVM_HOME, KVM_PROCESS, PROCESS_MEMORY, PROCESS_SWAP, SLOT_KVM } from '../abi/kvm';
import { EFAULT, ENOMEM } from '../abi/errno';
import { NO_PFN, PAGE_SHIFT } from '../abi/layout';
import { OOPS_HOST_WRITE_RMP, ORACLE_HOST_PAGE } from '../abi/oops';
import { SNPC_HOST_FAULTS } from '../abi/snp';
import { KVM_SHARED_COUNT, KVM_SHARED_PAGES } from '../abi/vcpu';
import { allocPages, getPage, getPageUnlessZero, pageContent, putPage, setPageContent, setPageDirty } from '../mm/page';
import { xaCmpxchg, xaDestroy, xaEraseRangeBatch, xaIsErr, xaIsValue, xaLoad, xaMkValue, xaStoreRange, xaToValue } from '../mm/xarray';
import { oops } from '../oops';
import { atomicAdd64, atomicLoad64, atomicSub64, cpuRelax, load32, load64, loadStatic32, oraclesOn, store64 } from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { rmpCheckHostWrite } from '../snp/access';
import { snpCount } from '../snp/helpers';
import { stackPop, stackPush } from '../task';
import { slotHva } from './memslots';
import { kvmMmuNotifierInvalidateRangeEnd, kvmMmuNotifierInvalidateRangeStart } from './notifier';

const BATCH: u32 = 64;

// The memory of a process.
const MEMORY_PAGES: usize = 0; // xarray hva >> 12 -> pfn
const MEMORY_COUNT: usize = KVM_SHARED_COUNT - KVM_SHARED_PAGES; // u64

/** Where the memory behind a VM's shared gfns is: its process's, or a part of the VM where that is all there is of its process. */
// @ts-ignore: decorator
@inline
function memoryOf(kvm: usize): usize {
  const process: usize = load32(kvm + KVM_PROCESS);
  return process != 0 ? process + PROCESS_MEMORY : kvm + KVM_SHARED_PAGES;
}

// An entry of a process's memory whose page is on swap: a value with this bit, and the page's token. Pages have smaller numbers.
const SWAPPED: u32 = 0x40000000;
export const SWAP_TOKEN_MASK: u32 = 0x3fffffff;

/** Whether an entry of a process's memory is a page: not a hole, not on swap. */
// @ts-ignore: decorator
@inline
export function isPage(entry: u32): bool { return xaIsValue(entry) && xaToValue(entry) < SWAPPED; }

/** What takes the place of a page with this token. */
export function swapEntry(token: u32): u32 { return xaMkValue(SWAPPED | (token & SWAP_TOKEN_MASK)); }

/** The page at `hva` with a reference, NO_PFN when there is none. @context any; takes an RCU section. */
function findPage(kvm: usize, index: u64): u32 {
  const xa = memoryOf(kvm) + MEMORY_PAGES;
  while (true) {
    rcuReadLock();
    const entry = xaLoad(xa, index);
    // As with the page cache: a page that can be had but is no longer in the tree was on its way out; one that cannot be had is on its way to swap.
    const got = isPage(entry) && getPageUnlessZero(xaToValue(entry));
    const still = got && xaLoad(xa, index) == entry;
    rcuReadUnlock();
    if (!isPage(entry)) return NO_PFN;
    if (still) return xaToValue(entry);
    if (got) putPage(xaToValue(entry));
    cpuRelax();
  }
  return NO_PFN;
}

/** Gives a new page what swap has for its place, if anything; the entry that it may take the place of. kernel: do_swap_page(). */
function swapIn(memory: usize, index: u64, pfn: u32): u32 {
  const entry = xaLoad(memory + MEMORY_PAGES, index);
  if (!xaIsValue(entry) || isPage(entry)) return 0;
  setPageContent(pfn, xaToValue(entry) & SWAP_TOKEN_MASK);
  return entry;
}

/** The page at page index `index` of the process with a reference, allocated if need be. NO_PFN when out of memory. @context may sleep. kernel: get_user_pages(). */
export function getUserPage(kvm: usize, index: u64): u32 {
  while (true) {
    const found = findPage(kvm, index);
    if (found != <u32>NO_PFN) return found;
    const pfn = allocPages(0, <i32>load32(kvm + KVM_HOME));
    if (pfn == <u32>NO_PFN) return NO_PFN;
    getPage(pfn); // the caller's, before anybody can find the page and take it away
    const memory = memoryOf(kvm);
    const swapped = load32(kvm + KVM_PROCESS) != 0 ? swapIn(memory, index, pfn) : 0;
    const seen = xaCmpxchg(memory + MEMORY_PAGES, index, swapped, xaMkValue(pfn));
    if (seen == swapped) {
      atomicAdd64(memory + MEMORY_COUNT, 1);
      return pfn;
    }
    putPage(pfn);
    putPage(pfn);
    if (xaIsErr(seen)) return NO_PFN;
  }
  return NO_PFN;
}

/** Page behind a shared gfn with a reference; NO_PFN when out of memory. @context inside kvm->srcu; may sleep. kernel: hva_to_pfn(). */
export function sharedGetPfn(slot: usize, gfn: u64): u32 {
  return getUserPage(load32(slot + SLOT_KVM), slotHva(slot, gfn) >> PAGE_SHIFT);
}

/** The same without allocating: NO_PFN where the process has no page, or has it on swap. @context any; takes an RCU section. */
export function sharedFindPfn(slot: usize, gfn: u64): u32 {
  return findPage(load32(slot + SLOT_KVM), slotHva(slot, gfn) >> PAGE_SHIFT);
}

/** Frees the pages of [start, end) (page indices of the process). @context between range_start and range_end, or nobody maps them. */
export function discardIndices(kvm: usize, start: u64, end: u64): u64 {
  const freed = discardMemory(memoryOf(kvm), start, end);
  // What swap has for them goes, too, or a new page that nobody has written would come back with it.
  const process: usize = load32(kvm + KVM_PROCESS);
  if (process != 0 && start < end) xaStoreRange(process + PROCESS_SWAP, start, end - 1, 0);
  return freed;
}

/** The same for a process. */
export function discardMemory(memory: usize, start: u64, end: u64): u64 {
  if (start >= end) return 0;
  const local = stackPush(8 + BATCH * 4);
  const list = local + 8;
  let total: u64 = 0;
  store64(local, start);
  while (load64(local) < end) {
    const count = xaEraseRangeBatch(memory + MEMORY_PAGES, local, end - 1, list, BATCH);
    for (let n: u32 = 0; n < count; n++) {
      const value = loadStatic32(list + (<usize>n << 2));
      if (value >= SWAPPED) continue;
      putPage(value);
      total++;
    }
  }
  stackPop(8 + BATCH * 4);
  if (total != 0) forgetPages(memory, total);
  return total;
}

/** So many pages are no longer in a process's memory. */
export function forgetPages(memory: usize, pageCount: u64): void { atomicSub64(memory + MEMORY_COUNT, pageCount); }

/** Frees the process memory that is a part of the VM. @context the VM is being destroyed, nothing maps it. */
export function sharedDestroy(kvm: usize): void {
  if (load32(kvm + KVM_PROCESS) != 0) return;
  discardIndices(kvm, 0, (<u64>1) << 52);
  xaDestroy(kvm + KVM_SHARED_PAGES);
}

/** Pages of process memory that the VM holds. */
export function sharedPageCount(kvm: usize): u64 { return atomicLoad64(memoryOf(kvm) + MEMORY_COUNT); }

/**
 * madvise(MADV_DONTNEED) of the VMM on [hvaStart, hvaEnd): the mappings go, then the pages, then faults are let in again and find zeroes. Returns
 * the pages freed, or a negative errno.
 * @context sleeps; takes mmu_lock; must not hold slots_lock. kernel: zap_page_range_single().
 */
export function kvmDiscardShared(kvm: usize, hvaStart: u64, hvaEnd: u64): i32 {
  const ret = kvmMmuNotifierInvalidateRangeStart(kvm, hvaStart, hvaEnd, true);
  if (ret != 0) return ret;
  const freed = discardIndices(kvm, hvaStart >> PAGE_SHIFT, hvaEnd >> PAGE_SHIFT);
  kvmMmuNotifierInvalidateRangeEnd(kvm, hvaStart, hvaEnd);
  return <i32>freed;
}

/** The VMM writes `token` to its own memory at `hva`. 0, -ENOMEM, or -EFAULT when the RMP forbids it. @context any. */
export function hostWriteUser(kvm: usize, hva: u64, token: u32): i32 {
  const pfn = getUserPage(kvm, hva >> PAGE_SHIFT);
  if (pfn == <u32>NO_PFN) return -ENOMEM;
  const ret = hostWritePfn(pfn);
  if (ret == 0) {
    setPageContent(pfn, token);
    setPageDirty(pfn);
  }
  putPage(pfn);
  return ret;
}

/**
 * The host is about to write to a page that may be a guest's, in a copy that takes a fault for its answer: 0, or -EFAULT after the #PF with the RMP bit. The store is left
 * out: a page that the RMP does not protect yet may be the guest's by then. @context the caller holds a reference. kernel: copy_to_kernel_nofault().
 */
export function hostTryWrite(pfn: u32): i32 {
  if (rmpCheckHostWrite(pfn) == 0) return 0;
  snpCount(SNPC_HOST_FAULTS, 1);
  return -EFAULT;
}

/** The host writes to a page, through its direct map as it is now. 0, or -EFAULT when the RMP forbids it: on hardware the end of the host. @context any. */
export function hostWritePfn(pfn: u32): i32 {
  const error = rmpCheckHostWrite(pfn);
  if (error == 0) return 0;
  if (oraclesOn()) oops(ORACLE_HOST_PAGE, OOPS_HOST_WRITE_RMP, <f64>pfn, <f64>error);
  return -EFAULT;
}

/** What the VMM reads at `hva` (0 in memory that was never touched). @context any. */
export function hostReadUser(kvm: usize, hva: u64): u32 {
  const pfn = findPage(kvm, hva >> PAGE_SHIFT);
  if (pfn == <u32>NO_PFN) {
    const entry = xaLoad(memoryOf(kvm) + MEMORY_PAGES, hva >> PAGE_SHIFT);
    return xaIsValue(entry) && !isPage(entry) ? xaToValue(entry) & SWAP_TOKEN_MASK : 0;
  }
  const token = pageContent(pfn);
  putPage(pfn);
  return token;
}
