// Memslots: what user space asks for (create, delete, move, change flags), checked in the documented order, and the look-ups. How an update is
// made visible without stopping readers: memslots-update.ts. kernel: virt/kvm/kvm_main.c __kvm_set_memory_region() (6.8); private slots after
// the restrictedmem RFC.
import { EEXIST, EINVAL, EIO, ENOMEM } from '../abi/errno';
import {
  KVM_ADDRESS_SPACES, KVM_MEMSLOTS, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_MAX_NR_PAGES, KVM_MEM_PRIVATE, KVM_MEM_READONLY, KVM_MEM_SLOTS_NUM,
  KVM_MR_CREATE, KVM_MR_DELETE, KVM_MR_FLAGS_ONLY, KVM_MR_MOVE, KVM_NR_MEMSLOT_PAGES, KVM_SLOTS_LOCK, KVM_USER_MEM_SLOTS, REGION_FLAGS,
  REGION_GPA, REGION_MEMORY_SIZE, REGION_RESTRICTED_FD, REGION_RESTRICTED_OFFSET, REGION_SLOT, REGION_USERSPACE_ADDR, SLOTS_GENERATION,
  SLOT_AS_ID, SLOT_BASE_GFN, SLOT_FLAGS, SLOT_ID, SLOT_KVM, SLOT_MAGIC, SLOT_MAGIC_VALUE, SLOT_NPAGES, SLOT_PRIORITY, SLOT_SIZE,
  SLOT_USERSPACE_ADDR,
} from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { kfree, kzalloc } from '../heap';
import { guestMemfd, taskWorkRun } from '../mm/restrictedmem-file';
import { atomicLoad32, atomicLoad64, load32, load64, loadStatic32, loadStatic64, store32, store64 } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { idToMemslot, memslotAtOrAbove, searchMemslots, slotPriority } from './memslots-tree';
import { kvmSetMemslot } from './memslots-update';
import { kvmRestrictedmemBind, kvmRestrictedmemUnbind } from './restrictedmem_kvm';

const PAGE_MASK: u64 = 4095;
/** User addresses end here (47 bits); tags are not modelled, so a tagged address is beyond it. */
const TASK_SIZE_MAX: u64 = 1 << 47;

/** The active set of an address space. @context kvm->srcu or slots_lock. kernel: __kvm_memslots(). */
// @ts-ignore: decorator
@inline
export function kvmMemslots(kvm: usize, asId: u32): usize {
  return atomicLoad32(kvm + KVM_MEMSLOTS + (<usize>asId << 2));
}

/** The slot that holds `gfn`, or 0. @context inside kvm->srcu, or slots_lock held. kernel: kvm_vcpu_gfn_to_memslot(). */
// @ts-ignore: decorator
@inline
export function gfnToMemslot(kvm: usize, asId: u32, gfn: u64): usize {
  return searchMemslots(kvmMemslots(kvm, asId), gfn);
}

/** Generation of the active set; bit 63 while an update is in progress. What vCPU caches of slots are keyed by. */
export function kvmMemslotsGeneration(kvm: usize, asId: u32): u64 {
  return atomicLoad64(kvmMemslots(kvm, asId) + SLOTS_GENERATION);
}

/** First gfn behind the slot. */
// @ts-ignore: decorator
@inline
export function slotEndGfn(slot: usize): u64 { return load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_NPAGES); }

/** kernel: kvm_slot_can_be_private(). */
// @ts-ignore: decorator
@inline
export function slotCanBePrivate(slot: usize): bool { return (load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) != 0; }

/** Address in the VMM's process, in bytes, that shows `gfn` of the slot. kernel: __gfn_to_hva_memslot(). */
// @ts-ignore: decorator
@inline
export function slotHva(slot: usize, gfn: u64): u64 {
  return load64(slot + SLOT_USERSPACE_ADDR) + ((gfn - load64(slot + SLOT_BASE_GFN)) << PAGE_SHIFT);
}

/**
 * KVM_SET_USER_MEMORY_REGION2 with the region struct of abi/kvm.ts. Size 0 deletes. Returns 0 or a negative errno.
 * @context sleeps; takes slots_lock, so not inside kvm->srcu. kernel: kvm_vm_ioctl_set_memory_region().
 */
