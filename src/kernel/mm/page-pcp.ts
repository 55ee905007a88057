// Per-task page caches: single pages come and go without the zone lock; a batch moves under one hold. A cache holds pages of one partition
// at a time. Tasks also count here what they have allocated, so that conservation can be audited from numbers nobody shares.
// kernel: mm/page_alloc.c per_cpu_pages (rmqueue_pcplist, free_unref_page_commit, free_pcppages_bulk).
import { SH_MAX_TASKS, SH_PFN_COUNT } from '../abi/layout';
import { NO_PFN, TASK_ID, TASK_PCP } from '../abi/layout';
import { PCP_ALLOCATED, PCP_COUNT, PCP_HIGH, PCP_HIGH_MAX, PCP_MISSES, PCP_PFNS, PCP_ZONE, REGION_ZONE } from '../abi/mm';
import { PB_FAIL_CHANCE } from '../abi/perturb';
import { vmalloc } from '../heap';
import { allocationFails } from '../perturb';
import { current, load32, loadStatic32, peek32, store32 } from '../point';
import { PAGE_PCP_HIGH, PAGE_PCP_SHIFT, PAGE_PCP_TABLE, regionOf, zoneGivePage, zoneGivePages, zoneTakePage, zoneTakePages } from './page-region';

/** Requests for another partition that a cache sees before it is given up for that one. */
const MISSES_MAX: u32 = 8;
/** A host too small for this many pages a task gets no caches: hoarded pages would look like exhaustion. */
const HIGH_MIN: u32 = 16;

/** @context boot. */
export function pcpInit(): void {
  const tasks = load32(SH_MAX_TASKS);
  let high = min<u32>(PCP_HIGH_MAX, load32(SH_PFN_COUNT) / (tasks * 32));
  if (high < HIGH_MIN) high = 0;
  const shift: u32 = high == 0 ? 6 : 9;
  store32(PAGE_PCP_HIGH, high);
  store32(PAGE_PCP_SHIFT, shift);
  store32(PAGE_PCP_TABLE, <u32>vmalloc(<u64>tasks << <u64>shift));
}

/** The cache of the task with this id. */
// @ts-ignore: decorator
@inline
export function pcpOf(task: u32): usize { return <usize>load32(PAGE_PCP_TABLE) + (<usize>task << load32(PAGE_PCP_SHIFT)); }
/** The cache of this task. */
// @ts-ignore: decorator
@inline
export function pcpCurrent(): usize {
  const pcp: usize = loadStatic32(current + TASK_PCP);
  return pcp != 0 ? pcp : pcpBind();
}

/** The same for an allocation; 0 when it is to fail. @context any. */
// @ts-ignore: decorator
@inline
export function pcpUnlessFails(): usize {
  const pcp: usize = loadStatic32(current + TASK_PCP);
  return pcp != 0 ? pcp : pcpBindUnlessFails();
}

/** pcpUnlessFails of a task that does not know its cache. */
export function pcpBindUnlessFails(): usize { return allocationFails() ? 0 : pcpBind(); }

/** A task that allocates for the first time notes where its cache is: not where allocations may fail, so that only there each of them has to look. */
function pcpBind(): usize {
  const pcp = pcpOf(loadStatic32(current + TASK_ID));
  store32(pcp + PCP_HIGH, load32(PAGE_PCP_HIGH));
  if (!PERTURBED || peek32(PB_FAIL_CHANCE) == 0) store32(current + TASK_PCP, <u32>pcp);
  return pcp;
}

/** Counts `n` pages that this task allocated (negative: freed or leaked). */
// @ts-ignore: decorator
@inline
export function pcpCount(pcp: usize, n: i32): void { store32(pcp + PCP_ALLOCATED, loadStatic32(pcp + PCP_ALLOCATED) + <u32>n); }

/** A page of `zone` with reference count 0, or NO_PFN when it has none. @context any; takes the zone lock to refill. */
// @ts-ignore: decorator
@inline
export function pcpTake(pcp: usize, zone: usize): u32 {
  const count = loadStatic32(pcp + PCP_COUNT);
  if (count == 0 || loadStatic32(pcp + PCP_ZONE) != <u32>zone) return pcpTakeSlow(pcp, zone);
  store32(pcp + PCP_COUNT, count - 1);
  return loadStatic32(pcp + PCP_PFNS - 4 + (<usize>count << 2));
}

