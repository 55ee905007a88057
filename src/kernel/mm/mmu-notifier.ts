// Who hears that memory of a process goes away: the notifiers of its address space, a list that is walked inside an SRCU section, so that callbacks may
// sleep. A notifier leaves the list in two ways, because its owner goes or because the address space ends, and both may happen at once.
// kernel: mm/mmu_notifier.c (6.8). The kernel has one srcu_struct for all address spaces, here each has its own.
import { LC_MN_LIST, LC_MN_SRCU } from '../abi/classes';
import { MN_LIST_FIRST, MN_LIST_LOCK, MN_LIST_SRCU } from '../abi/mm';
import { V_B27 } from '../abi/variants';
import { atomicLoad32, atomicStore32, load32, loadStatic32, store32, variant } from '../point';
import { spinLock, spinLockInit, spinUnlock } from '../sync/spinlock';
import { srcuInit, srcuReadLock, srcuReadUnlock, synchronizeSrcu } from '../sync/srcu';

// struct mmu_notifier, a part of its owner.
const MN_NEXT: usize = 0; // u32 atomic, kept when it leaves the list: a walk may stand on it
const MN_OPS: usize = 4; // u32 address of MN_OPS_*; fixed
const MN_HASHED: usize = 8; // u32 atomic, 1: on the list; MN_LIST_LOCK

// Callbacks: table indices.
export const MN_OPS_START: usize = 0; // (subscription, start: u64, end: u64): void, bytes of the address space
export const MN_OPS_END: usize = 4;
export const MN_OPS_RELEASE: usize = 8; // (subscription): void: forget every page, now

/** @context before the list is shared; allocates. 0 or -ENOMEM. */
export function mmuNotifierListInit(list: usize): i32 {
  store32(list + MN_LIST_FIRST, 0);
  spinLockInit(list + MN_LIST_LOCK, LC_MN_LIST);
  return srcuInit(list + MN_LIST_SRCU, LC_MN_SRCU);
}

/** Whether it has not left the list. @context any; a hint while others run. */
export function mmuNotifierRegistered(subscription: usize): bool { return atomicLoad32(subscription + MN_HASHED) != 0; }

/** @context takes the list's lock. kernel: mmu_notifier_register(). */
export function mmuNotifierRegister(list: usize, subscription: usize, ops: usize): void {
  store32(subscription + MN_OPS, <u32>ops);
  spinLock(list + MN_LIST_LOCK);
  store32(subscription + MN_NEXT, loadStatic32(list + MN_LIST_FIRST));
  atomicStore32(subscription + MN_HASHED, 1);
  atomicStore32(list + MN_LIST_FIRST, <u32>subscription);
  spinUnlock(list + MN_LIST_LOCK);
}

/** Takes it off the list if it is there still. @context the list's lock. kernel: hlist_del_init_rcu(). */
function unlink(list: usize, subscription: usize): void {
  if (load32(subscription + MN_HASHED) == 0) return;
  let link: usize = list + MN_LIST_FIRST;
  while (load32(link) != <u32>subscription) link = <usize>load32(link) + MN_NEXT;
  atomicStore32(link, load32(subscription + MN_NEXT));
  atomicStore32(subscription + MN_HASHED, 0);
}

function callRelease(subscription: usize): void {
  call_indirect<void>(load32(<usize>load32(subscription + MN_OPS) + MN_OPS_RELEASE), subscription);
}

/** Calls `op` of each notifier with a range of bytes. @context sleeps as the callbacks do. kernel: mn_hlist_invalidate_range_start(), mn_hlist_invalidate_end(). */
export function mmuNotifierCall(list: usize, op: usize, start: u64, end: u64): void {
  const idx = srcuReadLock(list + MN_LIST_SRCU);
  for (let subscription: usize = atomicLoad32(list + MN_LIST_FIRST); subscription != 0; subscription = atomicLoad32(subscription + MN_NEXT)) {
    call_indirect<void>(load32(<usize>load32(subscription + MN_OPS) + op), subscription, start, end);
  }
  srcuReadUnlock(list + MN_LIST_SRCU, idx);
}

/**
 * The owner goes. When this returns no callback runs or will run, and its pages are forgotten: by its own ->release, or by that of the address space's end.
 * @context sleeps: waits for callbacks. kernel: mmu_notifier_unregister().
 */
export function mmuNotifierUnregister(list: usize, subscription: usize): void {
  if (atomicLoad32(subscription + MN_HASHED) != 0) {
    // Inside a section, so that the end of the address space waits for this before it frees pages.
    const idx = srcuReadLock(list + MN_LIST_SRCU);
    callRelease(subscription);
    srcuReadUnlock(list + MN_LIST_SRCU, idx);
    spinLock(list + MN_LIST_LOCK);
    unlink(list, subscription);
    spinUnlock(list + MN_LIST_LOCK);
  }
  synchronizeSrcu(list + MN_LIST_SRCU);
}

/**
 * The address space ends: every owner forgets its pages and leaves the list, in this order. Who is off the list hears of nothing, so that another who takes
 * pages away meanwhile would free them under its mappings (B27).
 * @context before the pages are freed; sleeps: waits for callbacks. kernel: mn_hlist_release().
 */
export function mmuNotifierRelease(list: usize): void {
  const idx = srcuReadLock(list + MN_LIST_SRCU);
  if (!variant(V_B27)) {
    for (let subscription: usize = atomicLoad32(list + MN_LIST_FIRST); subscription != 0; subscription = atomicLoad32(subscription + MN_NEXT)) {
      callRelease(subscription);
    }
  }
  spinLock(list + MN_LIST_LOCK);
  for (let subscription: usize = loadStatic32(list + MN_LIST_FIRST); subscription != 0; subscription = loadStatic32(list + MN_LIST_FIRST)) {
    unlink(list, subscription);
    if (!variant(V_B27)) continue;
    spinUnlock(list + MN_LIST_LOCK);
    callRelease(subscription);
    spinLock(list + MN_LIST_LOCK);
  }
  spinUnlock(list + MN_LIST_LOCK);
  srcuReadUnlock(list + MN_LIST_SRCU, idx);
  synchronizeSrcu(list + MN_LIST_SRCU);
}
