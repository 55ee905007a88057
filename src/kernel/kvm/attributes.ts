// Memory attributes: which guest frames are private. KVM_SET_MEMORY_ATTRIBUTES and the look-up that every fault makes.
// kernel: virt/kvm/kvm_main.c kvm_vm_set_mem_attributes() (6.8), the update of the RMP after the SNP RFC v8 (patches 02, 06, 48).
//
// mem_attr_array holds one entry per 2M of guest memory instead of one per page, so that a guest of half a terabyte can be converted at once:
//   NULL                  none of the 512 gfns has an attribute
//   value PRIVATE         all of them are private
//   pointer               64 bytes: one bit a gfn, set = private. It stays until the VM dies: readers need no grace period
import { EINVAL, ENOMEM } from '../abi/errno';
import {
  KC_ATTR_ERRORS, KC_ATTR_UPDATES, KC_FLUSHES, KVM_ADDRESS_SPACES, KVM_ID, KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MEM_ATTR,
  KVM_MMU_LOCK, KVM_SLOTS_LOCK, KVM_TYPE, KVM_TYPE_SNP, SLOT_BASE_GFN,
} from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { OOPS_ATTRIBUTE_STORE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { kfree, kmalloc } from '../heap';
import { guestMemfd } from '../mm/restrictedmem-file';
import { XA_PRESENT, xaDestroy, xaEmpty, xaFind, xaFindAfter, xaIsErr, xaIsValue, xaLoad, xaMkValue, xaReserve, xaStore } from '../mm/xarray';
import { oops } from '../oops';
import { atomicLoad32, atomicStore32, fillBytes, load32, load64, store64 } from '../point';
import { sevUpdateMemAttr } from '../snp/convert';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { writeLock, writeUnlock } from '../sync/rwlock';
import { stackPop, stackPush } from '../task';
import { kvmCountLocked, kvmMmuInvalidateBegin, kvmMmuInvalidateEnd, kvmMmuInvalidateRangeAdd } from './invalidate';
import { kvmMemslots, slotEndGfn } from './memslots';
import { kvmLpageSetMixed, LEVEL_1G, LEVEL_2M, levelShift, lpageInside } from './memslots-arch';
import { memslotAtOrAbove } from './memslots-tree';
import { kvmCount } from './memslots-update';
import { kvmFlushRemoteTlbs, kvmVmBugged } from './requests';
import { kvmUnmapGfnRange } from './tdp';

const CHUNK_SHIFT: u64 = 9;
const CHUNK_GFNS: u64 = 512;
const BITMAP_SIZE: usize = 64;
/** Guest frames end here (52 bits of physical address). */
const GFN_LIMIT: u64 = 1 << 40;

/** Attributes of one gfn. @context any; a fault decides under mmu_lock and the sequence number. kernel: kvm_get_memory_attributes(). */
export function kvmGetMemoryAttributes(kvm: usize, gfn: u64): u32 {
  const entry = xaLoad(kvm + KVM_MEM_ATTR, gfn >> CHUNK_SHIFT);
  if (entry == 0) return 0;
  if (xaIsValue(entry)) return KVM_MEMORY_ATTRIBUTE_PRIVATE;
  const bit = <u32>(gfn & (CHUNK_GFNS - 1));
  const word = atomicLoad32(<usize>entry + <usize>((bit >>> 5) << 2));
  return (word >>> (bit & 31)) & 1 ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

/** kernel: kvm_mem_is_private(). */
// @ts-ignore: decorator
@inline
export function kvmMemIsPrivate(kvm: usize, gfn: u64): bool { return kvmGetMemoryAttributes(kvm, gfn) != 0; }

/** Whether no gfn of the VM has an attribute. @context any. */
export function kvmMemAttributesEmpty(kvm: usize): bool { return xaEmpty(kvm + KVM_MEM_ATTR); }

/** Bits [first, end) of word `n` of a chunk's bitmap. */
// @ts-ignore: decorator
@inline
function wordMask(n: u32, first: u32, end: u32): u32 {
  const from = max<u32>(first, n << 5) - (n << 5);
  const to = min<u32>(end, (n + 1) << 5) - (n << 5);
  return (to == 32 ? 0xffffffff : ((<u32>1 << to) - 1)) & ~((<u32>1 << from) - 1);
}

/** Whether gfns [first, end) of the chunk with this entry all have the attributes. */
function chunkHas(entry: u32, first: u32, end: u32, attributes: u32): bool {
  if (entry == 0 || xaIsValue(entry)) return (entry != 0) == (attributes != 0);
  for (let n = first >>> 5; n << 5 < end; n++) {
    const mask = wordMask(n, first, end);
    if ((atomicLoad32(<usize>entry + <usize>(n << 2)) & mask) != (attributes != 0 ? mask : 0)) return false;
  }
  return true;
}

/** Whether all of [startGfn, endGfn) has exactly these attributes. kernel: kvm_range_has_memory_attributes(). */
export function kvmRangeHasAttributes(kvm: usize, startGfn: u64, endGfn: u64, attributes: u32): bool {
  let gfn = startGfn;
  while (gfn < endGfn) {
    const next = min<u64>((gfn | (CHUNK_GFNS - 1)) + 1, endGfn);
    const first = <u32>(gfn & (CHUNK_GFNS - 1));
    if (!chunkHas(xaLoad(kvm + KVM_MEM_ATTR, gfn >> CHUNK_SHIFT), first, first + <u32>(next - gfn), attributes)) return false;
    gfn = next;
  }
  return true;
}

/** Whether gfns of [startGfn, endGfn) differ in their attributes. */
export function kvmRangeMixed(kvm: usize, startGfn: u64, endGfn: u64): bool {
  return !kvmRangeHasAttributes(kvm, startGfn, endGfn, kvmGetMemoryAttributes(kvm, startGfn));
}

/** Makes the store to gfns [first, end) of a chunk impossible to fail; changes no attribute. 0 or -ENOMEM. @context slots_lock. */
function reserveChunk(kvm: usize, chunk: u64, first: u32, end: u32, attributes: u32): i32 {
  const entry = xaLoad(kvm + KVM_MEM_ATTR, chunk);
  if (entry != 0 && !xaIsValue(entry)) return 0;
  if (chunkHas(entry, first, end, attributes)) return 0;
  if (end - first == <u32>CHUNK_GFNS) return xaReserve(kvm + KVM_MEM_ATTR, chunk);
  const bitmap = kmalloc(BITMAP_SIZE);
  if (bitmap == 0) return -ENOMEM;
  fillBytes(bitmap, entry != 0 ? 0xff : 0, BITMAP_SIZE);
  if (!xaIsErr(xaStore(kvm + KVM_MEM_ATTR, chunk, <u32>bitmap))) return 0;
  kfree(bitmap, BITMAP_SIZE);
  return -ENOMEM;
}

/** Stores the attributes of gfns [first, end) of a reserved chunk. @context slots_lock. */
function storeChunk(kvm: usize, chunk: u64, first: u32, end: u32, attributes: u32): void {
  const entry = xaLoad(kvm + KVM_MEM_ATTR, chunk);
  if (entry == 0 || xaIsValue(entry)) {
    if (chunkHas(entry, first, end, attributes)) return;
    const old = xaStore(kvm + KVM_MEM_ATTR, chunk, attributes != 0 ? xaMkValue(attributes) : 0);
    if (xaIsErr(old)) {
      // KVM_BUG_ON: the reservation should have made this impossible.
      kvmVmBugged(kvm);
      oops(ORACLE_KERNEL_BUG, OOPS_ATTRIBUTE_STORE, load32(kvm + KVM_ID), <f64>(chunk << CHUNK_SHIFT));
    }
    return;
  }
  for (let n = first >>> 5; n << 5 < end; n++) {
    const p = <usize>entry + <usize>(n << 2);
    const mask = wordMask(n, first, end);
    atomicStore32(p, attributes != 0 ? load32(p) | mask : load32(p) & ~mask);
  }
}

/** Reserves (store = false) or stores the whole range. @context slots_lock. */
function eachChunk(kvm: usize, startGfn: u64, endGfn: u64, attributes: u32, store: bool): i32 {
  let gfn = startGfn;
  while (gfn < endGfn) {
    const next = min<u64>((gfn | (CHUNK_GFNS - 1)) + 1, endGfn);
    const first = <u32>(gfn & (CHUNK_GFNS - 1));
    const end = first + <u32>(next - gfn);
    if (store) {
      storeChunk(kvm, gfn >> CHUNK_SHIFT, first, end, attributes);
    } else {
      const error = reserveChunk(kvm, gfn >> CHUNK_SHIFT, first, end, attributes);
      if (error != 0) return error;
    }
    gfn = next;
  }
  return 0;
}

/**
 * Opens an invalidation over every slot piece of [start, end) and zaps it. Without a slot nothing is opened.
 * @context slots_lock; takes mmu_lock for write. kernel: kvm_pre_set_memory_attributes() through kvm_handle_gfn_range().
 */
function zapRange(kvm: usize, start: u64, end: u64): void {
  let locked = false;
  let flush = false;
  for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
    const slots = kvmMemslots(kvm, asId);
    let slot = memslotAtOrAbove(slots, start);
    while (slot != 0 && load64(slot + SLOT_BASE_GFN) < end) {
      if (!locked) {
        writeLock(kvm + KVM_MMU_LOCK);
        kvmMmuInvalidateBegin(kvm);
        locked = true;
      }
      const from = max<u64>(start, load64(slot + SLOT_BASE_GFN));
      const to = min<u64>(end, slotEndGfn(slot));
      kvmMmuInvalidateRangeAdd(kvm, from, to);
      if (kvmUnmapGfnRange(kvm, slot, from, to, true)) flush = true;
      slot = memslotAtOrAbove(slots, slotEndGfn(slot));
    }
  }
  if (flush) {
    kvmCountLocked(kvm, KC_FLUSHES);
    kvmFlushRemoteTlbs(kvm);
  }
  if (locked) writeUnlock(kvm + KVM_MMU_LOCK);
}

/** Brings the mixed flags of one level up to date after a change of [start, end). @context slots_lock, mmu_lock for write. */
function updateMixed(kvm: usize, slot: usize, start: u64, end: u64, attributes: u32, level: u32): void {
  const pages: u64 = 1 << levelShift(level);
  let gfn = start & ~(pages - 1);
  while (gfn < end) {
    if (lpageInside(slot, gfn, level)) {
      // A large page wholly inside the range is uniform; the first and the last one may reach beyond it.
      const straddles = gfn < start || gfn + pages > end;
      kvmLpageSetMixed(slot, gfn, level, straddles && !kvmRangeHasAttributes(kvm, gfn, gfn + pages, attributes));
    }
    gfn += pages;
  }
}

/**
 * Closes the invalidation that zapRange opened and lets the architecture follow.
 * @context slots_lock; takes mmu_lock for write; sleeps (the RMP update takes pages). kernel: kvm_arch_post_set_memory_attributes().
 */
function finishRange(kvm: usize, start: u64, end: u64, attributes: u32): void {
  let locked = false;
  for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
    const slots = kvmMemslots(kvm, asId);
    let slot = memslotAtOrAbove(slots, start);
    while (slot != 0 && load64(slot + SLOT_BASE_GFN) < end) {
      if (!locked) {
        writeLock(kvm + KVM_MMU_LOCK);
        kvmMmuInvalidateEnd(kvm);
        locked = true;
      }
      const from = max<u64>(start, load64(slot + SLOT_BASE_GFN));
      const to = min<u64>(end, slotEndGfn(slot));
      updateMixed(kvm, slot, from, to, attributes, LEVEL_2M);
      updateMixed(kvm, slot, from, to, attributes, LEVEL_1G);
      slot = memslotAtOrAbove(slots, slotEndGfn(slot));
    }
  }
  if (!locked) return;
  writeUnlock(kvm + KVM_MMU_LOCK);
  // guest_memfd assigns pages at their first fault and resets them when they leave the file.
  if (load32(kvm + KVM_TYPE) == KVM_TYPE_SNP && !guestMemfd()) updateMemAttr(kvm, start, end, attributes);
}