function pcpTakeSlow(pcp: usize, zone: usize): u32 {
  const high = loadStatic32(pcp + PCP_HIGH);
  if (high == 0) return zoneTakePage(zone);
  if (loadStatic32(pcp + PCP_COUNT) != 0) {
    const misses = loadStatic32(pcp + PCP_MISSES) + 1;
    store32(pcp + PCP_MISSES, misses);
    if (misses < MISSES_MAX) return zoneTakePage(zone);
    pcpDrain(pcp);
  }
  store32(pcp + PCP_ZONE, <u32>zone);
  store32(pcp + PCP_MISSES, 0);
  const taken = zoneTakePages(zone, pcp + PCP_PFNS, high >> 1);
  if (taken == 0) return NO_PFN;
  store32(pcp + PCP_COUNT, taken - 1);
  return loadStatic32(pcp + PCP_PFNS - 4 + (<usize>taken << 2));
}

/** Keeps a free page of `region` in the cache, or gives it to its partition. @context any; takes the zone lock when the cache is full or another's. */
// @ts-ignore: decorator
@inline
export function pcpGive(pcp: usize, region: usize, pfn: u32): void {
  const count = loadStatic32(pcp + PCP_COUNT);
  if (count >= loadStatic32(pcp + PCP_HIGH) || loadStatic32(pcp + PCP_ZONE) != loadStatic32(region + REGION_ZONE)) {
    pcpGiveSlow(pcp, pfn, count);
    return;
  }
  store32(pcp + PCP_PFNS + (<usize>count << 2), pfn);
  store32(pcp + PCP_COUNT, count + 1);
}

function pcpGiveSlow(pcp: usize, pfn: u32, count: u32): void {
  const high = loadStatic32(pcp + PCP_HIGH);
  if (high == 0 || count != 0 && loadStatic32(pcp + PCP_ZONE) != loadStatic32(regionOf(pfn) + REGION_ZONE)) {
    zoneGivePage(pfn);
    return;
  }
  if (count == 0) {
    store32(pcp + PCP_ZONE, loadStatic32(regionOf(pfn) + REGION_ZONE));
  } else {
    // Half goes back in one batch, from the end of the array: nothing has to be moved.
    const batch = count >> 1;
    count -= batch;
    zoneGivePages(loadStatic32(pcp + PCP_ZONE), pcp + PCP_PFNS + (<usize>count << 2), batch);
  }
  store32(pcp + PCP_PFNS + (<usize>count << 2), pfn);
  store32(pcp + PCP_COUNT, count + 1);
}

/**
 * Keeps the free pages of a short list as far as they fit and belong to the cache's partition. The others are moved to the front of the list; returns
 * their number. @context any; no lock. kernel: free_unref_page_list.
 */
export function pcpGiveList(pcp: usize, list: usize, count: u32): u32 {
  const high = loadStatic32(pcp + PCP_HIGH);
  let have = loadStatic32(pcp + PCP_COUNT);
  if (have == 0) store32(pcp + PCP_ZONE, loadStatic32(regionOf(loadStatic32(list)) + REGION_ZONE));
  const zone = loadStatic32(pcp + PCP_ZONE);
  let left: u32 = 0;
  for (let p = list, end = list + (<usize>count << 2); p < end; p += 4) {
    const pfn = loadStatic32(p);
    if (have < high && loadStatic32(regionOf(pfn) + REGION_ZONE) == zone) {
      store32(pcp + PCP_PFNS + (<usize>have << 2), pfn);
      have++;
    } else {
      store32(list + (<usize>left << 2), pfn);
      left++;
    }
  }
  store32(pcp + PCP_COUNT, have);
  return left;
}

/** Gives all cached pages back. @context the cache's own task; takes the zone lock. kernel: drain_local_pages. */
export function pcpDrain(pcp: usize): void {
  const count = loadStatic32(pcp + PCP_COUNT);
  if (count == 0) return;
  store32(pcp + PCP_COUNT, 0);
  zoneGivePages(loadStatic32(pcp + PCP_ZONE), pcp + PCP_PFNS, count);
}
