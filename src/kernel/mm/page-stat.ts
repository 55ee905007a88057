// Statistics and audit of the page allocator: conservation (allocated + free + cached + leaked = all), and whether lists, counters and bitmaps agree.
// The numbers come from different places (partitions, task caches, leak list), so a lost page shows as a difference.
import { NO_PFN, SH_MAX_TASKS, SH_PARTITION_COUNT, SH_PFN_COUNT } from '../abi/layout';
import {
  PAGE_REF_MASK, PCP_ALLOCATED, PCP_COUNT, PG_LEAKED, PTRS_PER_FOLIO, REGION_BITMAP, REGION_COMPOUND, REGION_FREE, REGION_NEXT,
  REGION_RANGE_END, REGION_RANGE_NEXT, REGION_STATE, REGION_ZONE, ZONE_BUMP_END, ZONE_BUMP_NEXT, ZONE_FREE_2M, ZONE_FREE_PAGES,
  ZONE_LOCK, ZONE_MANAGED, ZONE_PARTIAL, ZONE_RANGES,
} from '../abi/mm';
import { atomicLoad32, load32, loadStatic32, loadStatic64 } from '../point';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { pageAddress } from './page';
import { pcpOf } from './page-pcp';
import { PAGE_LEAK_COUNT, regionAddress, regionFirstPfn, zoneAddress } from './page-region';

/** Pages the partition was given by addMemory. */
export function zoneManaged(partition: u32): u32 { return load32(zoneAddress(partition) + ZONE_MANAGED); }
/** Free pages of a partition, without those in task caches. */
export function zoneFree(partition: u32): u32 { return atomicLoad32(zoneAddress(partition) + ZONE_FREE_PAGES); }

/** Pages that all partitions were given. */
export function managedPages(): u32 {
  let sum: u32 = 0;
  for (let id: u32 = 0; id < load32(SH_PARTITION_COUNT); id++) sum += zoneManaged(id);
  return sum;
}

/** Free pages of all partitions, without those in task caches. */
export function freePages(): u32 {
  let sum: u32 = 0;
  for (let id: u32 = 0; id < load32(SH_PARTITION_COUNT); id++) sum += zoneFree(id);
  return sum;
}

/** Free pages in task caches. */
export function cachedPages(): u32 {
  let sum: u32 = 0;
  for (let id: u32 = 0; id < load32(SH_MAX_TASKS); id++) sum += atomicLoad32(pcpOf(id) + PCP_COUNT);
  return sum;
}

/** Pages in use: what the tasks count as allocated minus freed minus leaked. */
export function allocatedPages(): u32 {
  let sum: u32 = 0;
  for (let id: u32 = 0; id < load32(SH_MAX_TASKS); id++) sum += atomicLoad32(pcpOf(id) + PCP_ALLOCATED);
  return sum;
}

/** Pages on the leak list. kernel: snp_nr_leaked_pages. */
export function leakedPages(): u32 { return atomicLoad32(PAGE_LEAK_COUNT); }

/** Pages that nobody accounts for: all minus (allocated + free + cached + leaked). 0 at rest, unless one was lost. */
export function lostPages(): i32 {
  return <i32>(managedPages() - allocatedPages() - freePages() - cachedPages() - leakedPages());
}

/**
 * Checks a partition at rest: every region on its right list, bitmaps and counters in agreement, no free page with a reference. Returns
 * NO_PFN, or a PFN of the first region that is wrong (the partition's first, when only its total is).
 * @context takes the zone lock for long: at rest only.
 */
export function zoneAudit(partition: u32): u32 {
  const zone = zoneAddress(partition);
  spinLock(zone + ZONE_LOCK);
  let free: u32 = 0;
  let wrong: u32 = NO_PFN;
  for (let region: usize = loadStatic32(zone + ZONE_PARTIAL); region != 0 && wrong == <u32>NO_PFN; region = loadStatic32(region + REGION_NEXT)) {
    const count = loadStatic32(region + REGION_FREE);
    free += count;
    if (count == 0 || count >= <u32>PTRS_PER_FOLIO || !regionAgrees(zone, region)) wrong = regionFirstPfn(region);
  }
  for (let region: usize = loadStatic32(zone + ZONE_FREE_2M); region != 0 && wrong == <u32>NO_PFN; region = loadStatic32(region + REGION_NEXT)) {
    free += PTRS_PER_FOLIO;
    if (loadStatic32(region + REGION_FREE) != PTRS_PER_FOLIO || !regionAgrees(zone, region)) wrong = regionFirstPfn(region);
  }
  free += (loadStatic32(zone + ZONE_BUMP_END) - loadStatic32(zone + ZONE_BUMP_NEXT)) * PTRS_PER_FOLIO;
  for (let range: usize = loadStatic32(zone + ZONE_RANGES); range != 0; range = load32(range + REGION_RANGE_NEXT)) {
    free += (load32(range + REGION_RANGE_END) << 9) - regionFirstPfn(range);
  }
  if (wrong == <u32>NO_PFN && free != loadStatic32(zone + ZONE_FREE_PAGES)) wrong = loadStatic32(zone + ZONE_BUMP_NEXT) << 9;
  spinUnlock(zone + ZONE_LOCK);
  return wrong;
}

/** @context zone lock. */
function regionAgrees(zone: usize, region: usize): bool {
  if (loadStatic32(region + REGION_ZONE) != <u32>zone || (loadStatic32(region + REGION_STATE) & REGION_COMPOUND) != 0) return false;
  const base = regionFirstPfn(region);
  let count: u32 = 0;
  for (let word: u32 = 0; word < 8; word++) {
    let bits = loadStatic64(region + REGION_BITMAP + (<usize>word << 3));
    count += <u32>popcnt(bits);
    while (bits != 0) {
      const pfn = base + (word << 6) + <u32>ctz(bits);
      if (pfn >= load32(SH_PFN_COUNT) || (atomicLoad32(pageAddress(pfn)) & (PAGE_REF_MASK | PG_LEAKED)) != 0) return false;
      bits &= bits - 1;
    }
  }
  return count == loadStatic32(region + REGION_FREE);
}

/** Whether a PFN lies in memory that is free now (bitmap, free list or never used; not in a task cache). @context at rest, or as a hint. */
export function pageIsFree(pfn: u32): bool {
  const region = regionAddress(pfn >> 9);
  if (loadStatic32(region + REGION_ZONE) == 0) return false;
  return ((loadStatic64(region + REGION_BITMAP + (<usize>((pfn >> 6) & 7) << 3)) >> <u64>(pfn & 63)) & 1) != 0;
}
