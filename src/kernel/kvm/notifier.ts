// The primary MMU's notifier: host virtual ranges whose pages the host takes away (shared guest memory). range_start raises the count of
// open calls before it looks at the slots; memslot updates wait for the count to be zero, so that range_end meets the same slots.
// kernel: virt/kvm/kvm_main.c kvm_mmu_notifier_invalidate_range_start(), __kvm_handle_hva_range() (6.8).
import {
  KC_FLUSHES, KC_MN_ENDS, KC_MN_STARTS, KVM_ADDRESS_SPACES, KVM_GPC, KVM_ID, KVM_MMU_LOCK, KVM_MN_ACTIVE, KVM_MN_LOCK, KVM_MN_RCUWAIT, KVM_SRCU,
  NODE_LEFT_SLOT, NODE_RIGHT_SLOT, NODE_SUBTREE_LAST, SLOTS_HVA_ROOT, SLOT_BASE_GFN, SLOT_NPAGES, SLOT_USERSPACE_ADDR,
} from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { EV_NOTIFIER_END, EV_NOTIFIER_START } from '../abi/trace';
import { atomicStore32, load32, load64, store32, store64 } from '../point';
import { rcuwaitWakeUp } from '../sync/rcuwait';
import { writeLock, writeUnlock } from '../sync/rwlock';
import { spinLock, spinUnlock } from '../sync/spinlock';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { stackPop, stackPush } from '../task';
import { traceBegin, traceEnd } from '../trace';
import { gfnToPfnCacheInvalidateStart } from './pfncache';
import { kvmCountLocked, kvmMmuInvalidateBegin, kvmMmuInvalidateEnd, kvmMmuInvalidateRangeAdd } from './invalidate';
import { kvmMemslots } from './memslots';
import { hvaNode } from './memslots-tree';
import { kvmArchGuestMemoryReclaimed, kvmCount } from './memslots-update';
import { kvmFlushRemoteTlbs } from './requests';
import { kvmUnmapGfnRange } from './tdp';

// A walk over the slots that meet a host range, on the task's stack.
const WALK_KVM: usize = 0; // u32
const WALK_NODE: usize = 4; // u32 offset of the tree node in a slot
const WALK_START: usize = 8; // u64 hva
const WALK_LAST: usize = 16; // u64 hva, inclusive
const WALK_IS_END: usize = 24; // u32 1: range_end, whose handler is null
const WALK_LOCKED: usize = 28; // u32 1: mmu_lock taken, on_lock done
const WALK_FLUSH: usize = 32; // u32 1: something was zapped
const WALK_MAY_BLOCK: usize = 36; // u32 1: the zap may let go of mmu_lock
const WALK_SIZE: usize = 40;

/** A slot that meets the range. True: enough of this address space. @context kvm->srcu; takes mmu_lock for write at the first slot. */
function visitSlot(slot: usize, walk: usize): bool {
  const kvm: usize = load32(walk + WALK_KVM);
  const isEnd = load32(walk + WALK_IS_END) != 0;
  if (load32(walk + WALK_LOCKED) == 0) {
    store32(walk + WALK_LOCKED, 1);
    writeLock(kvm + KVM_MMU_LOCK);
    if (isEnd) kvmMmuInvalidateEnd(kvm);
    else kvmMmuInvalidateBegin(kvm);
  }
  if (isEnd) return true;
  const base = load64(slot + SLOT_USERSPACE_ADDR);
  const first = max<u64>(load64(walk + WALK_START), base) - base;
  const end = min<u64>(load64(walk + WALK_LAST) + 1, base + (load64(slot + SLOT_NPAGES) << PAGE_SHIFT)) - base;
  // Any byte of a page takes the whole page along.
  const startGfn = load64(slot + SLOT_BASE_GFN) + (first >> PAGE_SHIFT);
  const endGfn = load64(slot + SLOT_BASE_GFN) + ((end + 4095) >> PAGE_SHIFT);
  kvmMmuInvalidateRangeAdd(kvm, startGfn, endGfn);
  if (kvmUnmapGfnRange(kvm, slot, startGfn, endGfn, load32(walk + WALK_MAY_BLOCK) != 0)) store32(walk + WALK_FLUSH, 1);
  return false;
}

/** Visits the slots of a subtree that meet the range, in address order. */
function walkTree(slot: usize, walk: usize): bool {
  if (slot == 0) return false;
  const node: usize = slot + load32(walk + WALK_NODE);
  if (load64(node + NODE_SUBTREE_LAST) < load64(walk + WALK_START)) return false;
  if (walkTree(load32(node + NODE_LEFT_SLOT), walk)) return true;
  const base = load64(slot + SLOT_USERSPACE_ADDR);
  if (base > load64(walk + WALK_LAST)) return false;
  if (base + (load64(slot + SLOT_NPAGES) << PAGE_SHIFT) > load64(walk + WALK_START) && visitSlot(slot, walk)) return true;
  return walkTree(load32(node + NODE_RIGHT_SLOT), walk);
}

