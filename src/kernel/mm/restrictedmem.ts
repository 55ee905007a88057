// restrictedmem: files whose pages user space cannot map. KVM binds a notifier to a range of page offsets and is told before pages of the range go
// (invalidate_start) and after (invalidate_end). Ends are exclusive throughout, as Chao and Roth agreed in Feb 2023; "- 1" stands at the XArray calls
// only. kernel: mm/restrictedmem.c of the UPM v10 line with SNP host RFC v8 patch 03 on top; files: restrictedmem-file.ts.
import { EINVAL, EPERM } from '../abi/errno';
import { PAGE_SHIFT, PROTOCOL_RFC_V7, SH_PROTOCOL } from '../abi/layout';
import {
  FALLOC_FL_PUNCH_HOLE, FILE_ID, NOTIFIER_OPS, NOTIFIER_OPS_INVALIDATE_END, NOTIFIER_OPS_INVALIDATE_OPEN, NOTIFIER_OPS_INVALIDATE_PIECE, NOTIFIER_OPS_INVALIDATE_START,
  RM_BINDINGS, RM_EXCLUSIVE, RM_LOCK, RM_MEMFD,
  SGP_WRITE, STAT_BLKSIZE, STAT_BLOCKS, STAT_BYTES, STAT_INO,
} from '../abi/mm';
import { DEBUG_RESTRICTEDMEM_UNBIND } from '../abi/debug';
import { V_B01, V_B03, V_B04, V_B06, V_B07, V_B10, V_B18 } from '../abi/variants';
import { prDebug } from '../debug';
import { kvmGmemFallocate } from '../kvm/guest-memfd';
import { load32, load64, loadStatic32, store32, store64, variant } from '../point';
import { fanoutAnnounce, fanoutOver, fanoutWanted } from '../program/fanout';
import { rcuReadLock, rcuReadUnlock, synchronizeRcu } from '../sync/rcu';
import { downRead, downWrite, upRead, upWrite } from '../sync/rwsem';
import { stackPop, stackPush } from '../task';
import { guestMemfd, restrictedmemOf } from './restrictedmem-file';
import { shmemFallocate, vfsFallocateCheck } from './shmem-falloc';
import { shmemFindPage, shmemFolioAfterLook, shmemPages, shmemSetFirstSize, shmemSize, shmemTryGetEntry } from './shmem';
import { shmemTruncateSpread } from './shmem-spread';
import { XA_PRESENT, XAS_SIZE, xaEmpty, xaFind, xaLoad, xasFind, xasIndex, xasInit, xasRetry, xaStoreRange } from './xarray';

export { fgetFile, fputFile, memfdRestricted, restrictedmemOf } from './restrictedmem-file';
export { restrictedmemErrorPage } from './restrictedmem-error';

/** Whether unbind invalidates: what RFC v8 patch 03 added. */
// @ts-ignore: decorator
@inline
function unbindInvalidates(): bool {
  return load32(SH_PROTOCOL) != <u32>PROTOCOL_RFC_V7 && !variant(V_B01);
}

/**
 * Calls op `op` (offset in the ops table) of each binding that meets [start, end), once a piece, in rising order.
 * @context restrictedmem.lock held (read or write), so the set stands still; callbacks run outside RCU and may sleep.
 * kernel: xa_for_each_range(&rm->bindings, ...) { notifier->ops->invalidate_...(notifier, start, end); }
 */
function notifyRange(rm: usize, op: usize, start: u64, end: u64): void {
  notifyEach(rm, op, start, end, 0, 0);
}

/** The same; `pages` and `base` are for INVALIDATE_PIECE alone. */
function notifyEach(rm: usize, op: usize, start: u64, end: u64, pages: usize, base: u64): void {
  const xas = stackPush(XAS_SIZE);
  xasInit(xas, rm + RM_BINDINGS, start);
  // One cursor across the callbacks: bindings change only under the lock for write, so its node stays where it is.
  let entry = xasFind(xas, end - 1);
  while (entry != 0) {
    if (!xasRetry(xas, entry)) {
      const ops: usize = load32(<usize>entry + NOTIFIER_OPS);
      const call = load32(ops + op);
      if (op == NOTIFIER_OPS_INVALIDATE_PIECE) call_indirect<void>(call, <usize>entry, start, end, pages, base);
      else call_indirect<void>(call, <usize>entry, start, end);
    }
    entry = xasIndex(xas) < end - 1 ? xasFind(xas, end - 1) : 0;
  }
  stackPop(XAS_SIZE);
}

/**
 * Binds `notifier` to page offsets [start, end). Only exclusive bindings exist: 0, -EINVAL (not exclusive, empty range, something bound there), -ENOMEM.
 * @context takes restrictedmem.lock for write; may sleep. kernel: restrictedmem_bind.
 */