export function kvmSetMemoryRegion(kvm: usize, region: usize): i32 {
  if ((loadStatic32(region + REGION_SLOT) & 0xffff) >= <u32>KVM_USER_MEM_SLOTS) return -EINVAL;
  return kvmSetOwnRegion(kvm, region);
}

/** The same for any slot, KVM's own ones too. @context as kvmSetMemoryRegion. kernel: kvm_set_memory_region() (6.8). */
export function kvmSetOwnRegion(kvm: usize, region: usize): i32 {
  mutexLock(kvm + KVM_SLOTS_LOCK);
  const ret = setRegionLocked(kvm, region);
  mutexUnlock(kvm + KVM_SLOTS_LOCK);
  taskWorkRun();
  return ret;
}

/**
 * A private slot cannot log dirty pages: no userspace-visible memory is behind it. Whether it may be read-only is the protocol's: guests of the RFC
 * era map their firmware so; a guest_memfd's slot may not, since a write to it would have to be emulated as MMIO, which private memory has none of.
 * kernel: check_memory_region_flags() of the restrictedmem RFC, and of 6.8.
 */
function checkFlags(flags: u32): bool {
  let valid: u32 = KVM_MEM_PRIVATE | KVM_MEM_READONLY;
  if ((flags & KVM_MEM_PRIVATE) == 0) valid |= KVM_MEM_LOG_DIRTY_PAGES;
  else if (guestMemfd()) valid &= ~KVM_MEM_READONLY;
  return (flags & ~valid) == 0;
}

/** The checks of a region that need no slot, in the kernel's order. */
function checkRegion(region: usize): i32 {
  const size = loadStatic64(region + REGION_MEMORY_SIZE);
  const gpa = loadStatic64(region + REGION_GPA);
  const hva = loadStatic64(region + REGION_USERSPACE_ADDR);
  const offset = loadStatic64(region + REGION_RESTRICTED_OFFSET);
  const flags = loadStatic32(region + REGION_FLAGS);
  const slot = loadStatic32(region + REGION_SLOT);
  if (!checkFlags(flags)) return -EINVAL;
  if ((size & PAGE_MASK) != 0) return -EINVAL;
  if ((gpa & PAGE_MASK) != 0) return -EINVAL;
  if ((hva & PAGE_MASK) != 0 || hva > TASK_SIZE_MAX || size > TASK_SIZE_MAX - hva) return -EINVAL;
  if ((flags & KVM_MEM_PRIVATE) != 0 && ((offset & PAGE_MASK) != 0 || offset + size < offset)) return -EINVAL;
  if ((slot >>> 16) >= <u32>KVM_ADDRESS_SPACES || (slot & 0xffff) >= <u32>KVM_MEM_SLOTS_NUM) return -EINVAL;
  if (gpa + size < gpa) return -EINVAL;
  if ((size >> PAGE_SHIFT) > <u64>KVM_MEM_MAX_NR_PAGES) return -EINVAL;
  return 0;
}

/** What a change to an existing slot amounts to: KVM_MR_MOVE, KVM_MR_FLAGS_ONLY, NOTHING, or -EINVAL when the slot does not allow it. */
const NOTHING: i32 = 16;
function changeOf(old: usize, region: usize): i32 {
  const flags = loadStatic32(region + REGION_FLAGS);
  const oldFlags = load32(old + SLOT_FLAGS);
  // Private slots are immutable, they can only be deleted; nor can a slot stop being private, which would orphan its binding.
  if (((flags | oldFlags) & KVM_MEM_PRIVATE) != 0) return -EINVAL;
  if (
    loadStatic64(region + REGION_USERSPACE_ADDR) != load64(old + SLOT_USERSPACE_ADDR) ||
    loadStatic64(region + REGION_MEMORY_SIZE) >> PAGE_SHIFT != load64(old + SLOT_NPAGES) ||
    ((flags ^ oldFlags) & KVM_MEM_READONLY) != 0
  ) return -EINVAL;
  if (loadStatic64(region + REGION_GPA) >> PAGE_SHIFT != load64(old + SLOT_BASE_GFN)) return KVM_MR_MOVE;
  return flags != oldFlags ? KVM_MR_FLAGS_ONLY : NOTHING;
}

