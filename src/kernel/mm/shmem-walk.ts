// From a page back to its place in the file: by a hint of the page's region, else by a walk over the whole page cache. Never allocates.
// kernel: page->mapping and page->index, which struct page has no room for here.
import { PTRS_PER_FOLIO, REGION_FILE_HINT, REGION_INDEX_HINT, SHMEM_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { atomicLoad32, atomicLoad64, load32, load64, store64 } from '../point';
import { stackPop, stackPush } from '../task';
import { regionOf } from './page-region';
import { xaGather, xaLoad, xaToValue } from './xarray';

const BATCH: u32 = 64;

/** Whether the file holds `pfn` at `index`. @context any; takes rcu_read_lock. */
export function shmemHolds(f: usize, index: u64, pfn: u32): bool {
  const entry = xaLoad(f + SHMEM_I_PAGES, index);
  if (entry == 0) return false;
  const value = xaToValue(entry);
  if ((value & SHMEM_FOLIO) == 0) return value == pfn;
  return (value & ~(<u32>SHMEM_FOLIO)) + (<u32>index & (PTRS_PER_FOLIO - 1)) == pfn;
}

/**
 * Page offset of a page in this file, or -1. Looks where the region's hint points first, then goes through the whole cache: memory errors are rare.
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
