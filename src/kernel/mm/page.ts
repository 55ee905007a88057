// Pages: allocation, references and content. struct page is 8 bytes: a word of reference count and flags, and one token for the content.
// The free state behind it is in page-region.ts, the task caches in page-pcp.ts. kernel: mm/page_alloc.c, mm/swap.c, include/linux/page_ref.h.
import { NO_PFN, SH_PAGES, SH_PARTITION_COUNT } from '../abi/layout';
import {
  PAGE_CONTENT, PAGE_REF_MASK, PAGE_STRUCT_SIZE, PG_DIRTY, PG_LEAKED, PG_UPTODATE, PTRS_PER_FOLIO, REGION_COMPOUND, REGION_LEAKED, REGION_STATE,
  REGION_ZONE, ZONE_FALLBACKS, ZONE_FREE_PAGES, ZONE_ID,
} from '../abi/mm';
import { OOPS_FREE_ASSIGNED, OOPS_FREE_IN_USE, OOPS_REFCOUNT, ORACLE_HOST_PAGE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { V_PLANT_LOSE_PAGE, V_PLANT_NO_ZERO } from '../abi/variants';
import { oops } from '../oops';
import { allocationFails } from '../perturb';
import {
  atomicAdd32, atomicAdd64, atomicCas32, atomicLoadStatic32, atomicOr32, atomicStore32, atomicSub32, atomicXchg32, fillBytes, load32, loadStatic32, oraclesOn, store32, storeRelease32, storeRelease64, variant,
} from '../point';
import { rmpAssigned, rmpEntry, rmpInUse } from '../snp/rmp';
import { currentId } from '../task';
import { pcpCount, pcpCurrent, pcpDrain, pcpGive, pcpGiveList, pcpInit, pcpTake, pcpUnlessFails } from './page-pcp';
import {
  clearCompound, PAGE_LOST, regionOf, zoneAddRange, zoneAddress, zoneGiveFolio, zoneGivePage, zoneGivePages, zoneOfRegion, zonesInit, zoneTakeFolio,
  zoneTakePage, zoneTakePages,
} from './page-region';

export { snpLeakPages } from './page-leak';

const NONE: u32 = NO_PFN;
/** A list of up to this many free pages stays with the task, as single ones do; a longer one is worth a hold of the zone lock. */
const PCP_FEW: u32 = 32;
const REF_MASK: u32 = PAGE_REF_MASK;

/** The struct page of a PFN. */
// @ts-ignore: decorator
@inline
export function pageAddress(pfn: u32): usize { return <usize>load32(SH_PAGES) + <usize>pfn * PAGE_STRUCT_SIZE; }

/** @context boot, before any other task. */
export function pageAllocInit(): void {
  zonesInit();
  pcpInit();
}

/** Makes PFNs [startPfn, endPfn) usable memory; each PFN once. Edges need no alignment. @context takes zone locks. */
export function addMemory(startPfn: u32, endPfn: u32): void {
  let pfn = startPfn;
  while (pfn < endPfn) {
    const zone = zoneOfRegion(pfn >> 9);
    let stop = (pfn | (PTRS_PER_FOLIO - 1)) + 1;
    while (stop < endPfn && zoneOfRegion(stop >> 9) == zone) stop += PTRS_PER_FOLIO;
    stop = min<u32>(stop, endPfn);
    zoneAddRange(zone, pfn, stop);
    pfn = stop;
  }
}

/** Number of the partition a PFN belongs to. */
export function partitionOf(pfn: u32): u32 {
  const zone: usize = loadStatic32(regionOf(pfn) + REGION_ZONE);
  return load32((zone != 0 ? zone : zoneOfRegion(pfn >> 9)) + ZONE_ID);
}

// @ts-ignore: decorator
@inline
function homeZone(partition: i32): usize {
  if (partition >= 0) return zoneAddress(<u32>partition);
  const count = load32(SH_PARTITION_COUNT);
  return zoneAddress(count == 1 ? 0 : currentId() % count);
}

/**
 * Allocates 2^order pages (order 0 or 9) from `partition` (-1: this task's), or from the others in turn when it is empty. The pages read as
 * zeroes; the reference count is 1. NO_PFN when there is no memory.
 * @context any; takes zone locks. kernel: __alloc_pages(__GFP_ZERO).
 */
export function allocPages(order: u32, partition: i32): u32 {
  return order == 0 ? allocPage(partition, 1) : allocFolio(partition, 1);
}

/** One page whose word (reference count and PG_ flags) starts as `word`. @context as allocPages. */
// @ts-ignore: decorator
@inline
export function allocPage(partition: i32, word: u32): u32 {
  const pcp = pcpUnlessFails();
  if (pcp == 0) return NONE;
  const zone = homeZone(partition);
  let pfn = pcpTake(pcp, zone);
  if (pfn == NONE) {
    pfn = takeFallback(zone);
    if (pfn == NONE) return NONE;
  }
  pcpCount(pcp, 1);
  prepPage(pfn, word);
  return pfn;
}

/** A page of any other partition. @context as allocPages. kernel: get_page_from_freelist down the zonelist. */
function takeFallback(zone: usize): u32 {
  const count = load32(SH_PARTITION_COUNT);
  const home = loadStatic32(zone + ZONE_ID);
  for (let n: u32 = 1; n < count; n++) {
    const other = zoneAddress((home + n) % count);
    if (atomicLoadStatic32(other + ZONE_FREE_PAGES) == 0) continue;
    const pfn = zoneTakePage(other);
    if (pfn == NONE) continue;
    atomicAdd64(zone + ZONE_FALLBACKS, 1);
    return pfn;
  }
  // Last, what this task's own cache holds of another partition.
  const pcp = pcpCurrent();
  if (load32(pcp) == 0) return NONE;
  pcpDrain(pcp);
  return takeFallbackAny();
}

function takeFallbackAny(): u32 {
  const count = load32(SH_PARTITION_COUNT);
  for (let id: u32 = 0; id < count; id++) {
    const pfn = zoneTakePage(zoneAddress(id));
    if (pfn != NONE) return pfn;
  }
  return NONE;
}

/** Clears a page and gives it its first references: nobody else has a right to it until the caller publishes it. */
// @ts-ignore: decorator
@inline
function prepPage(pfn: u32, word: u32): void {
  if (variant(V_PLANT_NO_ZERO)) storeRelease32(pageAddress(pfn), word);
  else storeRelease64(pageAddress(pfn), <u64>word);
}

/** A 2M folio whose head word starts as `word`; NO_PFN when no partition has 512 free pages in a row. @context as allocPages. */
export function allocFolio(partition: i32, word: u32): u32 {
  if (allocationFails()) return NONE;
  const count = load32(SH_PARTITION_COUNT);
  const home = load32(homeZone(partition) + ZONE_ID);
  for (let n: u32 = 0; n < count; n++) {
    const zone = zoneAddress((home + n) % count);
    if (atomicLoadStatic32(zone + ZONE_FREE_PAGES) < <u32>PTRS_PER_FOLIO) continue;
    const head = zoneTakeFolio(zone);
    if (head == NONE) continue;
    if (n != 0) atomicAdd64(zoneAddress(home) + ZONE_FALLBACKS, 1);
    pcpCount(pcpCurrent(), PTRS_PER_FOLIO);
    // The words of the tails are 0 already (no reference, and stale flags do no harm to a page that is not a head).
    if (!variant(V_PLANT_NO_ZERO)) fillBytes(pageAddress(head), 0, PTRS_PER_FOLIO * PAGE_STRUCT_SIZE);
    atomicStore32(pageAddress(head), word);
    return head;
  }
  return NONE;
}

/**
 * Allocates up to `count` single pages into `list` (u32 each) with one hold of the zone lock. Returns how many.
 * @context as allocPages. kernel: alloc_pages_bulk_list.
 */
export function allocPagesBulk(partition: i32, word: u32, list: usize, count: u32): u32 {
  if (allocationFails()) return 0;
  const zone = homeZone(partition);
  let taken = zoneTakePages(zone, list, count);
  while (taken < count) {
    const pfn = takeFallback(zone);
    if (pfn == NONE) break;
    store32(list + (<usize>taken << 2), pfn);
    taken++;
  }
  pcpCount(pcpCurrent(), taken);
  for (let n: u32 = 0; n < taken; n++) prepPage(loadStatic32(list + (<usize>n << 2)), word);
  return taken;
}

// --- references ---

/** First page of the folio: the page itself unless it is part of a 2M folio. @context the caller holds a reference, so the folio is stable. */
// @ts-ignore: decorator
@inline
export function compoundHead(pfn: u32): u32 {
  return (loadStatic32(regionOf(pfn) + REGION_STATE) & REGION_COMPOUND) != 0 ? pfn & ~(<u32>PTRS_PER_FOLIO - 1) : pfn;
}

/** 9 for a page of a 2M folio, else 0. @context as compoundHead. kernel: folio_order. */
// @ts-ignore: decorator
@inline
export function pageOrder(pfn: u32): u32 {
  return (loadStatic32(regionOf(pfn) + REGION_STATE) & REGION_COMPOUND) != 0 ? 9 : 0;
}

/** One more reference. @context the caller holds one already. */
export function getPage(pfn: u32): void {
  const old = atomicAdd32(pageAddress(compoundHead(pfn)), 1);
  if (ORACLES && (old & REF_MASK) == 0) badRefcount(pfn, old);
}

/**
 * Takes a reference unless the page is free (or its folio is being split). `pfn` is what the page cache named: a folio's first page. The
 * page may have changed hands: look again whether it is still the one wanted, else putPage(pfn).
 * @context any. kernel: folio_try_get.
 */
// @ts-ignore: decorator
@inline
export function getPageUnlessZero(pfn: u32): bool {
  const p = pageAddress(pfn);
  let old = atomicLoadStatic32(p);
  while ((old & REF_MASK) != 0) {
    const seen = atomicCas32(p, old, old + 1);
    if (seen == old) return true;
    old = seen;
  }
  return false;
}

/** References to the folio of a page. */
export function pageRefcount(pfn: u32): u32 {
  return atomicLoadStatic32(pageAddress(compoundHead(pfn))) & REF_MASK;
}

/** Drops a reference; the last one frees the folio. @context any; takes the zone lock. kernel: put_page. */
export function putPage(pfn: u32): void {
  const region = regionOf(pfn);
  if ((loadStatic32(region + REGION_STATE) & REGION_COMPOUND) != 0) {
    putFolio(pfn & ~(<u32>PTRS_PER_FOLIO - 1));
    return;
  }
  const old = atomicSub32(pageAddress(pfn), 1);
  if (!lastReference(pfn, old)) return;
  const pcp = pcpCurrent();
  pcpCount(pcp, -1);
  if (!lost()) pcpGive(pcp, region, pfn);
}

/** @context as putPage. */
function putFolio(head: u32): void {
  const old = atomicSub32(pageAddress(head), 1);
  if ((old & REF_MASK) <= 1) freeFolio(head, old);
}

/**
 * Drops a reference of each page in `list` (u32 each) and frees those that were the last, each partition's under one hold of its lock. The
 * list is overwritten.
 * @context any; takes zone locks. kernel: release_pages, free_unref_page_list.
 */
export function putPages(list: usize, count: u32): void {
  const pcp = pcpCurrent();
  const pages: usize = load32(SH_PAGES);
  let freed: usize = list;
  let number: u32 = NONE;
  let compound: bool = false;
  // A line of eight page structs each, side by side: the locked instructions below would fetch them one behind the other.
  for (let p = list, end = list + (<usize>count << 2); p < end; p += 32) atomicLoadStatic32(pages + <usize>loadStatic32(p) * PAGE_STRUCT_SIZE);
  for (let p = list, end = list + (<usize>count << 2); p < end; p += 4) {
    const pfn = loadStatic32(p);
    // The references on the list keep every region on it as it is.
    if (pfn >> 9 != number) {
      number = pfn >> 9;
      compound = (loadStatic32(regionOf(pfn) + REGION_STATE) & REGION_COMPOUND) != 0;
    }
    if (compound) {
      putFolio(pfn & ~(<u32>PTRS_PER_FOLIO - 1));
      continue;
    }
    const old = atomicSub32(pages + <usize>pfn * PAGE_STRUCT_SIZE, 1);
    if (!lastReference(pfn, old)) continue;
    store32(freed, pfn);
    freed += 4;
  }
  let left = <u32>(freed - list) >> 2;
  pcpCount(pcp, -<i32>left);
  if (left != 0 && lost()) left--;
  if (left - 1 < PCP_FEW) left = pcpGiveList(pcp, list, left);
  while (left != 0) left = zoneGivePages(loadStatic32(regionOf(loadStatic32(list)) + REGION_ZONE), list, left);
}

/** Whether the reference just dropped was the last one and the page goes back to the allocator. `old`: its word before. */
// @ts-ignore: decorator
@inline
function lastReference(pfn: u32, old: u32): bool {
  // One comparison for the common case: one reference, not on the leak list, which keeps its pages for ever.
  if ((old & (REF_MASK | PG_LEAKED)) != 1 && (!ORACLES || (old & REF_MASK) != 0)) return false;
  if (ORACLES && (old & REF_MASK) == 0) badRefcount(pfn, old);
  if (oraclesOn()) checkUnassigned(pfn);
  return true;
}

/** A planted mistake: one page of those freed is forgotten. */
// @ts-ignore: decorator
@inline
function lost(): bool { return variant(V_PLANT_LOSE_PAGE) && atomicXchg32(PAGE_LOST, 1) == 0; }

/** Oracle 1: what goes back to the host must not be assigned in the RMP, nor in use by a VMRUN, or the next host write faults. */
function checkUnassigned(pfn: u32): void {
  if (rmpInUse(pfn)) oops(ORACLE_HOST_PAGE, OOPS_FREE_IN_USE, <f64>pfn);
  if (!rmpAssigned(pfn)) return;
  const entry = rmpEntry(pfn);
  oops(ORACLE_HOST_PAGE, OOPS_FREE_ASSIGNED, <f64>pfn, <f64>load32(entry), <f64>load32(entry + 4));
}

function badRefcount(pfn: u32, old: u32): void {
  oops(ORACLE_KERNEL_BUG, OOPS_REFCOUNT, <f64>pfn, <f64>(old & REF_MASK));
}

/** Frees a 2M folio; when some of it is leaked, the rest page by page. @context takes zone locks. */
function freeFolio(head: u32, old: u32): void {
  if (ORACLES && (old & REF_MASK) == 0) badRefcount(head, old);
  if (oraclesOn()) {
    for (let n: u32 = 0; n < <u32>PTRS_PER_FOLIO; n++) {
      if ((atomicLoadStatic32(pageAddress(head + n)) & PG_LEAKED) == 0) checkUnassigned(head + n);
    }
  }
  if ((loadStatic32(regionOf(head) + REGION_STATE) & REGION_LEAKED) == 0) {
    pcpCount(pcpCurrent(), -PTRS_PER_FOLIO);
    zoneGiveFolio(head);
    return;
  }
  clearCompound(head);
  for (let n: u32 = 0; n < <u32>PTRS_PER_FOLIO; n++) {
    if ((atomicLoadStatic32(pageAddress(head + n)) & PG_LEAKED) != 0) continue;
    pcpCount(pcpCurrent(), -1);
    zoneGivePage(head + n);
  }
}

// --- splitting a folio, for the page cache ---

/**
 * Sets the reference count of a folio to 0 if it is `expected`: from then on nobody can get at it. Undone by unfreezeFolio.
 * @context the caller holds one of the expected references. kernel: folio_ref_freeze.
 */
export function freezeFolio(head: u32, expected: u32): bool {
  const p = pageAddress(head);
  const word = atomicLoadStatic32(p);
  return (word & REF_MASK) == expected && atomicCas32(p, word, word & ~REF_MASK) == word;
}

export const CLAIM_TAKEN = 0;
/** It has been handed out. */
export const CLAIM_REFUSED = 1;
/** Somebody is looking at it and will drop it, or be given it. */
export const CLAIM_BUSY = 2;

/**
 * Freezes a page or folio that nobody was given yet (not uptodate) and to which only the page cache has a reference. One exchange decides between this and
 * who is just being given it: he has a reference before he marks it. CLAIM_*; undone by unfreezeFolio.
 * @context the page cache's lock: the entry stays. kernel: what the folio lock decides between shmem_undo_range and shmem_get_folio.
 */
export function claimUnused(head: u32): i32 {
  const p = pageAddress(head);
  const word = atomicLoadStatic32(p);
  if ((word & PG_UPTODATE) != 0) return CLAIM_REFUSED;
  return (word & REF_MASK) == 1 && atomicCas32(p, word, word & ~REF_MASK) == word ? CLAIM_TAKEN : CLAIM_BUSY;
}

/** Gives a frozen folio, or the frozen head of a split one, `count` references. */
export function unfreezeFolio(head: u32, count: u32): void {
  atomicOr32(pageAddress(head), count);
}

/** Turns a frozen folio into 512 pages; the tails get `tailCount` references, the head stays frozen. @context xa_lock of its page cache. kernel: __split_huge_page. */
export function splitFolio(head: u32, tailCount: u32): void {
  const flags = atomicLoadStatic32(pageAddress(head)) & PG_UPTODATE;
  clearCompound(head);
  for (let n: u32 = 1; n < <u32>PTRS_PER_FOLIO; n++) atomicOr32(pageAddress(head + n), flags | tailCount);
}

// --- content and flags ---

/** The token that stands for what is in the page; 0: zeros. @context any. */
export function pageContent(pfn: u32): u32 { return atomicLoadStatic32(pageAddress(pfn) + PAGE_CONTENT); }
/** Writes the whole page. @context the caller holds a reference, or maps the page. */
export function setPageContent(pfn: u32, token: u32): void { atomicStore32(pageAddress(pfn) + PAGE_CONTENT, token); }
/** The page was changed. @context the caller holds a reference, or maps the page. kernel: set_page_dirty(). */
export function setPageDirty(pfn: u32): void {
  if ((atomicLoadStatic32(pageAddress(pfn)) & PG_DIRTY) == 0) atomicOr32(pageAddress(pfn), PG_DIRTY);
}

/** Whether the page has been filled, with zeros at least. @context the caller holds a reference. */
export function pageUptodate(pfn: u32): bool { return (atomicLoadStatic32(pageAddress(pfn)) & PG_UPTODATE) != 0; }
/** @context the caller holds a reference. kernel: folio_mark_uptodate(). */
export function setPageUptodate(pfn: u32): void {
  if (!pageUptodate(pfn)) atomicOr32(pageAddress(pfn), PG_UPTODATE);
}