/** The platform's part, outside mmu_lock because it takes pages. An error is only noted: the attributes stand. @context slots_lock; sleeps. */
function updateMemAttr(kvm: usize, start: u64, end: u64, attributes: u32): void {
  for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
    const slots = kvmMemslots(kvm, asId);
    let slot = memslotAtOrAbove(slots, start);
    while (slot != 0 && load64(slot + SLOT_BASE_GFN) < end) {
      const ret = sevUpdateMemAttr(slot, attributes, max<u64>(start, load64(slot + SLOT_BASE_GFN)), min<u64>(end, slotEndGfn(slot)));
      if (ret != 0) kvmCount(kvm, KC_ATTR_ERRORS);
      slot = memslotAtOrAbove(slots, slotEndGfn(slot));
    }
  }
}

/**
 * Gives the gfns of [startGfn, endGfn) these attributes. 0, -EINVAL, or -ENOMEM (then nothing has changed).
 * @context sleeps; takes slots_lock, so not inside kvm->srcu. kernel: kvm_vm_set_mem_attributes().
 */
export function kvmSetMemoryAttributes(kvm: usize, startGfn: u64, endGfn: u64, attributes: u32): i32 {
  if ((attributes & ~KVM_MEMORY_ATTRIBUTE_PRIVATE) != 0) return -EINVAL;
  if (startGfn >= endGfn || endGfn > GFN_LIMIT) return -EINVAL;
  mutexLock(kvm + KVM_SLOTS_LOCK);
  let ret: i32 = 0;
  if (!kvmRangeHasAttributes(kvm, startGfn, endGfn, attributes)) {
    ret = eachChunk(kvm, startGfn, endGfn, attributes, false);
    if (ret == 0) {
      kvmCount(kvm, KC_ATTR_UPDATES);
      zapRange(kvm, startGfn, endGfn);
      eachChunk(kvm, startGfn, endGfn, attributes, true);
      finishRange(kvm, startGfn, endGfn, attributes);
    }
  }
  mutexUnlock(kvm + KVM_SLOTS_LOCK);
  return ret;
}

