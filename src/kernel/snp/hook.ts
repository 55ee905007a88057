// The SNP implementation of kvm_arch_invalidate_restricted_mem: before pages leave a guest, their RMP entries go back to the hypervisor.
// Runs between begin (which has zapped the range and keeps it from being assigned again) and the freeing of the pages. It walks the pages that
// are in the file; the one posted allocated every hole first (B07). kernel: SNP host RFC v8 patch 50, sev_invalidate_private_range.
import { NO_PFN, PTRS_PER_2M } from '../abi/layout';
import {
  KVM_ASID, KVM_MEM_PRIVATE, KVM_TYPE, KVM_TYPE_SNP, SLOT_BASE_GFN, SLOT_FLAGS, SLOT_KVM, SLOT_NPAGES, SLOT_RM_FILE, SLOT_RM_INDEX,
} from '../abi/kvm';
import { FILE_F_MAPPING, MAPPING_PRIVATE_DATA, RM_MEMFD, SHMEM_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { PG_LEVEL_2M, PG_LEVEL_4K, SNPC_HOOK_PAGES, SNPC_LEAKED_PAGES, SNPC_RMPUPDATES } from '../abi/snp';
import { V_B06, V_B07, V_B09 } from '../abi/variants';
import { kvmRestrictedmemGetPfn } from '../kvm/restrictedmem_kvm';
import { getPageUnlessZero, putPage, snpLeakPages } from '../mm/page';
import { xaGather, xaLoad, xaToValue } from '../mm/xarray';
import { atomicLoad64, cpuRelax, load32, load64, store32, store64, variant } from '../point';
import { stackPop, stackPush } from '../task';
import { snpMakePageShared } from './convert';
import { rmpRegionAssigned } from './access';
import { parkShortly, snpCount } from './helpers';
import { rmpUncount, rmpUnassignFollower } from './instructions';
import { rmpAssigned, rmpEntry, rmpHeadEntry, rmpLevel, rmpState } from './rmp';

const BATCH: u32 = 64;
const FOLIO_MASK: u64 = 511;
const HOLD_SPINS: u32 = 256;

// The walk's local struct, on the task's stack.
const W_CURSOR: usize = 0; // u64 next file offset to look at
const W_START: usize = 8; // u64 [start, end): the file offsets of the walk
const W_END: usize = 16; // u64
const W_GFN_DELTA: usize = 24; // u64 gfn - file offset
const W_CACHE: usize = 32; // u32 the file's page cache
const W_ASID: usize = 36; // u32
const W_LEAK: usize = 40; // u32 1: a page that cannot be reset is leaked
const W_FAILED: usize = 44; // u32 pages that could not be reset
const W_RESET: usize = 48; // u32 pages given back by whole instructions
const W_PFNS: usize = 56; // u32[BATCH]
const W_DELTAS: usize = 56 + 4 * 64; // u32[BATCH]: file offset - start of the batch
const W_SIZE: usize = 56 + 8 * 64;

/**
 * kvm_x86_ops.invalidate_restricted_mem for SNP guests: resets the RMP entries of the slot's pages in [startGfn, endGfn). Several tasks may
 * work on disjoint parts of one slot at the same time.
 * @context restrictedmem.lock (read or write) keeps the slot bound; an open invalidation covers the range; may sleep.
 */
export function sevInvalidatePrivateRange(slot: usize, startGfn: u64, endGfn: u64): void {
  const kvm: usize = load32(slot + SLOT_KVM);
  if (load32(kvm + KVM_TYPE) != <u32>KVM_TYPE_SNP || (load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) == 0) return;
  if (variant(V_B07)) invalidateAllocating(slot, startGfn, endGfn);
  else resetPresentPages(slot, startGfn, endGfn, !variant(V_B09));
}

/**
 * Gives the pages of the slot's file that are present in [startGfn, endGfn) back to the hypervisor. Returns how many could not be. `leak`: those
 * are taken out of circulation, because their next host user would die of an RMP fault.
 * @context as sevInvalidatePrivateRange.
 */
export function resetPresentPages(slot: usize, startGfn: u64, endGfn: u64, leak: bool): u32 {
  const base = load64(slot + SLOT_BASE_GFN);
  const start = max(startGfn, base);
  const end = min(endGfn, base + load64(slot + SLOT_NPAGES));
  if (start >= end) return 0;
  const w = stackPush(W_SIZE);
  const delta = base - load64(slot + SLOT_RM_INDEX);
  store64(w + W_CURSOR, start - delta);
  store64(w + W_START, start - delta);
  store64(w + W_END, end - delta);
  store64(w + W_GFN_DELTA, delta);
  store32(w + W_CACHE, <u32>pageCacheOf(slot));
  store32(w + W_ASID, load32(<usize>load32(slot + SLOT_KVM) + KVM_ASID));
  store32(w + W_LEAK, leak ? 1 : 0);
  store32(w + W_FAILED, 0);
  store32(w + W_RESET, 0);
  let fast: u32 = 0;
  while (load64(w + W_CURSOR) < end - delta) {
    const batchStart = load64(w + W_CURSOR);
    const count = xaGather(load32(w + W_CACHE), w + W_CURSOR, end - delta - 1, w + W_PFNS, w + W_DELTAS, BATCH);
    fast += resetBatch(w, batchStart, count);
  }
  const failed = load32(w + W_FAILED);
  snpCount(SNPC_RMPUPDATES, fast);
  snpCount(SNPC_HOOK_PAGES, fast + load32(w + W_RESET));
  stackPop(W_SIZE);
  return failed;
}

/**
 * Reads one RMP entry in four of a batch, a cache line each where the pages are neighbours: the lines come in side by side, while the locked
 * instructions that follow wait for each other. @context any.
 */
// @ts-ignore: decorator
@inline
function warmEntries(list: usize, count: u32): void {
  const last = list + <usize>count * 4;
  for (let p = list; p < last; p += 16) atomicLoad64(rmpEntry(load32(p) & ~(<u32>SHMEM_FOLIO)));
}

/** Resets a gathered batch. Returns how many pages took the short way: 4K entries of this guest at the gfn they are walked for. */
function resetBatch(w: usize, batchStart: u64, count: u32): u32 {
  const gfnBase = batchStart + load64(w + W_GFN_DELTA);
  const owner = rmpState(0, PG_LEVEL_4K, load32(w + W_ASID), false);
  let fast: u32 = 0;
  let runHead: usize = 0;
  let run: u32 = 0;
  const last = w + W_PFNS + <usize>count * 4;
  warmEntries(w + W_PFNS, count);
  for (let p = w + W_PFNS; p < last; p += 4) {
    const pfn = load32(p); // with SHMEM_FOLIO: a multiple of 512 too
    const delta = <u64>load32(p + (W_DELTAS - W_PFNS));
    if ((pfn & (PTRS_PER_2M - 1)) != 0 && rmpUnassignFollower(rmpEntry(pfn), owner | ((gfnBase + delta) << 12))) {
      const head = rmpHeadEntry(pfn);
      if (head != runHead) {
        if (run != 0) rmpUncount(runHead, run);
        runHead = head;
        run = 0;
      }
      run++;
      fast++;
      continue;
    }
    // Whole instructions must not meet our own outstanding count.
    if (run != 0) rmpUncount(runHead, run);
    run = 0;
    resetEntry(w, batchStart + delta, pfn);
  }
  if (run != 0) rmpUncount(runHead, run);
  return fast;
}

/** One entry of the page cache that is not a plain 4K page of this guest: a folio of order 9, a 2M RMP entry, a head, or nothing to do. */
function resetEntry(w: usize, offset: u64, value: u32): void {
  const pfn = value & ~(<u32>SHMEM_FOLIO);
  if (value == pfn) {
    if (rmpAssigned(pfn)) resetHeld(w, offset, offset + 1);
    return;
  }
  if (rmpRegionAssigned(pfn) == 0) return;
  // The folio can be split, and parts of it punched out, while we are at it: what the file holds then is looked up page by page.
  const end = min((offset & ~FOLIO_MASK) + PTRS_PER_2M, load64(w + W_END));
  let at = offset;
  while (at < end) at += resetHeld(w, at, end);
}

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
      for (let n: u32 = 0; n < <u32>done; n++) resetPage(w, pfn + n, false);
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
    else parkShortly();
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
  if (!rmpAssigned(pfn)) return;
  const pages: u32 = is2m ? PTRS_PER_2M : 1;
  if (snpMakePageShared(pfn, is2m ? PG_LEVEL_2M : PG_LEVEL_4K) == 0) {
    store32(w + W_RESET, load32(w + W_RESET) + pages);
    return;
  }
  store32(w + W_FAILED, load32(w + W_FAILED) + pages);
  if (load32(w + W_LEAK) == 0) return;
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
    const pfn = load32(out);
    let step: u32 = 1;
    if (load32(out + 8) != 0 && (gfn & (PTRS_PER_2M - 1)) == 0 && gfn + PTRS_PER_2M <= inclusiveEnd) {
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
