// The SNP implementation of kvm_arch_invalidate_restricted_mem: before pages leave a guest, their RMP entries go back to the hypervisor.
// Runs between begin (which has zapped the range and keeps it from being assigned again) and the freeing of the pages. It walks the pages that
// are in the file; the one posted allocated every hole first (B07). kernel: SNP host RFC v8 patch 50, sev_invalidate_private_range.
import { COST_RMPUPDATE } from '../abi/costs';
import { EAGAIN } from '../abi/errno';
import { NO_PFN, PTRS_PER_2M, SH_RMP } from '../abi/layout';
import {
  KVM_ASID, KVM_MEM_PRIVATE, KVM_TYPE, KVM_TYPE_SNP, SLOT_BASE_GFN, SLOT_FLAGS, SLOT_KVM, SLOT_NPAGES, SLOT_RM_FILE, SLOT_RM_INDEX,
} from '../abi/kvm';
import { FILE_F_MAPPING, MAPPING_PRIVATE_DATA, RM_MEMFD, SHMEM_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { PG_LEVEL_2M, PG_LEVEL_4K, RMP_ENTRY_SIZE, SNPC_HOOK_PAGES, SNPC_LEAKED_PAGES, SNPC_RMPUPDATES } from '../abi/snp';
import { V_B06, V_B07, V_B09 } from '../abi/variants';
import { spend, spendMany } from '../costs';
import { kvmRestrictedmemGetPfn } from '../kvm/restrictedmem_kvm';
import { getPageUnlessZero, putPage, snpLeakPages } from '../mm/page';
import { xaIsValue, xaLoad, xasFind, xasIndex, xasInit, xasPause, xasRetry, xaToValue } from '../mm/xarray';
import { XAS_INDEX, XAS_LEAF, XAS_SIZE } from '../mm/xarray-cursor';
import { slotLoad, slotOf, XA_CHUNK_MASK } from '../mm/xarray-node';
import { xaWarmSiblings } from '../mm/xarray-warm';
import { atomicLoadStatic64, cpuRelax, load32, load64, loadStatic32, store32, store64, variant } from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { nap } from '../sync/word';
import { stackPop, stackPush } from '../task';
import { snpMakePageShared } from './convert';
import { rmpRegionAssigned } from './access';
import { snpCount } from './helpers';
import { rmpUnassignFollower, rmpUnassignHead, rmpUncount } from './instructions';
import { rmpAssigned, rmpEntry, rmpHeadEntry, rmpIsHead, rmpLevel, rmpState } from './rmp';

/** A page that cannot be reset is leaked: its next host user would die of an RMP fault. */
export const ON_FAILURE_LEAK: u32 = 0;
/** It is let be, as posted (B09). */
export const ON_FAILURE_IGNORE: u32 = 1;
/** The walk ends there. */
export const ON_FAILURE_STOP: u32 = 2;

/** Leafs of the page cache walked inside one RCU section: 512 pages, some microseconds. */
const LEAFS_PER_SECTION: u32 = 8;
const FOLIO_MASK: u64 = 511;
const HOLD_SPINS: u32 = 256;
const HOLD_NAP_NS: i64 = 50_000;

// The walk's local struct, on the task's stack.
const W_WHOLE: usize = 0; // u32 the page cache entry at which the walk has stopped because it needs whole instructions, or 0
const W_START: usize = 8; // u64 [start, end): the indices of the walk
const W_END: usize = 16; // u64
const W_GFN_DELTA: usize = 24; // u64 gfn - index
const W_CACHE: usize = 32; // u32 the XArray that is walked: the file's page cache or a part of it
const W_ASID: usize = 36; // u32
const W_ON_FAILURE: usize = 40; // u32 what becomes of a page that cannot be reset, ON_FAILURE_*
const W_FAILED: usize = 44; // u32 pages that could not be reset
const W_RESET: usize = 48; // u32 pages given back outside runs
const W_AHEAD: usize = 56; // u64 index up to which cache lines have been read ahead
const W_XAS: usize = 64; // the cursor
const W_SIZE: usize = W_XAS + XAS_SIZE;

/**
 * kvm_x86_ops.invalidate_restricted_mem for SNP guests: resets the RMP entries of the slot's pages in [startGfn, endGfn). Several tasks may
 * work on disjoint parts of one slot at the same time.
 * @context restrictedmem.lock (read or write) keeps the slot bound; an open invalidation covers the range; may sleep.
 */
export function sevInvalidatePrivateRange(slot: usize, startGfn: u64, endGfn: u64): void {
  if (!hookConcerns(slot)) return;
  if (variant(V_B07)) invalidateAllocating(slot, startGfn, endGfn);
  else resetPresentPages(slot, startGfn, endGfn, onFailure());
}

/**
 * The same for pages that may have left the file already, but for nobody's use yet: XArray `pages` holds them, its index 0 stands for file offset `base`.
 * @context as sevInvalidatePrivateRange; nobody else takes entries out of `pages`.
 */
export function sevInvalidatePages(slot: usize, startGfn: u64, endGfn: u64, pages: usize, base: u64): void {
  if (hookConcerns(slot)) resetPages(slot, startGfn, endGfn, pages, base, onFailure());
}

function onFailure(): u32 { return variant(V_B09) ? ON_FAILURE_IGNORE : ON_FAILURE_LEAK; }

function hookConcerns(slot: usize): bool {
  const kvm: usize = load32(slot + SLOT_KVM);
  return load32(kvm + KVM_TYPE) == <u32>KVM_TYPE_SNP && (load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) != 0;
}

/**
 * Gives the pages of the slot's file that are present in [startGfn, endGfn) back to the hypervisor; ON_FAILURE_* says what becomes of one that cannot be. Returns how many
 * those were.
 * @context as sevInvalidatePrivateRange.
 */
export function resetPresentPages(slot: usize, startGfn: u64, endGfn: u64, failure: u32): u32 {
  return resetPages(slot, startGfn, endGfn, pageCacheOf(slot), 0, failure);
}

function resetPages(slot: usize, startGfn: u64, endGfn: u64, pages: usize, base: u64, failure: u32): u32 {
  const slotGfn = load64(slot + SLOT_BASE_GFN);
  const start = max(startGfn, slotGfn);
  const end = min(endGfn, slotGfn + load64(slot + SLOT_NPAGES));
  if (start >= end) return 0;
  const w = stackPush(W_SIZE);
  const delta = slotGfn - load64(slot + SLOT_RM_INDEX) + base;
  store64(w + W_START, start - delta);
  store64(w + W_END, end - delta);
  store64(w + W_GFN_DELTA, delta);
  store32(w + W_CACHE, <u32>pages);
  store32(w + W_ASID, load32(<usize>load32(slot + SLOT_KVM) + KVM_ASID));
  store32(w + W_ON_FAILURE, failure);
  store32(w + W_FAILED, 0);
  store32(w + W_RESET, 0);
  store64(w + W_AHEAD, 0);
  const fast = walkPresent(w, end - delta - 1);
  const failed = load32(w + W_FAILED);
  snpCount(SNPC_RMPUPDATES, fast);
  snpCount(SNPC_HOOK_PAGES, fast + load32(w + W_RESET));
  stackPop(W_SIZE);
  return failed;
}

/**
 * Walks the page cache up to `last` (inclusive), each leaf as an array; what needs more than the short way is done outside the RCU section, and so
 * is now and then nothing, because grace periods wait for it. Returns the pages that took the short way.
 * @context as resetPresentPages; takes rcu_read_lock.
 */
function walkPresent(w: usize, last: u64): u32 {
  const xas = w + W_XAS;
  let fast: u32 = 0;
  let leafs: u32 = 0;
  xasInit(xas, load32(w + W_CACHE), load64(w + W_START));
  rcuReadLock();
  let entry = xasFind(xas, last);
  while (entry != 0) {
    const leaf: usize = loadStatic32(xas + XAS_LEAF);
    store32(w + W_WHOLE, leaf == 0 && !xasRetry(xas, entry) ? entry : 0);
    if (leaf != 0) {
      if (xasIndex(xas) >= load64(w + W_AHEAD)) readAhead(w, leaf, last);
      leafs++;
      fast += resetLeaf(w, leaf, last);
    }
    const whole = load32(w + W_WHOLE);
    if (whole != 0 || leafs % LEAFS_PER_SECTION == 0) {
      const offset = xasIndex(xas);
      xasPause(xas);
      rcuReadUnlock();
      if (whole != 0) resetEntry(w, offset, xaToValue(whole));
      rcuReadLock();
      if (stopped(w)) break;
    }
    entry = xasFind(xas, last);
  }
  rcuReadUnlock();
  return fast;
}

/**
 * Resets the pages of the cursor's leaf from the cursor on, as far as they go the short way: 4K entries of this guest at the gfn they are walked for.
 * The cursor stops at the last page dealt with, or at one that needs whole instructions, which is then in W_WHOLE. Returns the pages reset.
 * @context rcu_read_lock; nothing in here waits.
 */
function resetLeaf(w: usize, leaf: usize, last: u64): u32 {
  const index = load64(w + W_XAS + XAS_INDEX);
  const first = slotOf(index, 0);
  const end = first + <u32>min<u64>(XA_CHUNK_MASK - first, last - index);
  const table: usize = load32(SH_RMP);
  // What the entry of slot 0's page would have to be; each slot is a page further.
  const wanted = rmpState((index - first + load64(w + W_GFN_DELTA)) << 12, PG_LEVEL_4K, load32(w + W_ASID), false);
  let runHead: usize = 0;
  let run: u32 = 0;
  let fast: u32 = 0;
  let offset = first;
  let entry: u32 = 0;
  for (; offset <= end; offset++) {
    entry = slotLoad(leaf, offset);
    if (entry == 0) continue;
    if (!xaIsValue(entry)) break;
    const pfn = xaToValue(entry);
    const rmp = table + <usize>pfn * RMP_ENTRY_SIZE;
    if ((pfn & (PTRS_PER_2M - 1)) == 0 || !rmpUnassignFollower(rmp, wanted + (<u64>offset << 12))) {
      if (!rmpAssigned(pfn)) continue;
      store32(w + W_WHOLE, entry);
      break;
    }
    const head = rmp - <usize>(pfn & (PTRS_PER_2M - 1)) * RMP_ENTRY_SIZE;
    if (head != runHead) {
      if (run != 0) rmpUncount(runHead, run);
      runHead = head;
      fast += run;
      run = 0;
    }
    run++;
  }
  // Whole instructions must not meet our own outstanding count.
  if (run != 0) rmpUncount(runHead, run);
  spendMany(COST_RMPUPDATE, fast + run);
  store64(w + W_XAS + XAS_INDEX, index - first + min<u32>(offset, end));
  xasRetry(w + W_XAS, entry);
  return fast + run;
}

/**
 * Reads the cache lines of the leafs of a section from the cursor's on, and of their pages' RMP entries: they come in side by side, while the locked
 * instructions that follow wait for each other. @context rcu_read_lock.
 */
function readAhead(w: usize, leaf: usize, last: u64): void {
  const index = xasIndex(w + W_XAS);
  const first = slotOf(index, 0);
  const leafs = <u32>min<u64>((last >> 6) - (index >> 6) + 1, LEAFS_PER_SECTION);
  if (leafs == 1) {
    warmEntries(leaf, first, first + <u32>(last - index));
  } else {
    const nodes = stackPush(LEAFS_PER_SECTION << 2);
    const found = xaWarmSiblings(leaf, leafs, nodes);
    for (let n: u32 = 0; n < found; n++) warmEntries(loadStatic32(nodes + (<usize>n << 2)), 0, XA_CHUNK_MASK);
    stackPop(LEAFS_PER_SECTION << 2);
  }
  store64(w + W_AHEAD, index - first + (<u64>leafs << 6));
}

/** The RMP entry of every fourth page of a leaf's slots from `first` to `end` (inclusive), a cache line each where the pages are neighbours. @context rcu_read_lock. */
// @ts-ignore: decorator
@inline
function warmEntries(leaf: usize, first: u32, end: u32): void {
  const table: usize = load32(SH_RMP);
  for (let offset = first; offset <= end; offset += 4) {
    const entry = slotLoad(leaf, offset);
    if (xaIsValue(entry)) atomicLoadStatic64(table + <usize>xaToValue(entry) * RMP_ENTRY_SIZE);
  }
}

/** The short way for one page outside a run: a region's head, or the only page of a file. Whether the page has been reset. */
function resetShort(w: usize, offset: u64, pfn: u32): bool {
  const wanted = rmpState((offset + load64(w + W_GFN_DELTA)) << 12, PG_LEVEL_4K, load32(w + W_ASID), false);
  if (rmpIsHead(pfn)) {
    if (!rmpUnassignHead(rmpEntry(pfn), wanted)) return false;
  } else {
    if (!rmpUnassignFollower(rmpEntry(pfn), wanted)) return false;
    rmpUncount(rmpHeadEntry(pfn), 1);
  }
  spend(COST_RMPUPDATE);
  snpCount(SNPC_RMPUPDATES, 1);
  store32(w + W_RESET, load32(w + W_RESET) + 1);
  return true;
}

/** One entry of the page cache outside a run: a folio of order 9, a page under a 2M RMP entry, a head, a page of somebody else, or nothing to do. */
function resetEntry(w: usize, offset: u64, value: u32): void {
  const pfn = value & ~(<u32>SHMEM_FOLIO);
  if (value == pfn) {
    if (!resetShort(w, offset, pfn) && rmpAssigned(pfn)) resetHeld(w, offset, offset + 1);
    return;
  }
  if (rmpRegionAssigned(pfn) == 0) return;
  // The folio can be split, and parts of it punched out, while we are at it: what the file holds then is looked up page by page.
  const end = min((offset & ~FOLIO_MASK) + PTRS_PER_2M, load64(w + W_END));
  let at = offset;
  while (at < end && !stopped(w)) at += resetHeld(w, at, end);
}

// @ts-ignore: decorator
@inline
function stopped(w: usize): bool { return load32(w + W_ON_FAILURE) == ON_FAILURE_STOP && load32(w + W_FAILED) != 0; }

/**
 * Resets what the file holds at `offset`, of a folio all up to `end`, under a reference. Returns how many offsets that were.
 * @context as resetPresentPages.
 */
function resetHeld(w: usize, offset: u64, end: u64): u64 {
  const value = holdEntry(load32(w + W_CACHE), offset);
  if (value == <u32>NO_PFN) return 1;
  const head = value & ~(<u32>SHMEM_FOLIO);
  let done: u64 = 1;
  if (value == head) {
    resetPage(w, head, chunkIs2m(w, offset, head));
  } else {
    const pfn = head + <u32>(offset & FOLIO_MASK);
    done = end - offset;
    if (chunkIs2m(w, offset, pfn)) {
      resetPage(w, pfn, true);
    } else {
      for (let n: u32 = 0; n < <u32>done && !stopped(w); n++) resetPage(w, pfn + n, false);
    }
  }
  putPage(head);
  return done;
}

/**
 * The page cache's value at `offset` with a reference to its page or folio, or NO_PFN. kernel: filemap_get_entry.
 * @context any; waits while a folio is being split.
 */
function holdEntry(cache: usize, offset: u64): u32 {
  for (let tries: u32 = 0; ; tries++) {
    const entry = xaLoad(cache, offset);
    if (entry == 0) return NO_PFN;
    const value = xaToValue(entry);
    if (getPageUnlessZero(value & ~(<u32>SHMEM_FOLIO))) {
      if (xaLoad(cache, offset) == entry) return value;
      putPage(value & ~(<u32>SHMEM_FOLIO));
    }
    if (tries < HOLD_SPINS) cpuRelax();
    else nap(HOLD_NAP_NS);
  }
  return NO_PFN;
}

/** Whether one 2M RMPUPDATE does it: a 2M entry, and its whole 2M chunk of gfns inside the range. */
function chunkIs2m(w: usize, offset: u64, pfn: u32): bool {
  const gfn = offset + load64(w + W_GFN_DELTA);
  if ((pfn & (PTRS_PER_2M - 1)) != 0 || (gfn & (PTRS_PER_2M - 1)) != 0 || rmpLevel(pfn) != PG_LEVEL_2M) return false;
  // B06: with an inclusive last gfn the comparison leaves the last aligned chunk to PSMASH and 512 single updates.
  return offset + PTRS_PER_2M <= load64(w + W_END) - (variant(V_B06) ? 1 : 0);
}

/**
 * Resets one page (or the 512 of a 2M entry) with whole instructions; one that cannot be reset is leaked.
 * @context the caller holds a reference to the page.
 */
function resetPage(w: usize, pfn: u32, is2m: bool): void {
  if (is2m ? rmpRegionAssigned(pfn) == 0 : !rmpAssigned(pfn)) return;
  const pages: u32 = is2m ? PTRS_PER_2M : 1;
  const error = snpMakePageShared(pfn, is2m ? PG_LEVEL_2M : PG_LEVEL_4K);
  if (error == 0) {
    store32(w + W_RESET, load32(w + W_RESET) + pages);
    return;
  }
  if (error == -EAGAIN) {
    for (let n: u32 = 0; n < pages && !stopped(w); n++) resetPage(w, pfn + n, false);
    return;
  }
  store32(w + W_FAILED, load32(w + W_FAILED) + pages);
  if (load32(w + W_ON_FAILURE) != ON_FAILURE_LEAK) return;
  snpCount(SNPC_LEAKED_PAGES, pages);
  snpLeakPages(pfn, pages);
}

/** The XArray of the hidden shmem file behind the slot. @context the slot is bound, which keeps the file. */
function pageCacheOf(slot: usize): usize {
  const mapping = load32(<usize>load32(slot + SLOT_RM_FILE) + FILE_F_MAPPING);
  const restrictedmem = load32(<usize>mapping + MAPPING_PRIVATE_DATA);
  return <usize>load32(<usize>restrictedmem + RM_MEMFD) + SHMEM_I_PAGES;
}

/** B07, as posted: asks the file for every page of the range, and so allocates the holes; B06 and B09 as in the other walk. */
function invalidateAllocating(slot: usize, startGfn: u64, endGfn: u64): void {
  const out = stackPush(16);
  const inclusiveEnd: u64 = endGfn - (variant(V_B06) ? 1 : 0);
  let gfn = startGfn;
  while (gfn < endGfn) {
    if (kvmRestrictedmemGetPfn(slot, gfn, out, out + 8) != 0) {
      gfn++;
      continue;
    }
    const pfn = loadStatic32(out);
    let step: u32 = 1;
    if (loadStatic32(out + 8) != 0 && (gfn & (PTRS_PER_2M - 1)) == 0 && gfn + PTRS_PER_2M <= inclusiveEnd) {
      if (rmpLevel(pfn) == PG_LEVEL_2M && (pfn & (PTRS_PER_2M - 1)) == 0) step = PTRS_PER_2M;
    }
    const error = snpMakePageShared(pfn, step == 1 ? PG_LEVEL_4K : PG_LEVEL_2M);
    if (error == 0) {
      snpCount(SNPC_HOOK_PAGES, step);
    } else if (!variant(V_B09)) {
      snpCount(SNPC_LEAKED_PAGES, step);
      snpLeakPages(pfn, step);
    }
    putPage(pfn);
    gfn += step;
  }
  stackPop(16);
}