/** The ioctl's form: bytes, and its checks. kernel: kvm_vm_ioctl_set_mem_attributes(). @context as kvmSetMemoryAttributes. */
export function kvmIoctlSetMemoryAttributes(kvm: usize, address: u64, size: u64, attributes: u64, flags: u64): i32 {
  if (flags != 0) return -EINVAL;
  if ((attributes & ~(<u64>KVM_MEMORY_ATTRIBUTE_PRIVATE)) != 0) return -EINVAL;
  if (size == 0 || address + size < address) return -EINVAL;
  if (((address | size) & 4095) != 0) return -EINVAL;
  return kvmSetMemoryAttributes(kvm, address >> PAGE_SHIFT, (address + size) >> PAGE_SHIFT, <u32>attributes);
}

/** Frees all attributes. @context the VM is being destroyed. */
export function kvmMemAttributesDestroy(kvm: usize): void {
  const indexp = stackPush(8);
  store64(indexp, 0);
  let entry = xaFind(kvm + KVM_MEM_ATTR, indexp, GFN_LIMIT, XA_PRESENT);
  while (entry != 0) {
    if (!xaIsValue(entry)) kfree(entry, BITMAP_SIZE);
    entry = xaFindAfter(kvm + KVM_MEM_ATTR, indexp, GFN_LIMIT, XA_PRESENT);
  }
  stackPop(8);
  xaDestroy(kvm + KVM_MEM_ATTR);
}
