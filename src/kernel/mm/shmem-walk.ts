// Walking the pages that are in the file, in batches and with references: what the arch hook and the way back from a page to its file use. Never
// allocates. kernel: mm/filemap.c filemap_get_folios.
import { NO_PFN } from '../abi/layout';
import { PTRS_PER_FOLIO, REGION_FILE_HINT, REGION_INDEX_HINT, SHMEM_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { atomicLoad32, atomicLoad64, load32, load64, store32, store64 } from '../point';
import { stackPop, stackPush } from '../task';
import { pageOrder } from './page';
import { regionOf } from './page-region';
import { shmemFindPage } from './shmem';
import { xaGather, xaLoad, xaToValue } from './xarray';

const BATCH: u32 = 64;

/**
 * Takes references to up to `max` folios that are in the file at [*indexp, end): to `outPfns` the page at the first index of the range that the folio
 * covers, to `outDeltas` that index minus the old *indexp (u32 each). *indexp moves behind what was looked at; loop while it is < end. Give the
 * references back with putPages(outPfns, count). shmemWalkPages tells how many pages each stands for.
 * @context any; takes rcu_read_lock. At most 64 a call.
 */
export function shmemWalk(f: usize, indexp: usize, end: u64, outPfns: usize, outDeltas: usize, max: u32): u32 {
  const start = load64(indexp);
  const count = xaGather(f + SHMEM_I_PAGES, indexp, end - 1, outPfns, outDeltas, max);
  let kept: u32 = 0;
  for (let n: u32 = 0; n < count; n++) {
    const delta = load32(outDeltas + (<usize>n << 2));
    const pfn = shmemFindPage(f, start + delta);
    if (pfn == <u32>NO_PFN) continue;
    store32(outPfns + (<usize>kept << 2), pfn);
    store32(outDeltas + (<usize>kept << 2), delta);
    kept++;
  }
  return kept;
}

/** Pages from `pfn`, at `index`, to the end of its folio or of the range. @context the caller holds a reference. */
export function shmemWalkPages(pfn: u32, index: u64, end: u64): u64 {
  if (pageOrder(pfn) == 0) return 1;
  return min<u64>(PTRS_PER_FOLIO - (pfn & (PTRS_PER_FOLIO - 1)), end - index);
}

/** Whether the file holds `pfn` at `index`. @context any; takes rcu_read_lock. */
export function shmemHolds(f: usize, index: u64, pfn: u32): bool {
  const entry = xaLoad(f + SHMEM_I_PAGES, index);
  if (entry == 0) return false;
  const value = xaToValue(entry);
  if ((value & SHMEM_FOLIO) == 0) return value == pfn;
  return (value & ~(<u32>SHMEM_FOLIO)) + (<u32>index & (PTRS_PER_FOLIO - 1)) == pfn;
}

/**
 * Page offset of a page in this file, or -1. Looks where the region's hint points first, then goes through the whole cache: struct page has no
 * room for page->mapping and page->index here, and memory errors are rare.
 * @context any; the caller holds a reference to the page.
 */
export function shmemIndexOf(f: usize, pfn: u32): i64 {
  const region = regionOf(pfn);
  if (atomicLoad32(region + REGION_FILE_HINT) == <u32>f) {
    const first = atomicLoad64(region + REGION_INDEX_HINT) & ~(<u64>PTRS_PER_FOLIO - 1);
    for (let n: u64 = 0; n < <u64>PTRS_PER_FOLIO; n++) {
      if (shmemHolds(f, first + n, pfn)) return <i64>(first + n);
    }
  }
  return searchCache(f, pfn);
}

function searchCache(f: usize, pfn: u32): i64 {
  const cursor = stackPush(8);
  const pfns = stackPush(BATCH * 8);
  const deltas = pfns + BATCH * 4;
  const last = <u64>1 << 51;
  let found: i64 = -1;
  store64(cursor, 0);
  while (found < 0 && load64(cursor) <= last) {
    const start = load64(cursor);
    const count = xaGather(f + SHMEM_I_PAGES, cursor, last, pfns, deltas, BATCH);
    for (let n: u32 = 0; n < count; n++) {
      const value = load32(pfns + (<usize>n << 2));
      const head = value & ~(<u32>SHMEM_FOLIO);
      const length: u32 = (value & SHMEM_FOLIO) != 0 ? PTRS_PER_FOLIO : 1;
      if (pfn - head >= length) continue;
      found = <i64>(start + load32(deltas + (<usize>n << 2)) + (pfn - head));
      break;
    }
  }
  stackPop(BATCH * 8);
  stackPop(8);
  return found;
}
