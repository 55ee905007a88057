// Truncation of a large range over the home workers. Home workers that took leafs out of one tree would fetch its upper nodes, the lock and the file's count from
// one another's CPUs for each 2M chunk. So the caller takes all nodes of 64 leafs that lie wholly in the range out of the tree, in one hold of xa_lock, and the homes empty
// their chunks of them without any lock of the file's. Whoever has to do something with a chunk's pages first is told right before it is emptied, by the same home, which
// then has the leafs in its cache. What is left at the two ends goes the ordinary way. kernel: none; mm/shmem.c shmem_undo_range is serial.
import { PTRS_PER_2M } from '../abi/layout';
import { PTRS_PER_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { kfree, kmalloc } from '../heap';
import { fillBytes, load32, load64, loadStatic32, store32, store64 } from '../point';
import { fanout, fanoutWanted } from '../program/fanout';
import { rcuReclaim } from '../sync/rcu';
import { stackPop, stackPush } from '../task';
import { putPages } from './page';
import { entryHead, shmemAccount, shmemHomeOf } from './shmem';
import { shmemTruncateRange } from './shmem-truncate';
import { XA_PRESENT, xaFind, xaIsValue, xaLock, XAS_SIZE, xasFind, xasIndex, xasInit, xasSet, xaUnlock } from './xarray';
import { xaEmptyLeaf, xaOfNode, xasDetachNodes } from './xarray-detach';
import { nodeFree, slotClear, slotLocked, slotOf, XA_CHUNK_SHIFT, XA_CHUNK_SIZE, XARRAY_SIZE, xaIsNode, xaToNode } from './xarray-node';
import { xaWarmNodes } from './xarray-warm';

/** log2 of the pages under a node of 64 leafs. */
const TWIG_SHIFT: u64 = 12;
const TWIG_PAGES: u64 = 4096;
/** Nodes taken out in one hold of xa_lock and emptied by one job: 4 GiB. */
const TWIGS_MAX: u32 = 256;
/** Leafs of a 2M chunk. */
const CHUNK_LEAFS: u32 = 8;
/** Pages freed at once. */
const BATCH: u32 = 256;

// The job's object, on the heap, because it is a job of several tasks: what all of them may read, the caller alone writes it.
const S_FILE: usize = 0; // u32
const S_BEFORE: usize = 4; // u32: table index of (object, start u64, end u64, pages, base u64): void
const S_FIRST: usize = 8; // u64: index >> TWIG_SHIFT of the first twig
const S_OBJECT: usize = 16; // u32
const S_TWIGS: usize = 24; // TWIGS_MAX x u32: detached nodes of shift 6 by their place in the file; 0: nothing there, or left in the tree
const S_SIZE: usize = 24 + 256 * 4;

/**
 * Removes pages [start, end) from the file over the home workers of their partitions, as shmemTruncateRange does alone. Before the pages of a piece are freed the
 * function with table index `before` is called for it, as (object, start, end, pages, base): XArray `pages` holds them, its index 0 stands for offset `base`. It
 * runs for disjoint pieces at once. Without memory for the job the caller does everything in one piece.
 * @context sleeps; takes xa_lock and zone locks.
 */
export function shmemTruncateSpread(f: usize, start: u64, end: u64, before: u32, object: usize): void {
  const s = kmalloc(S_SIZE);
  if (s == 0) {
    call_indirect<void>(before, object, start, end, f + SHMEM_I_PAGES, <u64>0);
    shmemTruncateRange(f, start, end);
    return;
  }
  store32(s + S_FILE, <u32>f);
  store32(s + S_BEFORE, before);
  store32(s + S_OBJECT, <u32>object);
  const cursor = stackPush(8);
  store64(cursor, start);
  // From page to page: what is asked for may be far larger than what is there.
  while (load64(cursor) < end && xaFind(f + SHMEM_I_PAGES, cursor, end - 1, XA_PRESENT) != 0) {
    const at = load64(cursor);
    const stop = min<u64>(end, ((at >> TWIG_SHIFT) + TWIGS_MAX) << TWIG_SHIFT);
    detachTwigs(f, s, at, stop);
    const freed = fanoutWanted(at, stop)
      ? fanout(<u32>truncateShare.index, <u32>homeOfShare.index, s, at, stop)
      : truncateShare(s, at, stop);
    freeTwigs(s);
    xaLock(f + SHMEM_I_PAGES);
    shmemAccount(f, -<i64>freed);
    xaUnlock(f + SHMEM_I_PAGES);
    store64(cursor, stop);
  }
  stackPop(8);
  kfree(s, S_SIZE);
}

/** Takes the twigs that lie wholly in [start, end) out of the tree. @context takes xa_lock. */
function detachTwigs(f: usize, s: usize, start: u64, end: u64): void {
  const first = start >> TWIG_SHIFT;
  const xa = f + SHMEM_I_PAGES;
  const xas = stackPush(XAS_SIZE);
  store64(s + S_FIRST, first);
  fillBytes(s + S_TWIGS, 0, TWIGS_MAX << 2);
  xasInit(xas, xa, (start + TWIG_PAGES - 1) & ~(TWIG_PAGES - 1));
  xaLock(xa);
  while (xasIndex(xas) < end && xasFind(xas, end - 1) != 0) {
    const place = <u32>((xasIndex(xas) >> TWIG_SHIFT) - first);
    const taken = xasDetachNodes(xas, XA_CHUNK_SHIFT, start, end - 1, s + S_TWIGS + (<usize>place << 2), TWIGS_MAX - place, true);
    if (taken == 0) xasSet(xas, (xasIndex(xas) | (TWIG_PAGES - 1)) + 1);
  }
  xaUnlock(xa);
  stackPop(XAS_SIZE);
}

function homeOfShare(s: usize, start: u64): u32 { return shmemHomeOf(load32(s + S_FILE), start); }

/**
 * A home worker's part: whole chunks between the range's ends. Returns the pages that the file still counts.
 * @context takes zone locks, and xa_lock where the pages are still in the tree.
 */
function truncateShare(s: usize, start: u64, end: u64): u32 {
  const f: usize = load32(s + S_FILE);
  const view = stackPush(XARRAY_SIZE);
  let freed: u32 = 0;
  for (let at = start; at < end; ) {
    const stop = min<u64>((at | (PTRS_PER_2M - 1)) + 1, end);
    const twig: usize = load32(s + S_TWIGS + (<usize>((at >> TWIG_SHIFT) - load64(s + S_FIRST)) << 2));
    if (twig != 0) xaOfNode(view, twig);
    const pages = twig != 0 ? view : f + SHMEM_I_PAGES;
    const base = twig != 0 ? at & ~(TWIG_PAGES - 1) : 0;
    call_indirect<void>(load32(s + S_BEFORE), <usize>load32(s + S_OBJECT), at, stop, pages, base);
    if (twig != 0) freed += emptyChunk(twig, slotOf(at, XA_CHUNK_SHIFT));
    else shmemTruncateRange(f, at, stop);
    at = stop;
  }
  stackPop(XARRAY_SIZE);
  return freed;
}

/** Frees the pages of eight leafs of a detached twig, or the folio in their place. Returns their number. @context takes zone locks. */
function emptyChunk(twig: usize, first: u32): u32 {
  const list = stackPush((BATCH + CHUNK_LEAFS) << 2);
  const leafs = list + (BATCH << 2);
  let pages: u32 = 0;
  let count: u32 = 0;
  for (let n: u32 = 0; n < CHUNK_LEAFS; n++) {
    const entry = slotLocked(twig, first + n);
    store32(leafs + (<usize>n << 2), xaIsNode(entry) ? <u32>xaToNode(entry) : 0);
    if (!xaIsValue(entry)) continue;
    store32(list + (<usize>count << 2), entryHead(entry));
    count++;
    pages += PTRS_PER_FOLIO;
  }
  xaWarmNodes(leafs, CHUNK_LEAFS);
  for (let n: u32 = 0; n < CHUNK_LEAFS; n++) {
    // Whoever looks again whether a page is still where he found it must not find it here once it is free.
    slotClear(twig, first + n);
    const leaf = loadStatic32(leafs + (<usize>n << 2));
    if (leaf != 0) {
      const taken = xaEmptyLeaf(leaf, list + (<usize>count << 2));
      count += taken;
      pages += taken;
    }
    if (count <= BATCH - XA_CHUNK_SIZE && n + 1 != CHUNK_LEAFS) continue;
    if (count != 0) putPages(list, count);
    count = 0;
  }
  stackPop((BATCH + CHUNK_LEAFS) << 2);
  rcuReclaim();
  return pages;
}

/** The empty twigs, when their readers are gone. @context their leafs have been given back. */
function freeTwigs(s: usize): void {
  for (let n: u32 = 0; n < TWIGS_MAX; n++) {
    const twig = load32(s + S_TWIGS + (<usize>n << 2));
    if (twig != 0) nodeFree(twig);
  }
}
