// The architecture's part of a memslot: for each 2M and 1G page that the slot touches, one byte saying whether it may be mapped as a large page
// (alignment) and whether its gfns have different attributes (mixed). kernel: arch/x86/kvm/x86.c kvm_alloc_memslot_metadata(),
// arch/x86/kvm/mmu/mmu.c kvm_arch_post_set_memory_attributes() (6.8).
import { EINVAL, ENOMEM } from '../abi/errno';
import {
  KVM_MEM_PRIVATE, KVM_MR_CREATE, KVM_MR_DELETE, KVM_MR_MOVE, KVM_SHADOW_ROOT, LPAGE_DISALLOWED, LPAGE_MIXED, SLOT_BASE_GFN, SLOT_FLAGS,
  SLOT_LPAGE_1G, SLOT_LPAGE_2M, SLOT_LPAGE_BYTES_1G, SLOT_LPAGE_BYTES_2M, SLOT_NPAGES, SLOT_RMAP, SLOT_RM_INDEX, SLOT_USERSPACE_ADDR,
} from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { TDP_MAX_GFN } from '../abi/vcpu';
import { V_B23 } from '../abi/variants';
import { kfree, kzalloc, vfree, vmalloc } from '../heap';
import { fillBytes, load32, load64, load8, store32, store8, variant } from '../point';
import { kvmMemAttributesEmpty, kvmRangeMixed } from './attributes';


/** Arrays up to this size come from the object heap: a VM may have thousands of small slots. */
const SMALL_BYTES: u64 = 1024;

export const LEVEL_2M: u32 = 2;
export const LEVEL_1G: u32 = 3;

/** log2 of the pages of a large page. */
// @ts-ignore: decorator
@inline
export function levelShift(level: u32): u64 { return level == LEVEL_2M ? 9 : 18; }

/** Address of the byte of `gfn`'s large page. @context the gfn lies in the slot. kernel: lpage_info_slot(). */
// @ts-ignore: decorator
@inline
function lpageAddress(slot: usize, gfn: u64, level: u32): usize {
  const shift = levelShift(level);
  const bytes: usize = load32(slot + (level == LEVEL_2M ? SLOT_LPAGE_2M : SLOT_LPAGE_1G));
  return bytes + <usize>((gfn >> shift) - (load64(slot + SLOT_BASE_GFN) >> shift));
}

/** LPAGE_* of the large page of `gfn` at level 2 (2M) or 3 (1G); not 0: it may not be mapped as one. @context mmu_lock. */
export function kvmLpageInfo(slot: usize, gfn: u64, level: u32): u32 { return load8(lpageAddress(slot, gfn, level)); }

/** @context slots_lock, and mmu_lock for write once the slot is published. kernel: hugepage_set_mixed(), hugepage_clear_mixed(). */
export function kvmLpageSetMixed(slot: usize, gfn: u64, level: u32, mixed: bool): void {
  const p = lpageAddress(slot, gfn, level);
  const old = load8(p);
  const flags = mixed ? old | LPAGE_MIXED : old & ~LPAGE_MIXED;
  if (flags != old) store8(p, flags);
}

/** Whether the large page of `gfn` lies wholly inside the slot: only those can be mapped large, so only those are tracked. */
export function lpageInside(slot: usize, gfn: u64, level: u32): bool {
  const pages: u64 = 1 << levelShift(level);
  const start = gfn & ~(pages - 1);
  const base = load64(slot + SLOT_BASE_GFN);
  return start >= base && start + pages <= base + load64(slot + SLOT_NPAGES);
}

/** Allocates and fills the bytes of one level. */
function allocLevel(slot: usize, level: u32): bool {
  const shift = levelShift(level);
  const base = load64(slot + SLOT_BASE_GFN);
  const end = base + load64(slot + SLOT_NPAGES);
  const count = ((end - 1) >> shift) - (base >> shift) + 1;
  const bytes = count <= SMALL_BYTES ? kzalloc(<usize>count) : vmalloc(count);
  if (bytes == 0) return false;
  store32(slot + (level == LEVEL_2M ? SLOT_LPAGE_2M : SLOT_LPAGE_1G), <u32>bytes);
  store32(slot + (level == LEVEL_2M ? SLOT_LPAGE_BYTES_2M : SLOT_LPAGE_BYTES_1G), <u32>count);
  const mask: u64 = (<u64>1 << shift) - 1;
  if ((base & mask) != 0) store8(bytes, LPAGE_DISALLOWED);
  if ((end & mask) != 0) store8(bytes + <usize>count - 1, LPAGE_DISALLOWED);
  // A large page needs the same offset in the guest, in the host's address space and, for private memory, in the file.
  let crooked = ((base ^ (load64(slot + SLOT_USERSPACE_ADDR) >> PAGE_SHIFT)) & mask) != 0;
  if ((load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) != 0 && ((base ^ load64(slot + SLOT_RM_INDEX)) & mask) != 0) crooked = true;
  if (crooked) fillBytes(bytes, LPAGE_DISALLOWED, <usize>count);
  return true;
}

