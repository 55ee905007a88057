// Memslot updates: two complete sets per address space, one of them published. An update changes the other one, publishes it by a pointer,
// waits until no reader (kvm->srcu) uses the old one, and brings that up to date too. kernel: virt/kvm/kvm_main.c kvm_set_memslot() (6.8).
// Grace periods: DELETE 2, MOVE 2, CREATE 1, FLAGS_ONLY 1.
import { ENOMEM } from '../abi/errno';
import {
  KC_GRACE_PERIODS, KC_MN_WAITS, KC_RECLAIMED, KC_SHADOW_FLUSHES, KC_SWAPS, KVM_ADDRESS_SPACES, KVM_COUNTERS, KVM_ID,
  KVM_MEMSLOTS, KVM_MEMSLOT_INVALID, KVM_MEMSLOT_SETS,
  KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_PRIVATE, KVM_MN_ACTIVE, KVM_MN_LOCK, KVM_MN_RCUWAIT, KVM_MR_CREATE, KVM_MR_DELETE, KVM_MR_MOVE,
  KVM_NR_MEMSLOT_PAGES, KVM_SLOTS_ARCH_LOCK, KVM_SRCU, KVM_TYPE, KVM_TYPE_SNP, SLOTS_GENERATION, SLOT_AS_ID, SLOT_FLAGS, SLOT_ID,
  SLOT_MAGIC, SLOT_MAGIC_FREED, SLOT_NPAGES, SLOT_SIZE,
} from '../abi/kvm';
import { NT_SLOT } from '../abi/names';
import { OOPS_GENERATION_BUSY, ORACLE_KERNEL_BUG } from '../abi/oops';
import { V_B25, V_B60, V_PLANT_READ_FREED, V_PLANT_STALE_SLOT } from '../abi/variants';
import { kfree, kmalloc } from '../heap';
import { nameObject, unnameObject } from '../names';
import { bugOn } from '../oops';
import { atomicAdd32, atomicLoad64, atomicStore32, atomicStore64, copyBytes, load32, load64, store32, store64, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { finishRcuwait, prepareToRcuwait, rcuwaitSleep } from '../sync/rcuwait';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { synchronizeSrcuExpedited } from '../sync/srcu';
import { kvmArchCopySlot, kvmArchFreeSlot, kvmArchPrepareSlot } from './memslots-arch';
import { slotsReplace } from './memslots-tree';
import { kvmRestrictedmemUnbind } from './restrictedmem_kvm';
import { kvmArchFlushShadowMemslot, kvmMmuSlotRemoveWriteAccess } from './tdp';

const GENERATION_UPDATE_IN_PROGRESS: u64 = 1 << 63;
/** Slots with a smaller id are in the name table; a VM with thousands of slots would fill it. Reports tell the others by SLOT_MAGIC and SLOT_ID. */
const NAMED_SLOTS: u32 = 64;

/** Counts an event of the VM (KC_*). */
// @ts-ignore: decorator
@inline
export function kvmCount(kvm: usize, counter: usize): void { atomicAdd32(kvm + KVM_COUNTERS + (counter << 2), 1); }

/** The set of `asId` that is not published. @context slots_lock held. kernel: kvm_get_inactive_memslots(). */
function inactiveMemslots(kvm: usize, asId: u32): usize {
  const sets: usize = kvm + KVM_MEMSLOT_SETS + (<usize>asId << 3);
  const first = load32(sets);
  return load32(kvm + KVM_MEMSLOTS + (<usize>asId << 2)) == first ? load32(sets + 4) : first;
}

/**
 * Waits until no range_start..range_end of the primary MMU is open, then publishes the inactive set: start and end of one invalidation must see the
 * same slots, else the balance of begin and end breaks (B25).
 * @context slots_lock and slots_arch_lock held; takes mn_invalidate_lock; sleeps between.
 */
function publishWhenQuiet(kvm: usize, asId: u32, slots: usize): void {
  spinLock(kvm + KVM_MN_LOCK);
  prepareToRcuwait(kvm + KVM_MN_RCUWAIT);
  while (load32(kvm + KVM_MN_ACTIVE) != 0 && !variant(V_B25)) {
    spinUnlock(kvm + KVM_MN_LOCK);
    kvmCount(kvm, KC_MN_WAITS);
    rcuwaitSleep(kvm + KVM_MN_RCUWAIT);
    spinLock(kvm + KVM_MN_LOCK);
  }
  finishRcuwait(kvm + KVM_MN_RCUWAIT);
  atomicStore32(kvm + KVM_MEMSLOTS + (<usize>asId << 2), <u32>slots);
  spinUnlock(kvm + KVM_MN_LOCK);
}

/**
 * Publishes the inactive set and waits for the readers of the other one.
 * @context slots_lock and slots_arch_lock held; RELEASES slots_arch_lock, which readers inside kvm->srcu may take: it must not be held
 * across the grace period (B60). Sleeps. kernel: kvm_swap_active_memslots().
 */
function swapActiveMemslots(kvm: usize, asId: u32): void {
  const slots = inactiveMemslots(kvm, asId);
  const active: usize = load32(kvm + KVM_MEMSLOTS + (<usize>asId << 2));
  const generation = atomicLoad64(active + SLOTS_GENERATION);
  bugOn((generation & GENERATION_UPDATE_IN_PROGRESS) != 0, ORACLE_KERNEL_BUG, OOPS_GENERATION_BUSY, load32(kvm + KVM_ID), asId);
  atomicStore64(slots + SLOTS_GENERATION, generation | GENERATION_UPDATE_IN_PROGRESS);
  publishWhenQuiet(kvm, asId, slots);
  if (!variant(V_B60)) mutexUnlock(kvm + KVM_SLOTS_ARCH_LOCK);
  synchronizeSrcuExpedited(kvm + KVM_SRCU);
  if (variant(V_B60)) mutexUnlock(kvm + KVM_SLOTS_ARCH_LOCK);
  kvmCount(kvm, KC_GRACE_PERIODS);
  kvmCount(kvm, KC_SWAPS);
  // Spaced by the number of address spaces: with the start values 0, 1 no two sets of a VM ever have the same generation.
  atomicStore64(slots + SLOTS_GENERATION, generation + KVM_ADDRESS_SPACES);
}

/**
 * Publishes the inactive set, which has `slot` in place of `old` already, then makes the other set equal.
 * @context slots_lock and slots_arch_lock held; releases slots_arch_lock; sleeps. kernel: kvm_activate_memslot().
 */
function activateMemslot(kvm: usize, asId: u32, old: usize, slot: usize): void {
  swapActiveMemslots(kvm, asId);
  slotsReplace(inactiveMemslots(kvm, asId), old, slot);
}

/** kernel: kvm_arch_guest_memory_reclaimed(): for SEV guests a WBINVD on all CPUs. */
export function kvmArchGuestMemoryReclaimed(kvm: usize): void {
  if (load32(kvm + KVM_TYPE) == KVM_TYPE_SNP) kvmCount(kvm, KC_RECLAIMED);
}

/**
 * Publishes a copy of `old` marked INVALID, so that faults of the slot retry, and zaps what the slot had mapped.
 * @context slots_lock and slots_arch_lock held (the latter dropped and taken again); sleeps. kernel: kvm_invalidate_memslot().
 */
function invalidateMemslot(kvm: usize, old: usize, invalid: usize): void {
  const asId = load32(old + SLOT_AS_ID);
  copyBytes(invalid, old, SLOT_SIZE);
  store32(invalid + SLOT_FLAGS, load32(old + SLOT_FLAGS) | KVM_MEMSLOT_INVALID);
  slotsReplace(inactiveMemslots(kvm, asId), old, invalid);
  swapActiveMemslots(kvm, asId);
  kvmArchFlushShadowMemslot(kvm, old);
  kvmCount(kvm, KC_SHADOW_FLUSHES);
  kvmArchGuestMemoryReclaimed(kvm);
  mutexLock(kvm + KVM_SLOTS_ARCH_LOCK);
  // While the lock was free somebody may have allocated arch data of the published copy.
  kvmArchCopySlot(old, invalid);
}

/** Puts the change into both sets. @context slots_lock and slots_arch_lock held; releases slots_arch_lock; sleeps. */
function applyChange(kvm: usize, asId: u32, old: usize, slot: usize, invalid: usize, change: i32): void {
  slotsReplace(inactiveMemslots(kvm, asId), change == KVM_MR_CREATE ? 0 : old, slot);
  const published = change == KVM_MR_DELETE || change == KVM_MR_MOVE ? invalid : change == KVM_MR_CREATE ? 0 : old;
  activateMemslot(kvm, asId, published, slot);
}

/**
 * Carries out one change: `old` out, `slot` in (0: none). Returns 0 or a negative errno, then nothing has changed.
 * @context slots_lock held; takes slots_arch_lock; sleeps. kernel: kvm_set_memslot().
 */
export function kvmSetMemslot(kvm: usize, old: usize, slot: usize, change: i32): i32 {
  const asId = load32((slot != 0 ? slot : old) + SLOT_AS_ID);
  mutexLock(kvm + KVM_SLOTS_ARCH_LOCK);
  let invalid: usize = 0;
  if (change == KVM_MR_DELETE || change == KVM_MR_MOVE) {
    invalid = kmalloc(SLOT_SIZE);
    if (invalid == 0) {
      mutexUnlock(kvm + KVM_SLOTS_ARCH_LOCK);
      return -ENOMEM;
    }
    invalidateMemslot(kvm, old, invalid);
  }
  const ret = kvmArchPrepareSlot(kvm, old, slot, change);
  if (ret != 0) {
    if (invalid != 0) {
      activateMemslot(kvm, asId, invalid, old);
      freeInvalid(invalid);
    } else {
      mutexUnlock(kvm + KVM_SLOTS_ARCH_LOCK);
    }
    return ret;
  }
  applyChange(kvm, asId, old, slot, invalid, change);
  if (invalid != 0) freeInvalid(invalid);
  commitChange(kvm, old, slot, change);
  return 0;
}

function freeInvalid(invalid: usize): void {
  store32(invalid + SLOT_MAGIC, SLOT_MAGIC_FREED);
  kfree(invalid, SLOT_SIZE);
}

/** @context slots_lock held, the change is visible everywhere; sleeps (unbind). kernel: kvm_commit_memory_region(). */
function commitChange(kvm: usize, old: usize, slot: usize, change: i32): void {
  if (change == KVM_MR_CREATE) {
    store64(kvm + KVM_NR_MEMSLOT_PAGES, load64(kvm + KVM_NR_MEMSLOT_PAGES) + load64(slot + SLOT_NPAGES));
    nameSlot(kvm, slot);
  } else if (change == KVM_MR_DELETE) {
    store64(kvm + KVM_NR_MEMSLOT_PAGES, load64(kvm + KVM_NR_MEMSLOT_PAGES) - load64(old + SLOT_NPAGES));
    kvmFreeMemslot(kvm, old);
  } else {
    // The arch data of a moved slot is new; that of a slot with new flags has passed on to it.
    if (change == KVM_MR_MOVE) kvmArchFreeSlot(old);
    // Dirty logging begins: each page must fault once more for its next write.
    if ((load32(slot + SLOT_FLAGS) & ~load32(old + SLOT_FLAGS) & KVM_MEM_LOG_DIRTY_PAGES) != 0) kvmMmuSlotRemoveWriteAccess(kvm, slot);
    unnameSlot(old);
    nameSlot(kvm, slot);
    freeInvalid(old);
  }
}

function nameSlot(kvm: usize, slot: usize): void {
  const id = load32(slot + SLOT_ID);
  if (id < NAMED_SLOTS) nameObject(slot, SLOT_SIZE, NT_SLOT, kvm, id);
}

function unnameSlot(slot: usize): void {
  if (load32(slot + SLOT_ID) < NAMED_SLOTS) unnameObject(slot);
}

/**
 * Unbinds a private slot from its file (with the invalidations that brings) and frees it.
 * @context slots_lock held, or the VM is being destroyed; no reader can find the slot; sleeps. kernel: kvm_free_memslot().
 */
export function kvmFreeMemslot(kvm: usize, slot: usize): void {
  // V_PLANT_STALE_SLOT: the binding keeps pointing to a freed slot. Its memory stays in quarantine (as KASAN's), so that a callback meets the
  // mark and not a stranger's data.
  if (variant(V_PLANT_STALE_SLOT) && (load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) != 0) {
    unnameSlot(slot);
    store32(slot + SLOT_MAGIC, SLOT_MAGIC_FREED);
    return;
  }
  if ((load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) != 0) kvmRestrictedmemUnbind(slot);
  unnameSlot(slot);
  kvmArchFreeSlot(slot);
  freeInvalid(slot);
  if (variant(V_PLANT_READ_FREED)) load32(slot + SLOT_ID);
}
