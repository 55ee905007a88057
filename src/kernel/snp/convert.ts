// A page's way to a guest and back, and the conversion of ranges when user space changes memory attributes.
// kernel: SNP host RFC v8 patches 23, 48, 50 (snp_make_page_shared, sev_update_mem_attr), upstream sev_gmem_prepare.
import { PTRS_PER_2M } from '../abi/layout';
import { EAGAIN, EBUSY, EEXIST, EINVAL, EPERM } from '../abi/errno';
import {
  KVM_ASID, KVM_INVALIDATE_END, KVM_INVALIDATE_IN_PROGRESS, KVM_INVALIDATE_SEQ, KVM_INVALIDATE_START, KVM_MEM_PRIVATE,
  KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MMU_LOCK, KVM_TYPE, KVM_TYPE_SNP, SLOT_BASE_GFN, SLOT_FLAGS, SLOT_KVM, SLOT_NPAGES, SLOT_RM_FILE, SLOT_RM_INDEX,
} from '../abi/kvm';
import { RM_MEMFD, SHMEM_I_PAGES } from '../abi/mm';
import { OOPS_DOUBLE_ASSIGN, ORACLE_ONE_OWNER } from '../abi/oops';
import { PG_LEVEL_2M, PG_LEVEL_4K, SNPC_SKIPPED } from '../abi/snp';
import { V_B07, V_B08, V_B61 } from '../abi/variants';
import { mmuInvalidateRetryGfn } from '../kvm/invalidate';
import { kvmRestrictedmemGetPfn } from '../kvm/restrictedmem_kvm';
import { putPage } from '../mm/page';
import { restrictedmemOf } from '../mm/restrictedmem';
import { xaFind, XA_PRESENT } from '../mm/xarray';
import { oops } from '../oops';
import { atomicLoad32, atomicLoad64, cpuRelax, load32, load64, loadStatic32, oraclesOn, store64, variant } from '../point';
import { readLock, readUnlock } from '../sync/rwlock';
import { stackPop, stackPush } from '../task';
import { psmashOrRaced, rmpMakeShared, rmpupdate, snpCount } from './helpers';
import { ON_FAILURE_STOP, resetPresentPages } from './hook';
import {
  RMP_ASID_MASK, RMP_ASID_SHIFT, RMP_ASSIGNED, rmpCovers, RMP_GPA_MASK, RMP_IMMUTABLE, rmpLevel, RMP_OWNER_MASK, rmpPageLo, RMP_PAGESIZE_2M, rmpState,
} from './rmp';
import { rmpRegionAssigned } from './access';

/** Look-ups of an entry that other CPUs keep changing between the look-up and the update. */
const ASSIGN_TRIES = 8;
/** Fresh sequence counts that a page is tried with before the attribute update leaves it to the fault path. */
const RETRY_TRIES = 16;

/**
 * Assigns a page to the VM at gfn. Nothing to do when it is so already; of a 2M request over a region that holds 4K entries, the missing
 * pages are assigned one by one. 0; -EBUSY when the page belongs to someone else (with oracles on that is a violation) or is the firmware's to hand over (Pre-Guest, Pre-Swap); -EFAULT.
 * @context mmu_lock for read, after mmuInvalidateRetryGfn said no: only then no invalidation can be between its hook and its end.
 */
export function snpMakePagePrivate(kvm: usize, gfn: u64, pfn: u32, level: i32): i32 {
  const asid = loadStatic32(kvm + KVM_ASID);
  if (asid == 0) return load32(kvm + KVM_TYPE) == <u32>KVM_TYPE_SNP ? -EINVAL : 0;
  if (!rmpCovers(pfn)) return -EINVAL;
  const wanted = rmpState(gfn << 12, PG_LEVEL_4K, asid, false);
  for (let tries = 0; tries < ASSIGN_TRIES; tries++) {
    const lo = rmpPageLo(pfn);
    if (lo & RMP_ASSIGNED) {
      if ((lo & RMP_OWNER_MASK) != wanted) return foreignPage(lo, asid, gfn, pfn);
      if ((lo & RMP_IMMUTABLE) != 0) return -EBUSY;
      if (level != PG_LEVEL_2M || (lo & RMP_PAGESIZE_2M) != 0) return 0;
      return makeRegionPrivate(kvm, gfn, pfn);
    }
    if (level == PG_LEVEL_2M && rmpRegionAssigned(pfn) != 0) return makeRegionPrivate(kvm, gfn, pfn);
    // The look-up may be old by now: the update itself refuses an assigned page, whose "validated" it would clear.
    const error = rmpupdate(pfn, level == PG_LEVEL_2M ? wanted | RMP_PAGESIZE_2M : wanted, true);
    if (error != -EEXIST) return error;
  }
  return -EBUSY;
}