/** @context slots_lock held. kernel: kvm_check_memslot_overlap(). */
function overlapsOther(slots: usize, id: u32, start: u64, end: u64): bool {
  let gfn = start;
  while (gfn < end) {
    const slot = memslotAtOrAbove(slots, gfn);
    if (slot == 0 || load64(slot + SLOT_BASE_GFN) >= end) return false;
    if (load32(slot + SLOT_ID) != id) return true;
    gfn = slotEndGfn(slot);
  }
  return false;
}

/** @context slots_lock held; sleeps. kernel: __kvm_set_memory_region(). */
function setRegionLocked(kvm: usize, region: usize): i32 {
  const bad = checkRegion(region);
  if (bad != 0) return bad;
  const id = loadStatic32(region + REGION_SLOT) & 0xffff;
  const slots = kvmMemslots(kvm, loadStatic32(region + REGION_SLOT) >>> 16);
  const old = idToMemslot(slots, id);
  const npages = loadStatic64(region + REGION_MEMORY_SIZE) >> PAGE_SHIFT;
  if (npages == 0) {
    if (old == 0) return -EINVAL;
    if (load64(kvm + KVM_NR_MEMSLOT_PAGES) < load64(old + SLOT_NPAGES)) return -EIO;
    return kvmSetMemslot(kvm, old, 0, KVM_MR_DELETE);
  }
  let change: i32 = KVM_MR_CREATE;
  if (old == 0) {
    const total = load64(kvm + KVM_NR_MEMSLOT_PAGES);
    if (total + npages < total) return -EINVAL;
  } else {
    change = changeOf(old, region);
    if (change == NOTHING) return 0;
    if (change < 0) return change;
  }
  const baseGfn = loadStatic64(region + REGION_GPA) >> PAGE_SHIFT;
  if (change == KVM_MR_CREATE || change == KVM_MR_MOVE) {
    if (overlapsOther(slots, id, baseGfn, baseGfn + npages)) return -EEXIST;
  }
  return installSlot(kvm, region, old, change);
}

/** @context slots_lock held; sleeps. */
function installSlot(kvm: usize, region: usize, old: usize, change: i32): i32 {
  const slot = kzalloc(SLOT_SIZE);
  if (slot == 0) return -ENOMEM;
  const flags = loadStatic32(region + REGION_FLAGS);
  const id = loadStatic32(region + REGION_SLOT) & 0xffff;
  store32(slot + SLOT_MAGIC, SLOT_MAGIC_VALUE);
  store32(slot + SLOT_KVM, <u32>kvm);
  store32(slot + SLOT_ID, id);
  store32(slot + SLOT_AS_ID, loadStatic32(region + REGION_SLOT) >>> 16);
  store64(slot + SLOT_BASE_GFN, loadStatic64(region + REGION_GPA) >> PAGE_SHIFT);
  store64(slot + SLOT_NPAGES, loadStatic64(region + REGION_MEMORY_SIZE) >> PAGE_SHIFT);
  store64(slot + SLOT_USERSPACE_ADDR, loadStatic64(region + REGION_USERSPACE_ADDR));
  store32(slot + SLOT_FLAGS, flags);
  store32(slot + SLOT_PRIORITY, slotPriority(id));
  let ret: i32 = 0;
  if ((flags & KVM_MEM_PRIVATE) != 0) {
    ret = kvmRestrictedmemBind(slot, loadStatic32(region + REGION_RESTRICTED_FD), loadStatic64(region + REGION_RESTRICTED_OFFSET));
  }
  if (ret == 0) {
    ret = kvmSetMemslot(kvm, old, slot, change);
    if (ret == 0) return 0;
    if ((flags & KVM_MEM_PRIVATE) != 0) kvmRestrictedmemUnbind(slot);
  }
  store32(slot + SLOT_MAGIC, 0);
  kfree(slot, SLOT_SIZE);
  return ret;
}