function freeLevel(bytes: usize, count: u32): void {
  if (count <= <u32>SMALL_BYTES) kfree(bytes, count);
  else vfree(bytes, count);
}

/** Sets the mixed flags of a new slot from the attributes that exist. kernel: kvm_mmu_init_memslot_memory_attributes(). */
function initMixed(kvm: usize, slot: usize, level: u32): void {
  const pages: u64 = 1 << levelShift(level);
  const base = load64(slot + SLOT_BASE_GFN);
  const end = base + load64(slot + SLOT_NPAGES);
  for (let gfn = (base + pages - 1) & ~(pages - 1); gfn + pages <= end; gfn += pages) {
    if (kvmRangeMixed(kvm, gfn, gfn + pages)) kvmLpageSetMixed(slot, gfn, level, true);
  }
}

/** The reverse maps of shadow paging. @context slots_arch_lock. kernel: memslot_rmap_alloc(). */
export function kvmAllocRmap(slot: usize): bool {
  if (load32(slot + SLOT_RMAP) == 0) store32(slot + SLOT_RMAP, <u32>vmalloc(load64(slot + SLOT_NPAGES) << 3));
  return load32(slot + SLOT_RMAP) != 0;
}

function allocMetadata(kvm: usize, slot: usize): i32 {
  store32(slot + SLOT_RMAP, 0);
  store32(slot + SLOT_LPAGE_2M, 0);
  store32(slot + SLOT_LPAGE_1G, 0);
  if (!allocLevel(slot, LEVEL_2M) || !allocLevel(slot, LEVEL_1G)) {
    kvmArchFreeSlot(slot);
    return -ENOMEM;
  }
  if (kvmMemAttributesEmpty(kvm) || variant(V_B23)) return 0;
  initMixed(kvm, slot, LEVEL_2M);
  initMixed(kvm, slot, LEVEL_1G);
  return 0;
}

/**
 * What the architecture has to say before a change: addresses it can map, and its data for the new slot.
 * @context slots_lock and slots_arch_lock held. kernel: kvm_arch_prepare_memory_region().
 */
export function kvmArchPrepareSlot(kvm: usize, old: usize, slot: usize, change: i32): i32 {
  if (change == KVM_MR_DELETE) return 0;
  if (change == KVM_MR_CREATE || change == KVM_MR_MOVE) {
    if (load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_NPAGES) > <u64>TDP_MAX_GFN) return -EINVAL; // kvm_mmu_max_gfn()
    const ret = allocMetadata(kvm, slot);
    if (ret != 0 || load32(kvm + KVM_SHADOW_ROOT) == 0 || kvmAllocRmap(slot)) return ret;
    kvmArchFreeSlot(slot);
    return -ENOMEM;
  }
  kvmArchCopySlot(slot, old);
  return 0;
}

/** @context slots_lock and slots_arch_lock held. */
export function kvmArchCopySlot(to: usize, from: usize): void {
  store32(to + SLOT_LPAGE_2M, load32(from + SLOT_LPAGE_2M));
  store32(to + SLOT_LPAGE_1G, load32(from + SLOT_LPAGE_1G));
  store32(to + SLOT_LPAGE_BYTES_2M, load32(from + SLOT_LPAGE_BYTES_2M));
  store32(to + SLOT_LPAGE_BYTES_1G, load32(from + SLOT_LPAGE_BYTES_1G));
  store32(to + SLOT_RMAP, load32(from + SLOT_RMAP));
}

/** @context nobody can find the slot any more. kernel: kvm_arch_free_memslot(). */
export function kvmArchFreeSlot(slot: usize): void {
  freeLevel(load32(slot + SLOT_LPAGE_2M), load32(slot + SLOT_LPAGE_BYTES_2M));
  freeLevel(load32(slot + SLOT_LPAGE_1G), load32(slot + SLOT_LPAGE_BYTES_1G));
  vfree(load32(slot + SLOT_RMAP), load64(slot + SLOT_NPAGES) << 3);
  store32(slot + SLOT_LPAGE_2M, 0);
  store32(slot + SLOT_LPAGE_1G, 0);
  store32(slot + SLOT_RMAP, 0);
}
