// Memory errors: from a bad page to its file, and to whoever is bound there. The posted walk over s_inodes takes no lock, passes an exclusive end to
// an inclusive interface, and finds nothing, because anonymous inodes are not on that list (B11). Corrected: the file list, a file reference, and
// restrictedmem.lock for read. kernel: mm/restrictedmem.c restrictedmem_error_page, restricted_error_remove_page; cf. guest_memfd's error_folio.
import { LOCK_FILE_LIST, SH_FILE_LIST } from '../abi/layout';
import {
  FILE_NEXT, INODE_I_MAPPING, INODE_SB_NEXT, MAPPING_PRIVATE_DATA, NOTIFIER_OPS, NOTIFIER_OPS_ERROR, RM_BINDINGS, RM_LOCK, RM_MEMFD,
} from '../abi/mm';
import { V_B11 } from '../abi/variants';
import { kvmGmemErrorFolio } from '../kvm/guest-memfd';
import { load32, store64, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { downRead, upRead } from '../sync/rwsem';
import { stackPop, stackPush } from '../task';
import { fgetFileUnlessZero, fputFile, guestMemfd, restrictedmemOf, SB_INODES } from './restrictedmem-file';
import { shmemHolds, shmemIndexOf } from './shmem-walk';
import { XA_PRESENT, xaFind, xaFindAfter } from './xarray';

/**
 * Tells the bindings of the page's offset that its memory is bad; the page stays in the file. Returns 0, also when no file holds it.
 * @context sleeps; the caller holds a reference to the page. Takes the file list mutex, then restrictedmem.lock for read.
 */
export function restrictedmemErrorPage(pfn: u32): i32 {
  if (variant(V_B11) && !guestMemfd()) return errorWalkAsPosted(pfn);
  let file = firstFile();
  while (file != 0) {
    const rm = restrictedmemOf(file);
    const index = shmemIndexOf(load32(rm + RM_MEMFD), pfn);
    if (index >= 0 && guestMemfd()) {
      kvmGmemErrorFolio(rm, <u64>index, pfn);
      fputFile(file);
      return 0;
    }
    if (index >= 0) {
      downRead(rm + RM_LOCK);
      // Under the lock the page may have been punched out meanwhile: then there is nobody left to tell.
      if (shmemHolds(load32(rm + RM_MEMFD), <u64>index, pfn)) notifyError(rm, <u64>index, <u64>index + 1, <u64>index);
      upRead(rm + RM_LOCK);
      fputFile(file);
      return 0;
    }
    file = fileAfter(file);
  }
  return 0;
}

/** The first file of the list that is alive, with a reference. @context takes the file list mutex. */
function firstFile(): usize {
  mutexLock(LOCK_FILE_LIST);
  const file = takeAlive(load32(SH_FILE_LIST));
  mutexUnlock(LOCK_FILE_LIST);
  return file;
}

/** The next file that is alive, with a reference; drops the one to `file`. @context takes the file list mutex. */
function fileAfter(file: usize): usize {
  mutexLock(LOCK_FILE_LIST);
  const next = takeAlive(load32(file + FILE_NEXT));
  mutexUnlock(LOCK_FILE_LIST);
  fputFile(file);
  return next;
}

/** @context file list mutex. */
function takeAlive(first: usize): usize {
  let file = first;
  while (file != 0 && !fgetFileUnlessZero(file)) file = load32(file + FILE_NEXT);
  return file;
}

/** Calls the error op of each binding that meets [index, last]. */
function notifyError(rm: usize, start: u64, end: u64, last: u64): void {
  const bindings = rm + RM_BINDINGS;
  const indexp = stackPush(8);
  store64(indexp, start);
  let notifier: usize = xaFind(bindings, indexp, last, XA_PRESENT);
  while (notifier != 0) {
    const ops: usize = load32(notifier + NOTIFIER_OPS);
    call_indirect<void>(load32(ops + NOTIFIER_OPS_ERROR), notifier, start, end);
    notifier = xaFindAfter(bindings, indexp, last, XA_PRESENT);
  }
  stackPop(8);
}

/** B11: no lock, no reference; `end` taken for the last page. With s_inodes empty, as it is for anonymous inodes, the loop never runs. @context none. */
function errorWalkAsPosted(pfn: u32): i32 {
  for (let inode: usize = load32(SB_INODES); inode != 0; inode = load32(inode + INODE_SB_NEXT)) {
    const rm: usize = load32(<usize>load32(inode + INODE_I_MAPPING) + MAPPING_PRIVATE_DATA);
    const index = shmemIndexOf(load32(rm + RM_MEMFD), pfn);
    if (index < 0) continue;
    notifyError(rm, <u64>index, <u64>index + 1, <u64>index + 1);
    break;
  }
  return 0;
}