export function restrictedmemBind(file: usize, start: u64, end: u64, notifier: usize, exclusive: bool): i32 {
  const rm = restrictedmemOf(file);
  let ret: i32 = -EINVAL;
  downWrite(rm + RM_LOCK);
  const agrees = xaEmpty(rm + RM_BINDINGS) || exclusive == (load32(rm + RM_EXCLUSIVE) != 0);
  if (exclusive && agrees && start < end) ret = bindRange(rm, start, end, notifier);
  if (ret == 0) store32(rm + RM_EXCLUSIVE, exclusive ? 1 : 0);
  upWrite(rm + RM_LOCK);
  return ret;
}

/** @context restrictedmem.lock for write. */
function bindRange(rm: usize, start: u64, end: u64, notifier: usize): i32 {
  const bindings = rm + RM_BINDINGS;
  const indexp = stackPush(8);
  store64(indexp, start);
  const overlaps = xaFind(bindings, indexp, end - 1, XA_PRESENT) != 0;
  // B10: the overlap is only warned of. xa_find has moved the caller's `start` to what it found, and the store overwrites whole entries.
  const from = variant(V_B10) ? load64(indexp) : start;
  stackPop(8);
  if (overlaps && !variant(V_B10)) return -EINVAL;
  const error = xaStoreRange(bindings, from, end - 1, <u32>notifier);
  // Not even in part: pieces stored before memory ran out belong to nobody else.
  if (error != 0 && !overlaps) xaStoreRange(bindings, start, end - 1, 0);
  return error;
}

/**
 * Unbinds page offsets [start, end): what is bound there is told that all its pages go (so that they are not left in a state that only the guest can use),
 * then forgotten. The caller's `notifier` is not looked at: every binding in the range counts, as in the original, which reuses that parameter.
 * @context takes restrictedmem.lock for write and waits for an RCU grace period; sleeps. kernel: restrictedmem_unbind.
 */
export function restrictedmemUnbind(file: usize, start: u64, end: u64, notifier: usize): void {
  const rm = restrictedmemOf(file);
  // KVM passed the last page at the time of the patch (index + npages - 1), and so it is printed.
  prDebug(DEBUG_RESTRICTEDMEM_UNBIND, <f64>start, <f64>(end - 1));
  downWrite(rm + RM_LOCK);
  if (unbindInvalidates()) {
    notifyRange(rm, NOTIFIER_OPS_INVALIDATE_START, start, end);
    notifyRange(rm, NOTIFIER_OPS_INVALIDATE_END, start, end);
  }
  // NULL needs no memory, so there is no error to return.
  xaStoreRange(rm + RM_BINDINGS, start, end - 1, 0);
  synchronizeRcu();
  upWrite(rm + RM_LOCK);
}

/**
 * The page at `offset` with a reference to *pfnp, the order of its folio to *orderp (0: not wanted); holes are filled. The order is that of the compound
 * page wherever `offset` lies in it (B61): the caller must compare alignments.
 * Returns 0, -EINVAL (nothing bound there), -EFBIG, -ENOMEM.
 * @context takes no restrictedmem.lock: callers re-check mmu_invalidate_seq. Takes rcu_read_lock (once for both look-ups), xa_lock, zone locks. kernel: restrictedmem_get_page.
 */
export function restrictedmemGetPage(file: usize, offset: u64, pfnp: usize, orderp: usize): i32 {
  const rm = restrictedmemOf(file);
  const memfd: usize = loadStatic32(rm + RM_MEMFD);
  rcuReadLock();
  const bound = xaLoad(rm + RM_BINDINGS, offset) != 0;
  const seen = bound ? shmemTryGetEntry(memfd, offset) : 0;
  rcuReadUnlock();
  return bound ? shmemFolioAfterLook(memfd, offset, seen, pfnp, orderp, SGP_WRITE) : -EINVAL;
}

/** The page at `offset` with a reference, or NO_PFN when there is none yet. Never allocates, bound or not. @context any; takes rcu_read_lock. */
export function restrictedmemFindPage(file: usize, offset: u64): u32 {
  return shmemFindPage(load32(restrictedmemOf(file) + RM_MEMFD), offset);
}

/**
 * fallocate(2): a hole punch tells the bindings; everything else goes straight to shmem, without lock or notifier (also behind i_size, where
 * guest_memfd would refuse). Errors of the VFS, then -EINVAL for an unaligned hole, then shmem's.
 * @context a punch takes restrictedmem.lock for read; may sleep. kernel: vfs_fallocate, restrictedmem_fallocate.
 */
