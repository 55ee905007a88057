// The page fault of a guest: which page belongs under the gfn, whether an invalidation has overtaken the answer, and its way into RMP and page tables.
// kernel: arch/x86/kvm/mmu/mmu.c kvm_tdp_page_fault(), kvm_faultin_pfn(), is_page_fault_stale(), direct_page_fault() (6.8); private pages as in
// the restrictedmem RFC, assignment as upstream's sev_gmem_prepare().
//
// Order: sequence number, look-up of the page with a reference, mmu_lock for read, check of number and open range, only then RMP and page table.
// An invalidation that began before the check is seen by it; one that begins later waits for mmu_lock and finds what was installed.
import { EFAULT, ENOMEM } from '../abi/errno';
import {
  KVM_ASID, KVM_EXIT_MEMORY_FAULT, KVM_EXIT_MMIO, KVM_INVALIDATE_END, KVM_INVALIDATE_IN_PROGRESS, KVM_INVALIDATE_SEQ, KVM_INVALIDATE_START,
  KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_PRIVATE, KVM_MEM_READONLY, KVM_MEMORY_EXIT_FLAG_PRIVATE, KVM_MEMSLOT_INVALID, KVM_MMU_LOCK, LPAGE_DISALLOWED,
  LPAGE_MIXED, SLOT_FLAGS,
} from '../abi/kvm';
import { NO_PFN, PTRS_PER_2M } from '../abi/layout';
import { PFERR_GUEST_ENC_BIT, PFERR_PRESENT_BIT, PFERR_RMP_BIT, PFERR_WRITE_BIT, PG_LEVEL_2M, PG_LEVEL_4K } from '../abi/snp';
import { V_B17, V_B29, V_B61, V_PLANT_DOUBLE_ASSIGN, V_PLANT_NO_RETRY_CHECK, V_PLANT_RETRY_FOREVER } from '../abi/variants';
import {
  MMU_NO_EARLY_RETRY, TDP_MAX_GFN, VCPU_COUNT_EXITS, VCPU_COUNT_MAPPED_2M, VCPU_COUNT_MAPPED_4K, VCPU_COUNT_SPURIOUS, VCPU_EXIT_FLAGS,
  VCPU_EXIT_GPA, VCPU_EXIT_REASON, VCPU_EXIT_SIZE, VCPU_KVM, VCPU_ROOT, VCPU_ROOT_TABLE,
} from '../abi/vcpu';
import { putPage } from '../mm/page';
import { guestMemfd } from '../mm/restrictedmem-file';
import { atomicLoad64, load32, load64, loadStatic32, randomU32, store32, store64, variant } from '../point';
import { snpMakePagePrivate } from '../snp/convert';
import { rmpLevel } from '../snp/rmp';
import { readLock, readUnlock } from '../sync/rwlock';
import { stackPop, stackPush } from '../task';
import { kvmMemIsPrivate } from './attributes';
import { mmuInvalidateRetryGfn, mmuInvalidateRetryGfnUnsafe } from './invalidate';
import { gfnToMemslot } from './memslots';
import { kvmLpageInfo } from './memslots-arch';
import { kvmRestrictedmemGetPfn } from './restrictedmem_kvm';
import { sharedGetPfn } from './shared';
import { RET_PF_EMULATE_MMIO, RET_PF_FIXED, RET_PF_RETRY, RET_PF_RETRY_STALE, RET_PF_SPURIOUS, tdpFastPageFault, tdpMap } from './tdp-map';
import { tdpRootObsolete } from './tdp-root';
import { makeSpte, SPTE_DIRTY, SPTE_WRITABLE } from './tdp-spte';
import { vcpuCount } from './vcpu';

const ENC: u64 = (<u64>1) << PFERR_GUEST_ENC_BIT;
const WRITE: u64 = (<u64>1) << PFERR_WRITE_BIT;
const PRESENT: u64 = (<u64>1) << PFERR_PRESENT_BIT;
const RMP: u64 = (<u64>1) << PFERR_RMP_BIT;