function makeRegionPrivate(kvm: usize, gfn: u64, pfn: u32): i32 {
  for (let n: u32 = 0; n < <u32>PTRS_PER_2M; n++) {
    const error = snpMakePagePrivate(kvm, gfn + n, pfn + n, PG_LEVEL_4K);
    if (error != 0) return error;
  }
  return 0;
}

/** One physical page, two owners. */
function foreignPage(lo: u64, asid: u32, gfn: u64, pfn: u32): i32 {
  if (ORACLES && oraclesOn()) {
    const owner = (lo >> RMP_ASID_SHIFT) & RMP_ASID_MASK;
    oops(ORACLE_ONE_OWNER, OOPS_DOUBLE_ASSIGN, <f64>pfn, <f64>asid, <f64>gfn, <f64>owner, <f64>((lo & RMP_GPA_MASK) >> 12));
  }
  return -EBUSY;
}

/**
 * Gives a page, or the 512 of a 2M entry, back to the hypervisor, if it is assigned at all; a 4K page inside a 2M entry splits the entry first. 0 or an error (a
 * positive hardware code of PSMASH, as the kernel's function returns it); -EAGAIN for a 2M entry that somebody has split since the caller looked: page by page
 * it can still be done. kernel: snp_make_page_shared, which has one answer for all refusals.
 * @context the caller keeps the page from being assigned again (an open invalidation) and from being freed (a reference).
 */
export function snpMakePageShared(pfn: u32, level: i32): i32 {
  if (!rmpCovers(pfn)) return -EINVAL;
  if (level == PG_LEVEL_2M) return makeRegionShared(pfn);
  const lo = rmpPageLo(pfn);
  if (!(lo & RMP_ASSIGNED)) return 0;
  if ((lo & RMP_PAGESIZE_2M) != 0) {
    const error = psmashOrRaced(pfn);
    if (error != 0) return error;
  }
  return rmpMakeShared(pfn, level);
}

function makeRegionShared(pfn: u32): i32 {
  if (rmpRegionAssigned(pfn) == 0) return 0;
  const error = rmpLevel(pfn) == PG_LEVEL_2M ? rmpMakeShared(pfn, PG_LEVEL_2M) : -EAGAIN;
  return error != 0 && rmpLevel(pfn) != PG_LEVEL_2M ? -EAGAIN : error;
}

/**
 * The level a page of a file may be assigned at. `order` is that of the folio, whatever page of it `pfn` is: it is worth something only
 * when pfn, gfn and (by pgoff) the slot are aligned alike (B61).
 */
export function assignLevel(slot: usize, gfn: u64, endGfn: u64, pfn: u32, order: u32): i32 {
  if (variant(V_B61) && order >= 9) return PG_LEVEL_2M;
  if (order < 9 || (pfn & (PTRS_PER_2M - 1)) != 0 || (gfn & (PTRS_PER_2M - 1)) != 0) return PG_LEVEL_4K;
  const base = load64(slot + SLOT_BASE_GFN);
  if (((base ^ load64(slot + SLOT_RM_INDEX)) & (PTRS_PER_2M - 1)) != 0) return PG_LEVEL_4K;
  return gfn + PTRS_PER_2M <= min(endGfn, base + load64(slot + SLOT_NPAGES)) ? PG_LEVEL_2M : PG_LEVEL_4K;
}

/**
 * Carries an attribute change of [startGfn, endGfn) into the RMP: to private, the pages there are get assigned; to shared, the assigned ones
 * are given back. -EPERM for a slot without private memory; the first failure stops the work in the middle with -EINVAL (what was done stays).
 * kernel: sev_update_mem_attr.
 * @context slots_lock; takes mmu_lock for read around each assignment; may sleep (allocation).
 */