/**
 * Runs start or end over all slots that meet [hvaStart, hvaEnd). Returns whether there was one.
 * @context takes kvm->srcu, and mmu_lock for write if a slot is met. kernel: __kvm_handle_hva_range().
 */
function handleHvaRange(kvm: usize, hvaStart: u64, hvaEnd: u64, isEnd: bool, mayBlock: bool): bool {
  const walk = stackPush(WALK_SIZE);
  store32(walk + WALK_KVM, <u32>kvm);
  store64(walk + WALK_START, hvaStart);
  store64(walk + WALK_LAST, hvaEnd - 1);
  store32(walk + WALK_IS_END, isEnd ? 1 : 0);
  store32(walk + WALK_LOCKED, 0);
  store32(walk + WALK_FLUSH, 0);
  store32(walk + WALK_MAY_BLOCK, mayBlock ? 1 : 0);
  const idx = srcuReadLock(kvm + KVM_SRCU);
  for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
    const slots = kvmMemslots(kvm, asId);
    store32(walk + WALK_NODE, <u32>hvaNode(slots));
    walkTree(load32(slots + SLOTS_HVA_ROOT), walk);
  }
  const locked = load32(walk + WALK_LOCKED) != 0;
  if (load32(walk + WALK_FLUSH) != 0) {
    kvmCountLocked(kvm, KC_FLUSHES);
    kvmFlushRemoteTlbs(kvm);
  }
  if (locked) writeUnlock(kvm + KVM_MMU_LOCK);
  srcuReadUnlock(kvm + KVM_SRCU, idx);
  stackPop(WALK_SIZE);
  return locked;
}

/**
 * The host is about to take [hvaStart, hvaEnd) away: no mapping of it exists on return, and none is made before the matching end.
 * Never refuses, whether the caller may block or not: one that may not keeps mmu_lock to the end of the zap. @context sleeps only if it may block; must not hold slots_lock or slots_arch_lock.
 */
export function kvmMmuNotifierInvalidateRangeStart(kvm: usize, hvaStart: u64, hvaEnd: u64, mayBlock: bool): i32 {
  if (hvaStart >= hvaEnd) return 0;
  spinLock(kvm + KVM_MN_LOCK);
  store32(kvm + KVM_MN_ACTIVE, load32(kvm + KVM_MN_ACTIVE) + 1);
  const gpc: usize = load32(kvm + KVM_GPC);
  spinUnlock(kvm + KVM_MN_LOCK);
  if (gpc != 0) gfnToPfnCacheInvalidateStart(gpc, hvaStart, hvaEnd);
  kvmCount(kvm, KC_MN_STARTS);
  const since = traceBegin();
  if (handleHvaRange(kvm, hvaStart, hvaEnd, false, mayBlock)) kvmArchGuestMemoryReclaimed(kvm);
  traceEnd(EV_NOTIFIER_START, since, load32(kvm + KVM_ID), hvaStart, hvaEnd, 0);
  return 0;
}

/** @context as range_start; wakes a waiting memslot update. kernel: kvm_mmu_notifier_invalidate_range_end(). */
export function kvmMmuNotifierInvalidateRangeEnd(kvm: usize, hvaStart: u64, hvaEnd: u64): void {
  if (hvaStart >= hvaEnd) return;
  const since = traceBegin();
  handleHvaRange(kvm, hvaStart, hvaEnd, true, false);
  traceEnd(EV_NOTIFIER_END, since, load32(kvm + KVM_ID), hvaStart, hvaEnd, 0);
  kvmCount(kvm, KC_MN_ENDS);
  spinLock(kvm + KVM_MN_LOCK);
  const active = load32(kvm + KVM_MN_ACTIVE) - 1;
  store32(kvm + KVM_MN_ACTIVE, active);
  spinUnlock(kvm + KVM_MN_LOCK);
  if (active == 0) rcuwaitWakeUp(kvm + KVM_MN_RCUWAIT);
}

/**
 * The notifier is unregistered between a start and its end, which then never comes: nobody may wait for it (B28). Returns whether so.
 * @context the VM is being destroyed. kernel: kvm_destroy_vm().
 */
export function kvmMmuNotifierForceIdle(kvm: usize): bool {
  spinLock(kvm + KVM_MN_LOCK);
  const active = load32(kvm + KVM_MN_ACTIVE);
  if (active != 0) atomicStore32(kvm + KVM_MN_ACTIVE, 0);
  spinUnlock(kvm + KVM_MN_LOCK);
  return active != 0;
}