/** KVM_RUN returns to user space with a memory-fault exit of one page. kernel: kvm_prepare_memory_fault_exit(). */
function memoryFaultExit(vcpu: usize, gfn: u64, isPrivate: bool, error: i32): i32 {
  store32(vcpu + VCPU_EXIT_REASON, KVM_EXIT_MEMORY_FAULT);
  store32(vcpu + VCPU_EXIT_FLAGS, isPrivate ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0);
  store64(vcpu + VCPU_EXIT_GPA, gfn << 12);
  store64(vcpu + VCPU_EXIT_SIZE, 4096);
  vcpuCount(vcpu, VCPU_COUNT_EXITS);
  return error;
}

/** No memory there: user space plays the device. */
function mmioExit(vcpu: usize, gfn: u64): i32 {
  store32(vcpu + VCPU_EXIT_REASON, KVM_EXIT_MMIO);
  store32(vcpu + VCPU_EXIT_FLAGS, 0);
  store64(vcpu + VCPU_EXIT_GPA, gfn << 12);
  store64(vcpu + VCPU_EXIT_SIZE, 4);
  vcpuCount(vcpu, VCPU_COUNT_EXITS);
  return RET_PF_EMULATE_MMIO;
}

/** mmu_invalidate_seq before the page is looked up. */
// @ts-ignore: decorator
@inline
function snapshotSeq(kvm: usize): u64 {
  const seq = atomicLoad64(kvm + KVM_INVALIDATE_SEQ);
  // V_PLANT_RETRY_FOREVER, the shape of B30: the number passes through an int. Bit 31 stands for the 2^31 invalidations it takes to get there.
  return variant(V_PLANT_RETRY_FOREVER) ? <u64><i64><i32>(<u32>seq | 0x80000000) : seq;
}

// @ts-ignore: decorator
@inline
function retryEarly(kvm: usize, seq: u64, gfn: u64): bool {
  return mmuInvalidateRetryGfnUnsafe(kvm, seq, gfn) && load32(kvm + MMU_NO_EARLY_RETRY) == 0 && !variant(V_PLANT_NO_RETRY_CHECK);
}

/**
 * Handles a nested page fault at `gfn`. RET_PF_FIXED, RET_PF_SPURIOUS, RET_PF_RETRY, RET_PF_RETRY_STALE (all: run the guest again),
 * RET_PF_EMULATE_MMIO, or a negative errno with a memory-fault exit filled in.
 * @context vcpu->mutex and kvm->srcu; takes mmu_lock for read; may sleep before that (allocation). kernel: kvm_mmu_page_fault().
 */
export function kvmMmuPageFault(vcpu: usize, gfn: u64, errorCode: u64): i32 {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const isPrivate = (errorCode & ENC) != 0;
  const write = (errorCode & WRITE) != 0;
  if ((errorCode & (PRESENT | WRITE | RMP)) == (PRESENT | WRITE) && tdpFastPageFault(load32(vcpu + VCPU_ROOT_TABLE), gfn, isPrivate)) {
    return RET_PF_FIXED;
  }
  const seq = snapshotSeq(kvm);
  const slot = gfnToMemslot(kvm, 0, gfn);
  if (slot != 0) {
    if (retryEarly(kvm, seq, gfn)) return RET_PF_RETRY_STALE;
    if ((loadStatic32(slot + SLOT_FLAGS) & KVM_MEMSLOT_INVALID) != 0) return RET_PF_RETRY;
  }
  if (isPrivate != kvmMemIsPrivate(kvm, gfn)) return memoryFaultExit(vcpu, gfn, isPrivate, -EFAULT);
  if (isPrivate) return privateFault(vcpu, kvm, slot, gfn, seq, errorCode);
  if (slot == 0 || gfn >= <u64>TDP_MAX_GFN) return mmioExit(vcpu, gfn);
  return sharedFault(vcpu, kvm, slot, gfn, seq, write);
}