export function restrictedmemFallocate(file: usize, mode: i32, offset: i64, length: i64): i32 {
  const rm = restrictedmemOf(file);
  if (guestMemfd()) return kvmGmemFallocate(rm, mode, offset, length);
  const error = vfsFallocateCheck(mode, offset, length);
  if (error != 0) return error;
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) return punchHole(rm, mode, offset, length);
  return shmemFallocate(load32(rm + RM_MEMFD), mode, offset, length);
}

/**
 * The lock is held from before the first start to after the last end, so nobody binds or unbinds in between; readers among themselves (several
 * punches) run at once. The ends come also when shmem failed.
 * @context takes restrictedmem.lock for read; may sleep. kernel: restrictedmem_punch_hole.
 */
function punchHole(rm: usize, mode: i32, offset: i64, length: i64): i32 {
  if (((offset | length) & 4095) != 0) return -EINVAL;
  const start = <u64>offset >> PAGE_SHIFT;
  // B04: the exclusive end is used as if it were the last page, so bindings and callbacks get one page too many.
  const end = (<u64>(offset + length) >> PAGE_SHIFT) + (variant(V_B04) ? 1 : 0);
  let ret: i32 = 0;
  downRead(rm + RM_LOCK);
  if (goesInPieces(start, end)) {
    fanoutAnnounce();
    notifyRange(rm, NOTIFIER_OPS_INVALIDATE_OPEN, start, end);
    shmemTruncateSpread(load32(rm + RM_MEMFD), start, end, <u32>notifyPiece.index, rm);
    fanoutOver();
  } else {
    notifyRange(rm, NOTIFIER_OPS_INVALIDATE_START, start, end);
    if (variant(V_B03)) upRead(rm + RM_LOCK);
    if (!variant(V_B18)) ret = shmemFallocate(load32(rm + RM_MEMFD), mode, offset, length);
    if (variant(V_B03)) downRead(rm + RM_LOCK);
  }
  notifyRange(rm, NOTIFIER_OPS_INVALIDATE_END, start, end);
  upRead(rm + RM_LOCK);
  return ret;
}

/** Whether home workers share a punch. Not with those mistakes of the posted patch that are about the order of, or a range for, the whole. */
function goesInPieces(start: u64, end: u64): bool {
  return fanoutWanted(start, end) && !(variant(V_B03) || variant(V_B06) || variant(V_B07) || variant(V_B18));
}

/**
 * Pages [start, end) are about to be freed; XArray `pages` holds them, its index 0 stands for offset `base`. Tells what is bound there.
 * @context a home worker's, several at once for disjoint pieces; the punching task holds restrictedmem.lock for read for all of them. May sleep.
 */
function notifyPiece(rm: usize, start: u64, end: u64, pages: usize, base: u64): void {
  notifyEach(rm, NOTIFIER_OPS_INVALIDATE_PIECE, start, end, pages, base);
}

/** Fills in a struct of STAT_SIZE bytes. kernel: restrictedmem_getattr, which asks shmem. */
export function restrictedmemGetattr(file: usize, stat: usize): i32 {
  const memfd: usize = load32(restrictedmemOf(file) + RM_MEMFD);
  store64(stat + STAT_BYTES, shmemSize(memfd));
  store64(stat + STAT_BLOCKS, shmemPages(memfd) << 3);
  store32(stat + STAT_BLKSIZE, 4096);
  store32(stat + STAT_INO, load32(file + FILE_ID) + 1);
  return 0;
}

/**
 * Sets the file's size, once: -EPERM when it has one, -EINVAL when it is not a number of pages.
 * @context any. kernel: restrictedmem_setattr(ATTR_SIZE), under inode_lock: here a compare-and-exchange.
 */
export function restrictedmemSetattr(file: usize, size: u64): i32 {
  const memfd: usize = load32(restrictedmemOf(file) + RM_MEMFD);
  if (<i64>size < 0) return -EINVAL;
  // A guest_memfd has its size from its creation, which the model's memfd_restricted leaves to this call.
  if (shmemSize(memfd) != 0) return guestMemfd() ? -EINVAL : -EPERM;
  if ((size & 4095) != 0) return -EINVAL;
  return shmemSetFirstSize(memfd, size) ? 0 : -EPERM;
}

/** i_size in bytes. */
export function restrictedmemSize(file: usize): u64 { return shmemSize(load32(restrictedmemOf(file) + RM_MEMFD)); }
/** Pages the file holds. */
export function restrictedmemPages(file: usize): u64 { return shmemPages(load32(restrictedmemOf(file) + RM_MEMFD)); }
/** The notifier bound at a page offset, 0: none. */
export function restrictedmemBinding(file: usize, offset: u64): usize { return xaLoad(restrictedmemOf(file) + RM_BINDINGS, offset); }