export function sevUpdateMemAttr(slot: usize, attributes: u32, startGfn: u64, endGfn: u64): i32 {
  if ((load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) == 0) return -EPERM;
  const kvm: usize = load32(slot + SLOT_KVM);
  if (load32(kvm + KVM_TYPE) != <u32>KVM_TYPE_SNP) return 0;
  const base = load64(slot + SLOT_BASE_GFN);
  const start = max(startGfn, base);
  const end = min(endGfn, base + load64(slot + SLOT_NPAGES));
  if ((attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE) == 0) return resetPresentPages(slot, start, end, ON_FAILURE_STOP) == 0 ? 0 : -EINVAL;
  for (let gfn = nextPresent(slot, start, end); gfn < end; gfn = nextPresent(slot, gfn, end)) {
    const done = makeGfnPrivate(kvm, slot, gfn, end);
    if (done < 0) return -EINVAL;
    gfn += <u64>done;
  }
  return 0;
}

/**
 * The first gfn at or above `gfn` that has a page in the file, `end` when none has. RFC v8 allocates every page of the range here, as the posted
 * hook does (V_B07); a page nobody has touched is assigned by its first fault just as well.
 */
function nextPresent(slot: usize, gfn: u64, end: u64): u64 {
  if (gfn >= end || variant(V_B07)) return gfn;
  const base = load64(slot + SLOT_BASE_GFN);
  const first = load64(slot + SLOT_RM_INDEX);
  const memfd: usize = load32(restrictedmemOf(load32(slot + SLOT_RM_FILE)) + RM_MEMFD);
  const indexp = stackPush(8);
  store64(indexp, gfn - base + first);
  const found = xaFind(memfd + SHMEM_I_PAGES, indexp, end - 1 - base + first, XA_PRESENT) != 0;
  const next = load64(indexp) - first + base;
  stackPop(8);
  return found ? next : end;
}

/** Pages handled from gfn on (1 or 512), or a negative errno. A page that cannot be had is skipped, as the kernel does. */
function makeGfnPrivate(kvm: usize, slot: usize, gfn: u64, end: u64): i32 {
  const out = stackPush(16);
  let done = 1;
  for (let tries = 0; ; tries++) {
    const seq = atomicLoad64(kvm + KVM_INVALIDATE_SEQ); // before the page is looked up
    if (kvmRestrictedmemGetPfn(slot, gfn, out, out + 8) != 0) break;
    const pfn = loadStatic32(out);
    const level = assignLevel(slot, gfn, end, pfn, loadStatic32(out + 8));
    const result = assignUnlessInvalidated(kvm, gfn, pfn, level, seq);
    putPage(pfn);
    if (result != AGAIN) {
      done = result;
      break;
    }
    if (tries >= RETRY_TRIES || rangeIsOpen(kvm, gfn)) {
      snpCount(SNPC_SKIPPED, 1); // the fault path assigns the page when the guest comes for it
      break;
    }
    cpuRelax();
  }
  stackPop(16);
  return done;
}

const AGAIN: i32 = 0;

/** Pages assigned, AGAIN when an invalidation came between, or a negative errno. */
function assignUnlessInvalidated(kvm: usize, gfn: u64, pfn: u32, level: i32, seq: u64): i32 {
  if (variant(V_B08)) {
    // As posted: no look at the invalidation state, so a page may become private between the hook and its being freed.
    const error = snpMakePagePrivate(kvm, gfn, pfn, level);
    return error != 0 ? error : level == PG_LEVEL_2M ? PTRS_PER_2M : 1;
  }
  readLock(kvm + KVM_MMU_LOCK);
  let result = AGAIN;
  if (!mmuInvalidateRetryGfn(kvm, seq, gfn)) {
    // The check covers one gfn; while any section is open, no larger page is risked.
    const atLevel = atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS) == 0 ? level : PG_LEVEL_4K;
    const error = snpMakePagePrivate(kvm, gfn, pfn, atLevel);
    if (error != 0) result = error;
    else result = atLevel == PG_LEVEL_2M ? PTRS_PER_2M : 1;
  }
  readUnlock(kvm + KVM_MMU_LOCK);
  return result;
}

/** Whether the gfn is being invalidated right now: then trying again is pointless. A hint, without mmu_lock. */
function rangeIsOpen(kvm: usize, gfn: u64): bool {
  if (atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS) == 0) return false;
  return gfn >= atomicLoad64(kvm + KVM_INVALIDATE_START) && gfn < atomicLoad64(kvm + KVM_INVALIDATE_END);
}