/** kernel: kvm_faultin_pfn_private(). @context as kvmMmuPageFault. */
function privateFault(vcpu: usize, kvm: usize, slot: usize, gfn: u64, seq: u64, errorCode: u64): i32 {
  if (slot == 0 || (loadStatic32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) == 0) return memoryFaultExit(vcpu, gfn, true, -EFAULT);
  const writable = (loadStatic32(slot + SLOT_FLAGS) & KVM_MEM_READONLY) == 0;
  if ((errorCode & WRITE) != 0 && !writable) return mmioExit(vcpu, gfn); // a write to ROM
  const out = stackPush(16);
  // V_PLANT_DOUBLE_ASSIGN: now and then the page of the neighbour is taken for one's own.
  const wanted = variant(V_PLANT_DOUBLE_ASSIGN) && (randomU32() & 63) == 0 ? gfn ^ 1 : gfn;
  const error = kvmRestrictedmemGetPfn(slot, wanted, out, out + 8);
  const pfn = loadStatic32(out);
  const order = loadStatic32(out + 8);
  stackPop(16);
  if (error != 0) return memoryFaultExit(vcpu, gfn, true, error);
  if (retryEarly(kvm, seq, gfn)) {
    putPage(pfn);
    return RET_PF_RETRY_STALE;
  }
  readLock(kvm + KVM_MMU_LOCK);
  let ret = checkStale(vcpu, kvm, gfn, seq);
  if (ret == 0) ret = mapPrivate(vcpu, kvm, slot, gfn, pfn, order, writable);
  readUnlock(kvm + KVM_MMU_LOCK);
  putPage(pfn);
  return ret == -EFAULT ? memoryFaultExit(vcpu, gfn, true, -EFAULT) : ret;
}

/** Of a slot that logs dirty pages a page that is only read stays clean: its first write goes the way of the fast page fault. kernel: make_spte(). */
function sharedSpte(slot: usize, pfn: u32, writable: bool, write: bool): u64 {
  const spte = makeSpte(pfn, PG_LEVEL_4K, writable, false);
  const logged = (load32(slot + SLOT_FLAGS) & KVM_MEM_LOG_DIRTY_PAGES) != 0;
  return logged && !write ? spte & ~(SPTE_WRITABLE | SPTE_DIRTY) : spte;
}

/** @context as kvmMmuPageFault. kernel: __kvm_faultin_pfn(). */
function sharedFault(vcpu: usize, kvm: usize, slot: usize, gfn: u64, seq: u64, write: bool): i32 {
  const writable = (load32(slot + SLOT_FLAGS) & KVM_MEM_READONLY) == 0;
  if (write && !writable) return mmioExit(vcpu, gfn); // a write to ROM
  const pfn = sharedGetPfn(slot, gfn);
  if (pfn == <u32>NO_PFN) return memoryFaultExit(vcpu, gfn, false, -ENOMEM);
  if (retryEarly(kvm, seq, gfn)) {
    putPage(pfn);
    return RET_PF_RETRY_STALE;
  }
  readLock(kvm + KVM_MMU_LOCK);
  let ret = checkStale(vcpu, kvm, gfn, seq);
  if (ret == 0) {
    ret = tdpMap(kvm, load32(vcpu + VCPU_ROOT_TABLE), gfn, sharedSpte(slot, pfn, writable, write), PG_LEVEL_4K);
    countMapped(vcpu, ret, PG_LEVEL_4K);
  }
  readUnlock(kvm + KVM_MMU_LOCK);
  putPage(pfn);
  return ret;
}

/**
 * Whether what the fault knows is out of date, its root or its page: 0, or the RET_PF_ to return.
 * @context mmu_lock held: neither can become stale before the unlock. kernel: is_page_fault_stale().
 */
// @ts-ignore: decorator
@inline
function checkStale(vcpu: usize, kvm: usize, gfn: u64, seq: u64): i32 {
  // Into a root that a memslot update has thrown away nothing may be mapped (B29).
  if (!variant(V_B29) && tdpRootObsolete(loadStatic32(vcpu + VCPU_ROOT))) return RET_PF_RETRY;
  if (variant(V_PLANT_NO_RETRY_CHECK)) return 0;
  return mmuInvalidateRetryGfn(kvm, seq, gfn) ? RET_PF_RETRY_STALE : 0;
}

