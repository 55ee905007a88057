// fallocate of the hidden memfd: punching holes, and allocating ranges with pages in bulk. kernel: mm/shmem.c shmem_fallocate. Linux serialises
// it by inode_lock; here ranges of one file may be worked on at once, the page cache's own rules suffice.
import { EFBIG, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP } from '../abi/errno';
import { NO_PFN, PAGE_SHIFT } from '../abi/layout';
import {
  FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, PTRS_PER_FOLIO, SHMEM_FLAGS, SHMEM_GMEM, SHMEM_HUGE, SHMEM_I_PAGES,
} from '../abi/mm';
import { load32, loadStatic32, store32 } from '../point';
import { stackPop, stackPush } from '../task';
import { allocPagesBulk, putPages, setPageUptodate } from './page';
import { managedPages } from './page-stat';
import { addHuge, entryHead, shmemAccount, shmemExtend, shmemHint, shmemPolicy } from './shmem';
import { shmemTruncateRange, shmemUndoFallocate } from './shmem-truncate';
import { XAS_SIZE, xaLock, xaMkValue, xasError, xasInit, xasLoad, xasNext, xasStore, xaUnlock } from './xarray';

const BATCH: u32 = 128;

/**
 * Punches a hole (frees the whole pages inside; mode must also say KEEP_SIZE) or allocates all holes of the range; without KEEP_SIZE the file
 * grows to the range's end. 0, -EINVAL, -EOPNOTSUPP, -EFBIG, -ENOSPC (the range is larger than all memory; not for guest_memfd), -ENOMEM.
 * @context may sleep; takes xa_lock and zone locks.
 */
export function shmemFallocate(f: usize, mode: i32, offset: i64, length: i64): i32 {
  const error = vfsFallocateCheck(mode, offset, length);
  if (error != 0) return error;
  const stop = <u64>offset + <u64>length;
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
    shmemTruncateRange(f, (<u64>offset + 4095) >> PAGE_SHIFT, stop >> PAGE_SHIFT);
    return 0;
  }
  const start = <u64>offset >> PAGE_SHIFT;
  const end = (stop + 4095) >> PAGE_SHIFT;
  // guest_memfd has no limit to compare with, and keeps what it has got.
  const gmem = (load32(f + SHMEM_FLAGS) & SHMEM_GMEM) != 0;
  if (!gmem && end - start > <u64>managedPages()) return -ENOSPC;
  const done = allocateRange(f, start, end);
  if (done != end) {
    if (!gmem) shmemUndoFallocate(f, start, done);
    return -ENOMEM;
  }
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) shmemExtend(f, stop);
  return 0;
}

/** What the VFS refuses before any file system is asked. kernel: fs/open.c vfs_fallocate. */
export function vfsFallocateCheck(mode: i32, offset: i64, length: i64): i32 {
  if (offset < 0 || length <= 0) return -EINVAL;
  if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) != 0) return -EOPNOTSUPP;
  if (mode == FALLOC_FL_PUNCH_HOLE) return -EOPNOTSUPP;
  return offset + length < 0 ? -EFBIG : 0;
}

/** Fills the holes of [start, end); returns where it stopped: `end`, or the first index without memory. @context as shmemFallocate. */
function allocateRange(f: usize, start: u64, end: u64): u64 {
  const huge = (load32(f + SHMEM_FLAGS) & SHMEM_HUGE) != 0;
  let index = start;
  while (index < end) {
    const chunkEnd = min<u64>((index | (PTRS_PER_FOLIO - 1)) + 1, end);
    if (huge && chunkEnd - index == PTRS_PER_FOLIO && addHuge(f, index, 1) != <u32>NO_PFN) {
      index = chunkEnd;
      continue;
    }
    const done = fillChunk(f, index, chunkEnd);
    if (done != chunkEnd) return done;
    index = chunkEnd;
  }
  return end;
}

/** Fills the holes of a piece of one 2M chunk with single pages. Returns where it stopped. @context as shmemFallocate. */
function fillChunk(f: usize, start: u64, end: u64): u64 {
  const list = stackPush(BATCH * 4);
  const usedp = stackPush(8);
  const policy = shmemPolicy(f, start);
  let index = start;
  while (index < end) {
    index = storeBatch(f, index, end, list, 0, usedp); // over what is there already
    if (index == end) break;
    const got = allocPagesBulk(policy, 1, list, <u32>min<u64>(end - index, BATCH));
    const reached = storeBatch(f, index, end, list, got, usedp);
    const used = load32(usedp);
    if (used < got) putPages(list + (<usize>used << 2), got - used);
    if (used == 0 && reached != end) break; // neither pages nor nodes
    index = reached;
  }
  stackPop(8);
  stackPop(BATCH * 4);
  return index;
}

/**
 * Goes over [start, end) and stores the `count` pages of `list` into the holes it meets. Returns the first index not dealt with: a hole without a
 * page, or `end`; *usedp is the number of pages stored. Pages found are no longer this call's to undo.
 * @context takes xa_lock.
 */
function storeBatch(f: usize, start: u64, end: u64, list: usize, count: u32, usedp: usize): u64 {
  const xa = f + SHMEM_I_PAGES;
  const xas = stackPush(XAS_SIZE);
  let used: u32 = 0;
  let index = start;
  xasInit(xas, xa, start);
  xaLock(xa);
  let entry = xasLoad(xas);
  while (true) {
    if (entry != 0) {
      setPageUptodate(entryHead(entry));
    } else {
      if (used == count) break;
      const pfn = loadStatic32(list + (<usize>used << 2));
      xasStore(xas, xaMkValue(pfn));
      if (xasError(xas) != 0) break;
      if (used == 0) shmemHint(f, index, pfn);
      used++;
    }
    if (++index == end) break;
    entry = xasNext(xas);
  }
  shmemAccount(f, used);
  xaUnlock(xa);
  stackPop(XAS_SIZE);
  store32(usedp, used);
  return index;
}
