// Pages of the JavaScript cycle: the allocator with its task cache, references, and the page cache of the one file. As src/kernel/mm/page*.ts, shmem*.ts.
import { allocate, lock, never, rcuReadLock, rcuReadUnlock, unlock, w } from './memory.js';
import { cursor, slotOf, toValue, xaEraseBatch, xaFill, XARRAY_WORDS, xaLoad, xaLock, xaUnlock } from './xarray.js';

export const FIRST_PFN = 512;
const PFNS = 4096 + FIRST_PFN;
const REGIONS = PFNS >> 9;
/** Reference count and flags, content: two words a page. */
const pages = allocate(PFNS * 2);
/** A region: free pages as 16 words of bits, free count, state. */
const regions = allocate(REGIONS * 32);
const FREE = 16;
const STATE = 17;
const zone = allocate(16);
const ZONE_FREE = 4;

const PCP_HIGH = 64;
const pcp = allocate(16 + PCP_HIGH * 2);
const PCP_COUNT = 0;
const PCP_ALLOCATED = 1;
const PCP_PFNS = 16;

const UPTODATE = 1 << 24;
const REF_MASK = 0xffff;
const CACHE_AND_CALLER = 2;

for (let region = 1; region < REGIONS; region++) {
  w.fill(-1, regions + region * 32, regions + region * 32 + 16);
  w[regions + region * 32 + FREE] = 512;
}
w[zone + ZONE_FREE] = (REGIONS - 1) * 512;

/** Takes up to `count` pages of the zone into the task's cache. */
function refill(count: number): number {
  let taken = 0;
  lock(zone);
  for (let region = 1; region < REGIONS && taken < count; region++) {
    const at = regions + region * 32;
    for (let n = 0; n < 16 && taken < count && w[at + FREE] !== 0; n++) {
      for (let bits = w[at + n]!; bits !== 0 && taken < count; bits = w[at + n]!) {
        const bit = 31 - Math.clz32(bits & -bits);
        w[at + n] = bits & ~(1 << bit);
        w[at + FREE]!--;
        w[pcp + PCP_PFNS + taken++] = region * 512 + n * 32 + bit;
      }
    }
  }
  w[zone + ZONE_FREE]! -= taken;
  unlock(zone);
  return taken;
}

function allocPage(word: number): number {
  let count = w[pcp + PCP_COUNT]!;
  if (count === 0) count = refill(PCP_HIGH >> 1);
  if (count === 0) never('a host without memory');
  w[pcp + PCP_COUNT] = count - 1;
  const pfn = w[pcp + PCP_PFNS + count - 1]!;
  w[pcp + PCP_ALLOCATED]!++;
  w[pages + pfn * 2] = word;
  w[pages + pfn * 2 + 1] = 0;
  return pfn;
}

/** Drops a reference that is not the last. */
export function putPage(pfn: number): void {
  if (w[regions + (pfn >> 9) * 32 + STATE] !== 0) never('a folio');
  if ((Atomics.sub(w, pages + pfn * 2, 1) & REF_MASK) <= 1) never('a last reference dropped here');
}

/** Drops the cache's references of a batch and gives what is free back, neighbours by one word of bits. */
function putPages(list: Int32Array, count: number): void {
  let freed = 0;
  for (let n = 0; n < count; n++) {
    const pfn = list[n]!;
    if (w[regions + (pfn >> 9) * 32 + STATE] !== 0) never('a folio');
    if ((Atomics.sub(w, pages + pfn * 2, 1) & REF_MASK) > 1) continue;
    w[pcp + PCP_ALLOCATED]!--;
    list[freed++] = pfn;
  }
  if (freed === 0) return;
  lock(zone);
  for (let n = 0; n < freed;) {
    const pfn = list[n]!;
    const at = regions + (pfn >> 9) * 32;
    let bits = 0;
    let given = 0;
    while (n < freed && list[n]! >> 5 === pfn >> 5) {
      bits |= 1 << (list[n++]! & 31);
      given++;
    }
    w[at + ((pfn >> 5) & 15)]! |= bits;
    w[at + FREE]! += given;
  }
  w[zone + ZONE_FREE]! += freed;
  unlock(zone);
}

/** Pages that no free list and no cache holds. */
export function allocatedPages(): number {
  return w[pcp + PCP_ALLOCATED]!;
}

// --- the file ---

/** The page cache of the file, its size in pages, the number it holds; the bindings of its restrictedmem. */
const cache = allocate(XARRAY_WORDS);
export const bindings = allocate(XARRAY_WORDS);
const file = { nrpages: allocate(16), flags: allocate(16), home: allocate(16), hint: allocate(REGIONS * 4) };

export const pageCache = cache;

/** restrictedmem_get_page: the page at an offset with a reference, -1 when nothing is bound there. */
export function getPage(offset: number): number {
  rcuReadLock();
  const bound = xaLoad(bindings, offset) !== 0;
  const slot = bound ? slotOf(cache, offset) : -1;
  const entry = slot < 0 ? 0 : Atomics.load(w, slot);
  rcuReadUnlock();
  if (!bound) return -1;
  if (entry !== 0) return holdPage(toValue(entry));
  if ((w[file.flags]! & 2) !== 0) never('2M folios');
  const pfn = allocPage(CACHE_AND_CALLER | UPTODATE);
  xaLock(cache);
  if (!xaFill(cache, offset, pfn)) never('another task');
  w[file.nrpages]!++;
  xaUnlock(cache);
  const hint = file.hint + (pfn >> 9) * 4;
  if (w[hint] !== 1) {
    Atomics.store(w, hint, 1);
    Atomics.store(w, hint + 1, offset);
  }
  return pfn;
}

function holdPage(pfn: number): number {
  const word = Atomics.load(w, pages + pfn * 2);
  if ((word & REF_MASK) === 0 || Atomics.compareExchange(w, pages + pfn * 2, word, word + 1) !== word)
    never('a free page');
  return pfn;
}

const BATCH = 128;
const list = new Int32Array(BATCH);

/** shmem_truncate_range over [start, end): batches under one hold of xa_lock, references dropped outside. */
export function truncate(start: number, end: number): void {
  cursor.index = start;
  while (cursor.index < end) {
    xaLock(cache);
    const count = xaEraseBatch(cache, end, list, BATCH);
    w[file.nrpages]! -= count;
    xaUnlock(cache);
    putPages(list, count);
  }
}