/** @context mmu_lock held for read, the fault is not stale. */
function mapPrivate(vcpu: usize, kvm: usize, slot: usize, gfn: u64, pfn: u32, order: u32, writable: bool): i32 {
  let level = maxMappingLevel(kvm, slot, gfn, pfn, order);
  let first = gfn;
  let firstPfn = pfn;
  if (level == PG_LEVEL_2M) {
    first = gfn & ~(<u64>PTRS_PER_2M - 1);
    firstPfn = pfn & ~(<u32>PTRS_PER_2M - 1);
  }
  if (loadStatic32(kvm + KVM_ASID) != 0) {
    // guest_memfd has assigned the page as it gave it out.
    const error = guestMemfd() ? 0 : snpMakePagePrivate(kvm, first, firstPfn, level);
    if (error != 0) return -EFAULT;
    if (level == PG_LEVEL_2M && rmpLevel(pfn) != PG_LEVEL_2M) {
      level = PG_LEVEL_4K;
      first = gfn;
      firstPfn = pfn;
    }
  }
  const ret = tdpMap(kvm, loadStatic32(vcpu + VCPU_ROOT_TABLE), first, makeSpte(firstPfn, level, writable, true), level);
  countMapped(vcpu, ret, level);
  return ret;
}

// @ts-ignore: decorator
@inline
function countMapped(vcpu: usize, ret: i32, level: i32): void {
  if (ret == RET_PF_FIXED) vcpuCount(vcpu, level == PG_LEVEL_2M ? VCPU_COUNT_MAPPED_2M : VCPU_COUNT_MAPPED_4K);
  else if (ret == RET_PF_SPURIOUS) vcpuCount(vcpu, VCPU_COUNT_SPURIOUS);
}

/**
 * The largest level at which `gfn` may be mapped: the folio, the alignment of gfn to pfn (B61), slot and attributes of the 2M page, and no
 * invalidation open over any gfn of it: the check so far spoke of one gfn only, and the folio may be about to be split.
 * @context mmu_lock held for read. kernel: kvm_mmu_max_mapping_level(), sev_rmp_page_level_adjust().
 */
// @ts-ignore: decorator
@inline
function maxMappingLevel(kvm: usize, slot: usize, gfn: u64, pfn: u32, order: u32): i32 {
  if (order < 9) return PG_LEVEL_4K;
  return largeLevel(kvm, slot, gfn, pfn);
}

/** Which LPAGE_* flags forbid a large page: with B17 the mixed attributes do not, with B61 the crooked offset does not. */
// @ts-ignore: decorator
@inline
function largeForbidden(): u32 {
  return variant(V_B17) ? LPAGE_DISALLOWED : variant(V_B61) ? LPAGE_MIXED : LPAGE_DISALLOWED | LPAGE_MIXED;
}

function largeLevel(kvm: usize, slot: usize, gfn: u64, pfn: u32): i32 {
  if (!variant(V_B61) && (((<u32>gfn) ^ pfn) & (PTRS_PER_2M - 1)) != 0) return PG_LEVEL_4K;
  if ((kvmLpageInfo(slot, gfn, PG_LEVEL_2M) & largeForbidden()) != 0) return PG_LEVEL_4K;
  if ((load32(slot + SLOT_FLAGS) & KVM_MEM_LOG_DIRTY_PAGES) != 0) return PG_LEVEL_4K;
  if (load32(kvm + KVM_INVALIDATE_IN_PROGRESS) != 0) {
    const first = gfn & ~(<u64>PTRS_PER_2M - 1);
    if (first < load64(kvm + KVM_INVALIDATE_END) && first + PTRS_PER_2M > load64(kvm + KVM_INVALIDATE_START)) return PG_LEVEL_4K;
  }
  return PG_LEVEL_2M;
}
