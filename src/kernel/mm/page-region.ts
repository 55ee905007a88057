// The page allocator's inside: partitions ("zones", as Linux calls its own) of contiguous PFNs, each a spinlock over free lists. Free state is a
// bitmap per 2M region; memory never used lies in ranges that cost nothing, so that a 512 GiB host boots without touching its tables.
// kernel: mm/page_alloc.c (zone->lock, rmqueue, free_one_page); ours keeps two orders, 4K and 2M, because the RMP knows no other.
import { LC_ZONE } from '../abi/classes';
import { PTRS_PER_2M, SH_PARTITIONS, SH_PARTITION_COUNT, SH_PFN_COUNT, SH_REGIONS, SUBSYS_PAGE } from '../abi/layout';
import {
  PARTITION_SIZE, REGION_BITMAP, REGION_COMPOUND, REGION_FREE, REGION_LEAKED, REGION_NEXT, REGION_PREV, REGION_RANGE_END, REGION_RANGE_NEXT,
  REGION_SIZE, REGION_STATE, REGION_ZONE, ZONE_BUMP_END, ZONE_BUMP_NEXT, ZONE_FREE_2M, ZONE_FREE_PAGES, ZONE_GIVEN, ZONE_ID, ZONE_LOCK,
  ZONE_MANAGED, ZONE_PARTIAL, ZONE_RANGES, ZONE_TAKEN_2M, ZONE_TAKEN_4K,
} from '../abi/mm';
import { NT_PARTITION } from '../abi/names';
import { NO_PFN } from '../abi/layout';
import { OOPS_DOUBLE_FREE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { nameObject } from '../names';
import { bugOn } from '../oops';
import { atomicAnd32, atomicOr32, fillBytes, load32, load64, loadStatic32, store32, store64, storeOnce32 } from '../point';
import { spinLock, spinLockInit, spinUnlock } from '../sync/spinlock';

// SUBSYS_PAGE: words of the allocator.
export const PAGE_PCP_TABLE: usize = SUBSYS_PAGE; // u32: address of the task caches
export const PAGE_PCP_SHIFT: usize = SUBSYS_PAGE + 4; // u32: log2 of the bytes a task has there
export const PAGE_PCP_HIGH: usize = SUBSYS_PAGE + 8; // u32: pages a task may cache, 0 = none
export const PAGE_ZONE_REGIONS: usize = SUBSYS_PAGE + 12; // u32: regions of one partition
export const PAGE_LEAK_HEAD: usize = SUBSYS_PAGE + 16; // u32: snp_leaked_pages_list, under LOCK_SNP_LEAKED
export const PAGE_LEAK_COUNT: usize = SUBSYS_PAGE + 20; // u32: snp_nr_leaked_pages, under LOCK_SNP_LEAKED
export const PAGE_LOST: usize = SUBSYS_PAGE + 24; // u32: V_PLANT_LOSE_PAGE has struck

/** The partition with this number. */
// @ts-ignore: decorator
@inline
export function zoneAddress(id: u32): usize { return <usize>load32(SH_PARTITIONS) + <usize>id * PARTITION_SIZE; }
/** The 2M region with this number. */
// @ts-ignore: decorator
@inline
export function regionAddress(number: u32): usize { return <usize>load32(SH_REGIONS) + <usize>number * REGION_SIZE; }
/** The region that a page lies in. */
// @ts-ignore: decorator
@inline
export function regionOf(pfn: u32): usize { return regionAddress(pfn >> 9); }
/** Its first page. */
// @ts-ignore: decorator
@inline
export function regionFirstPfn(region: usize): u32 { return (<u32>(region - <usize>load32(SH_REGIONS)) / REGION_SIZE) << 9; }

/** @context boot. */
export function zonesInit(): void {
  const count = load32(SH_PARTITION_COUNT);
  const regions = (load32(SH_PFN_COUNT) + PTRS_PER_2M - 1) / PTRS_PER_2M;
  store32(PAGE_ZONE_REGIONS, max<u32>(1, (regions + count - 1) / count));
  for (let id: u32 = 0; id < count; id++) {
    const zone = zoneAddress(id);
    spinLockInit(zone + ZONE_LOCK, LC_ZONE);
    store32(zone + ZONE_ID, id);
    nameObject(zone, PARTITION_SIZE, NT_PARTITION, 0, id);
  }
}

/** Partition of a PFN by geometry. */
export function zoneOfRegion(number: u32): usize {
  return zoneAddress(min<u32>(number / load32(PAGE_ZONE_REGIONS), load32(SH_PARTITION_COUNT) - 1));
}

// --- lists of regions, doubly linked by address ---

/** @context zone lock. */
function listAdd(head: usize, region: usize): void {
  const next: usize = load32(head);
  store32(region + REGION_NEXT, <u32>next);
  store32(region + REGION_PREV, 0);
  if (next != 0) store32(next + REGION_PREV, <u32>region);
  store32(head, <u32>region);
}

/** @context zone lock. */
function listDel(head: usize, region: usize): void {
  const next: usize = loadStatic32(region + REGION_NEXT);
  const prev: usize = loadStatic32(region + REGION_PREV);
  if (prev == 0) store32(head, <u32>next);
  else store32(prev + REGION_NEXT, <u32>next);
  if (next != 0) store32(next + REGION_PREV, <u32>prev);
}

// @ts-ignore: decorator
@inline
function addFree(zone: usize, change: i32): void {
  storeOnce32(zone + ZONE_FREE_PAGES, loadStatic32(zone + ZONE_FREE_PAGES) + <u32>change);
}
// @ts-ignore: decorator
@inline
function count64(p: usize, n: u64): void { store64(p, load64(p) + n); }

/** A wholly free region that is on no list any more, its bitmap full of ones; 0: none. @context zone lock. */
function takeWholeRegion(zone: usize): usize {
  const used: usize = loadStatic32(zone + ZONE_FREE_2M);
  if (used != 0) {
    listDel(zone + ZONE_FREE_2M, used);
    return used;
  }
  let number = loadStatic32(zone + ZONE_BUMP_NEXT);
  if (number == loadStatic32(zone + ZONE_BUMP_END)) {
    const range: usize = loadStatic32(zone + ZONE_RANGES);
    if (range == 0) return 0;
    number = regionFirstPfn(range) >> 9;
    store32(zone + ZONE_BUMP_END, load32(range + REGION_RANGE_END));
    store32(zone + ZONE_RANGES, load32(range + REGION_RANGE_NEXT));
  }
  store32(zone + ZONE_BUMP_NEXT, number + 1);
  const region = regionAddress(number);
  store32(region + REGION_ZONE, <u32>zone);
  store32(region + REGION_FREE, PTRS_PER_2M);
  fillBytes(region + REGION_BITMAP, 0xff, 64);
  return region;
}

/** The region to take single pages from, on the partial list; 0: the partition is empty. @context zone lock. */
// @ts-ignore: decorator
@inline
function partialRegion(zone: usize): usize {
  const region: usize = loadStatic32(zone + ZONE_PARTIAL);
  return region != 0 ? region : openRegion(zone);
}
function openRegion(zone: usize): usize {
  const region = takeWholeRegion(zone);
  if (region != 0) listAdd(zone + ZONE_PARTIAL, region);
  return region;
}

/** Takes up to `count` pages out of one partly free region. Returns how many. @context zone lock. */
function takeFromRegion(zone: usize, region: usize, list: usize, count: u32): u32 {
  const base = regionFirstPfn(region);
  let taken: u32 = 0;
  for (let word: u32 = 0; word < 8 && taken < count; word++) {
    const p = region + REGION_BITMAP + (<usize>word << 3);
    let bits = load64(p);
    if (bits == 0) continue;
    while (bits != 0 && taken < count) {
      store32(list + (<usize>taken << 2), base + (word << 6) + <u32>ctz(bits));
      bits &= bits - 1;
      taken++;
    }
    store64(p, bits);
  }
  const left = loadStatic32(region + REGION_FREE) - taken;
  store32(region + REGION_FREE, left);
  if (left == 0) listDel(zone + ZONE_PARTIAL, region);
  return taken;
}

/**
 * Takes up to `count` single pages from a partition into `list` (u32 each): partly free regions first, so that whole ones last.
 * Returns how many; fewer only when the partition is empty. The pages have reference count 0 and stale content.
 * @context takes the zone lock.
 */
export function zoneTakePages(zone: usize, list: usize, count: u32): u32 {
  let taken: u32 = 0;
  spinLock(zone + ZONE_LOCK);
  while (taken < count) {
    const region = partialRegion(zone);
    if (region == 0) break;
    taken += takeFromRegion(zone, region, list + (<usize>taken << 2), count - taken);
  }
  addFree(zone, -<i32>taken);
  count64(zone + ZONE_TAKEN_4K, taken);
  spinUnlock(zone + ZONE_LOCK);
  return taken;
}

/** One page, without a list. @context takes the zone lock. */
export function zoneTakePage(zone: usize): u32 {
  let pfn: u32 = NO_PFN;
  spinLock(zone + ZONE_LOCK);
  const region = partialRegion(zone);
  if (region != 0) {
    let p = region + REGION_BITMAP;
    let bits = load64(p);
    while (bits == 0) {
      p += 8;
      bits = load64(p);
    }
    pfn = regionFirstPfn(region) + (<u32>(p - region - REGION_BITMAP) << 3) + <u32>ctz(bits);
    store64(p, bits & (bits - 1));
    const left = loadStatic32(region + REGION_FREE) - 1;
    store32(region + REGION_FREE, left);
    if (left == 0) listDel(zone + ZONE_PARTIAL, region);
    addFree(zone, -1);
    count64(zone + ZONE_TAKEN_4K, 1);
  }
  spinUnlock(zone + ZONE_LOCK);
  return pfn;
}

/** A 2M folio: its first PFN, or NO_PFN. @context takes the zone lock. */
export function zoneTakeFolio(zone: usize): u32 {
  spinLock(zone + ZONE_LOCK);
  const region = takeWholeRegion(zone);
  if (region != 0) {
    fillBytes(region + REGION_BITMAP, 0, 64);
    store32(region + REGION_FREE, 0);
    atomicOr32(region + REGION_STATE, REGION_COMPOUND);
    addFree(zone, -PTRS_PER_2M);
    count64(zone + ZONE_TAKEN_2M, 1);
  }
  spinUnlock(zone + ZONE_LOCK);
  return region == 0 ? <u32>NO_PFN : regionFirstPfn(region);
}

/** Gives back the pages whose bits are set in word `word` of a region's bitmap. @context zone lock. */
function giveBits(zone: usize, region: usize, word: u32, bits: u64): void {
  const p = region + REGION_BITMAP + (<usize>word << 3);
  const old = load64(p);
  if (ORACLES) bugOn((old & bits) != 0, ORACLE_KERNEL_BUG, OOPS_DOUBLE_FREE, <f64>(regionFirstPfn(region) + (word << 6) + <u32>ctz(old & bits)));
  store64(p, old | bits);
  const before = loadStatic32(region + REGION_FREE);
  const after = before + <u32>popcnt(bits);
  store32(region + REGION_FREE, after);
  if (before == 0) listAdd(zone + ZONE_PARTIAL, region);
  if (after == PTRS_PER_2M) {
    listDel(zone + ZONE_PARTIAL, region);
    listAdd(zone + ZONE_FREE_2M, region);
  }
}

/**
 * Gives back those pages of `list` that belong to `zone`, under one hold of its lock; runs inside one bitmap word cost one update.
 * The others are moved to the front of the list; returns their number.
 * @context takes the zone lock. The pages have no reference.
 */
export function zoneGivePages(zone: usize, list: usize, count: u32): u32 {
  let kept: u32 = 0;
  let n: u32 = 0;
  spinLock(zone + ZONE_LOCK);
  while (n < count) {
    const pfn = loadStatic32(list + (<usize>n << 2));
    n++;
    const region = regionOf(pfn);
    if (loadStatic32(region + REGION_ZONE) != <u32>zone) {
      store32(list + (<usize>kept << 2), pfn);
      kept++;
      continue;
    }
    let bits: u64 = <u64>1 << <u64>(pfn & 63);
    while (n < count) {
      const next = loadStatic32(list + (<usize>n << 2));
      if (next >> 6 != pfn >> 6) break;
      bits |= <u64>1 << <u64>(next & 63);
      n++;
    }
    giveBits(zone, region, (pfn >> 6) & 7, bits);
  }
  addFree(zone, <i32>(count - kept));
  count64(zone + ZONE_GIVEN, count - kept);
  spinUnlock(zone + ZONE_LOCK);
  return kept;
}

/** Gives one page back. @context takes the zone lock. */
export function zoneGivePage(pfn: u32): void {
  const region = regionOf(pfn);
  const zone: usize = loadStatic32(region + REGION_ZONE);
  spinLock(zone + ZONE_LOCK);
  giveBits(zone, region, (pfn >> 6) & 7, <u64>1 << <u64>(pfn & 63));
  addFree(zone, 1);
  count64(zone + ZONE_GIVEN, 1);
  spinUnlock(zone + ZONE_LOCK);
}

/** Gives a whole 2M folio back. @context takes the zone lock; the folio has no reference. */
export function zoneGiveFolio(head: u32): void {
  const region = regionOf(head);
  const zone: usize = loadStatic32(region + REGION_ZONE);
  spinLock(zone + ZONE_LOCK);
  atomicAnd32(region + REGION_STATE, ~REGION_COMPOUND);
  fillBytes(region + REGION_BITMAP, 0xff, 64);
  store32(region + REGION_FREE, PTRS_PER_2M);
  listAdd(zone + ZONE_FREE_2M, region);
  addFree(zone, PTRS_PER_2M);
  count64(zone + ZONE_GIVEN, PTRS_PER_2M);
  spinUnlock(zone + ZONE_LOCK);
}

/** Makes [start, end), within one partition, usable memory. Only the edges of the range touch their regions. @context takes the zone lock. */
export function zoneAddRange(zone: usize, start: u32, end: u32): void {
  let pfn = start;
  spinLock(zone + ZONE_LOCK);
  while (pfn < end) {
    const whole = end - pfn >= <u32>PTRS_PER_2M && (pfn & (PTRS_PER_2M - 1)) == 0;
    if (whole) {
      const last = end & ~(<u32>PTRS_PER_2M - 1);
      addUntouched(zone, pfn >> 9, last >> 9);
      pfn = last;
    } else {
      const region = regionOf(pfn);
      const word = (pfn >> 6) & 7;
      const stop = min<u32>(end, (pfn | 63) + 1);
      const length = stop - pfn;
      store32(region + REGION_ZONE, <u32>zone);
      giveBits(zone, region, word, (length == 64 ? ~(<u64>0) : (<u64>1 << <u64>length) - 1) << <u64>(pfn & 63));
      pfn = stop;
    }
  }
  addFree(zone, <i32>(end - start));
  store32(zone + ZONE_MANAGED, loadStatic32(zone + ZONE_MANAGED) + (end - start));
  spinUnlock(zone + ZONE_LOCK);
}

/** Regions [first, end) become untouched memory; nothing is written but one word in the first. @context zone lock. */
function addUntouched(zone: usize, first: u32, end: u32): void {
  const region = regionAddress(first);
  store32(region + REGION_RANGE_END, end);
  store32(region + REGION_RANGE_NEXT, loadStatic32(zone + ZONE_RANGES));
  store32(zone + ZONE_RANGES, <u32>region);
}

/** The folio becomes 512 single pages. @context nobody else can reach it: no reference, or frozen. */
export function clearCompound(head: u32): void {
  atomicAnd32(regionOf(head) + REGION_STATE, ~(REGION_COMPOUND | REGION_LEAKED));
}
