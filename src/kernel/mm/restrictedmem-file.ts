// restrictedmem files: creation, references, release. Inode mapping and file mapping are two fields, as in Linux, where a stacked file system can make
// them differ: that is what patch 03's first hunk is about (B02). kernel: mm/restrictedmem.c memfd_restricted, restrictedmem_file_create,
// restrictedmem_release; fs/file_table.c fput.
import { LC_BINDINGS, LC_RM } from '../abi/classes';
import { EINVAL, ENOMEM } from '../abi/errno';
import { LOCK_FILE_LIST, PROTOCOL_GUEST_MEMFD, PROTOCOL_RFC_V7, SH_FILE_LIST, SH_PROTOCOL, SUBSYS_FILE, TASK_FPUT } from '../abi/layout';
import {
  FILE_COUNT, FILE_F_MAPPING, FILE_ID, FILE_INODE, FILE_MAGIC, FILE_NEXT, FILE_PREV, FILE_SIZE, INODE_I_DATA, INODE_I_MAPPING, INODE_SIZE,
  MAPPING_PRIVATE_DATA, RM_BINDINGS, RM_LOCK, RM_MAGIC, RM_MEMFD, RM_SIZE, SHMEM_FLAGS, SHMEM_GMEM, SHMEM_SIZE,
} from '../abi/mm';
import { NT_FILE, NT_RM, NT_SHMEM } from '../abi/names';
import { OOPS_REFCOUNT, OOPS_USE_AFTER_FREE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { V_B02 } from '../abi/variants';
import { kfree, kzalloc } from '../heap';
import { kvmGmemRelease } from '../kvm/guest-memfd';
import { destroyVm } from '../kvm/vm';
import { nameObject, unnameObject } from '../names';
import { oops } from '../oops';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, atomicSub32, current, load32, loadStatic32, oraclesOn, store32, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { kfreeRcu, rcuReclaim } from '../sync/rcu';
import { rwsemInit } from '../sync/rwsem';
import { shmemFileSetup, shmemPut, shmemSetPolicy } from './shmem';
import { xaDestroy, xaInit } from './xarray';

const FILE_ALIVE: u32 = 0x66696c65;
const RM_ALIVE: u32 = 0x726d656d;

// SUBSYS_FILE
const FILE_NEXT_ID: usize = SUBSYS_FILE; // u32
/** u32: first inode of the superblock's s_inodes. alloc_anon_inode() puts none there (new_inode_pseudo), so it stays 0: see B11. */
export const SB_INODES: usize = SUBSYS_FILE + 4;

/** Whether files are guest_memfds. @context any. */
// @ts-ignore: decorator
@inline
export function guestMemfd(): bool { return load32(SH_PROTOCOL) == <u32>PROTOCOL_GUEST_MEMFD; }

/** The restrictedmem object of a file. kernel: file->f_mapping->private_data. */
// @ts-ignore: decorator
@inline
export function restrictedmemOf(file: usize): usize {
  if (oraclesOn()) checkFile(file);
  return loadStatic32(<usize>loadStatic32(file + FILE_F_MAPPING) + MAPPING_PRIVATE_DATA);
}

function checkFile(file: usize): void {
  if (load32(file + FILE_MAGIC) != FILE_ALIVE) oops(ORACLE_KERNEL_BUG, OOPS_USE_AFTER_FREE, <f64>file, <f64>FILE_ALIVE);
  checkRm(load32(<usize>loadStatic32(file + FILE_F_MAPPING) + MAPPING_PRIVATE_DATA));
}

function checkRm(rm: usize): void {
  if (rm == 0 || load32(rm + RM_MAGIC) != RM_ALIVE) oops(ORACLE_KERNEL_BUG, OOPS_USE_AFTER_FREE, <f64>rm, <f64>RM_ALIVE);
}

/**
 * memfd_restricted(2): a file of size 0 with one reference, or -errno (-EINVAL for any flag, -ENOMEM). The other arguments place its pages: see
 * shmemSetPolicy.
 * @context takes the file list mutex; may sleep.
 */
export function memfdRestricted(flags: u32, interleave: i32, homePartition: i32, huge: i32): i32 {
  if (flags != 0) return -EINVAL;
  const memfd = shmemFileSetup();
  if (memfd == 0) return -ENOMEM;
  shmemSetPolicy(memfd, homePartition, interleave != 0, huge != 0);
  if (guestMemfd()) store32(memfd + SHMEM_FLAGS, load32(memfd + SHMEM_FLAGS) | SHMEM_GMEM);
  const file = restrictedmemFileCreate(memfd);
  if (file == 0) {
    shmemPut(memfd);
    return -ENOMEM;
  }
  return <i32>file;
}

/** 0 when out of memory, and then nothing is left behind. @context takes the file list mutex. kernel: restrictedmem_file_create. */
function restrictedmemFileCreate(memfd: usize): usize {
  const rm = kzalloc(RM_SIZE);
  if (rm == 0) return 0;
  rwsemInit(rm + RM_LOCK, LC_RM);
  xaInit(rm + RM_BINDINGS, LC_BINDINGS);
  store32(rm + RM_MEMFD, <u32>memfd);
  store32(rm + RM_MAGIC, RM_ALIVE);
  const inode = kzalloc(INODE_SIZE);
  if (inode == 0) {
    kfree(rm, RM_SIZE);
    return 0;
  }
  store32(inode + INODE_I_MAPPING, <u32>(inode + INODE_I_DATA));
  store32(inode + INODE_I_DATA + MAPPING_PRIVATE_DATA, <u32>rm);
  const file = kzalloc(FILE_SIZE);
  if (file == 0) {
    kfree(inode, INODE_SIZE);
    kfree(rm, RM_SIZE);
    return 0;
  }
  store32(file + FILE_INODE, <u32>inode);
  store32(file + FILE_F_MAPPING, load32(inode + INODE_I_MAPPING));
  store32(file + FILE_COUNT, 1);
  store32(file + FILE_MAGIC, FILE_ALIVE);
  const id = atomicAdd32(FILE_NEXT_ID, 1);
  store32(file + FILE_ID, id);
  nameObject(file, FILE_SIZE, NT_FILE, 0, id);
  nameObject(rm, RM_SIZE, NT_RM, file, 0);
  nameObject(load32(rm + RM_MEMFD), SHMEM_SIZE, NT_SHMEM, file, 0);
  fileListAdd(file);
  return file;
}

/** @context takes the file list mutex. */
function fileListAdd(file: usize): void {
  mutexLock(LOCK_FILE_LIST);
  const next: usize = load32(SH_FILE_LIST);
  store32(file + FILE_NEXT, <u32>next);
  if (next != 0) store32(next + FILE_PREV, <u32>file);
  store32(SH_FILE_LIST, <u32>file);
  mutexUnlock(LOCK_FILE_LIST);
}

/** @context takes the file list mutex. */
function fileListDel(file: usize): void {
  mutexLock(LOCK_FILE_LIST);
  const next: usize = load32(file + FILE_NEXT);
  const prev: usize = load32(file + FILE_PREV);
  if (prev == 0) store32(SH_FILE_LIST, <u32>next);
  else store32(prev + FILE_NEXT, <u32>next);
  if (next != 0) store32(next + FILE_PREV, <u32>prev);
  mutexUnlock(LOCK_FILE_LIST);
}

/** One more reference. @context the caller holds one. kernel: get_file. */
export function fgetFile(file: usize): void {
  const old = atomicAdd32(file + FILE_COUNT, 1);
  if (ORACLES && old == 0) oops(ORACLE_KERNEL_BUG, OOPS_REFCOUNT, <f64>file, 0);
}

/** A reference unless the file is on its way out. @context the file list mutex keeps it from being freed. kernel: get_file_rcu. */
export function fgetFileUnlessZero(file: usize): bool {
  let old = atomicLoad32(file + FILE_COUNT);
  while (old != 0) {
    const seen = atomicCas32(file + FILE_COUNT, old, old + 1);
    if (seen == old) return true;
    old = seen;
  }
  return false;
}

/** A reference to the file behind a descriptor, if there is one: here the list of files is the table. @context takes the file list mutex. */
export function fget(fd: usize): bool {
  mutexLock(LOCK_FILE_LIST);
  let file: usize = load32(SH_FILE_LIST);
  while (file != 0 && file != fd) file = load32(file + FILE_NEXT);
  const found = file != 0 && fgetFileUnlessZero(file);
  mutexUnlock(LOCK_FILE_LIST);
  return found;
}

/** Drops a reference; the last one releases the file. @context may sleep; takes the file list mutex, xa_lock, zone locks; of a guest_memfd slots_lock and the invalidate lock. kernel: fput. */
export function fputFile(file: usize): void {
  if (lastReference(file)) releaseFile(file);
}

/**
 * As fputFile, for a caller that holds kvm->srcu or slots_lock, which a guest_memfd's release takes: it waits until taskWorkRun.
 * @context may sleep: takes the file list mutex. kernel: fput, which leaves __fput to task_work.
 */
export function fputDelayed(file: usize): void {
  if (!lastReference(file)) return;
  store32(file + FILE_NEXT, loadStatic32(current + TASK_FPUT));
  store32(current + TASK_FPUT, <u32>file);
}

/** Releases the files that fputDelayed has put off. @context the task holds nothing; sleeps. kernel: task_work_run. */
export function taskWorkRun(): void {
  for (let file: usize = loadStatic32(current + TASK_FPUT); file != 0; file = loadStatic32(current + TASK_FPUT)) {
    store32(current + TASK_FPUT, load32(file + FILE_NEXT));
    releaseFile(file);
  }
}

/** Drops a reference. True: it was the last, and nobody finds the file any more. @context takes the file list mutex. */
function lastReference(file: usize): bool {
  // Looked at before: behind it the file is another's to release.
  const magic = ORACLES ? load32(file + FILE_MAGIC) : FILE_ALIVE;
  const old = atomicSub32(file + FILE_COUNT, 1);
  if (ORACLES && (old == 0 || magic != FILE_ALIVE)) oops(ORACLE_KERNEL_BUG, OOPS_REFCOUNT, <f64>file, <f64>old);
  if (old != 1) return false;
  fileListDel(file);
  return true;
}

/** @context nobody finds the file any more, but memslots of a guest_memfd may still point to it; sleeps. kernel: __fput. */
function releaseFile(file: usize): void {
  const inode: usize = load32(file + FILE_INODE);
  restrictedmemRelease(inode, file);
  unnameObject(file);
  atomicStore32(file + FILE_MAGIC, 0);
  kfree(inode, INODE_SIZE);
  if (!guestMemfd()) {
    kfree(file, FILE_SIZE);
    return;
  }
  // A fault may just be looking at the count through its memslot (SLAB_TYPESAFE_BY_RCU).
  kfreeRcu(file, FILE_SIZE);
  rcuReclaim();
}

/**
 * Frees what creation made: bindings, the hidden file (and with it the pages), the object. Each bound slot holds a reference to the file, so
 * nothing is bound any more. Before patch 03 the object was looked up through the inode's mapping (RFC v7, B02).
 * @context nobody else knows the file; may sleep.
 */
export function restrictedmemRelease(inode: usize, file: usize): void {
  const wrong = load32(SH_PROTOCOL) == <u32>PROTOCOL_RFC_V7 || variant(V_B02);
  const mapping: usize = wrong ? load32(inode + INODE_I_MAPPING) : load32(file + FILE_F_MAPPING);
  const rm: usize = load32(mapping + MAPPING_PRIVATE_DATA);
  if (oraclesOn()) checkRm(rm);
  if (rm == 0) return; // Linux would crash on a NULL pointer; without the oracles the object is merely lost
  // Linux drops this reference before the inode is evicted; here the pages go while the VM still has its ASID (cf. B13).
  const kvm = guestMemfd() ? kvmGmemRelease(rm) : 0;
  xaDestroy(rm + RM_BINDINGS);
  unnameObject(load32(rm + RM_MEMFD));
  shmemPut(load32(rm + RM_MEMFD));
  unnameObject(rm);
  store32(rm + RM_MAGIC, 0);
  kfree(rm, RM_SIZE);
  if (kvm != 0) destroyVm(kvm);
}
