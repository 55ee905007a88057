// The whole-state audit: every invariant that can be checked by looking, over all pages, page tables, TLBs, slots and locks of a shard at rest.
// It reads only what the kernel's own structures say, from both ends (page tables against files, RMP against page tables, counters
// against bitmaps), so that one wrong end shows as a disagreement. Violations are recorded, not thrown: one audit reports all it finds.
import {
  KC_ENDS, KVM_ASID, KVM_COUNTERS, KVM_ID, KVM_INVALIDATE_IN_PROGRESS, KVM_INVALIDATE_SEQ, KVM_MN_ACTIVE, KVM_NEXT, KVM_ONLINE_VCPUS, KVM_VCPUS, SLOT_BASE_GFN, SLOT_BOUND,
  SLOT_RM_FILE, SLOT_RM_INDEX,
} from '../abi/kvm';
import { NO_PFN, SH_FILE_LIST, SH_MAX_TASKS, SH_OOPS_COUNT, SH_PARTITION_COUNT, SH_PFN_COUNT, SH_VM_LIST, TASK_HELD, TASK_HELD_COUNT, TASK_RUNNING, TASK_STATE } from '../abi/layout';
import { FILE_NEXT, PG_LEAKED, PTRS_PER_FOLIO, REGION_ZONE, RM_KVM, RM_MEMFD, ZONE_BUMP_END, ZONE_BUMP_NEXT } from '../abi/mm';
import {
  OOPS_AUDIT_ASSIGNED_ELSEWHERE, OOPS_AUDIT_ASSIGNED_FREE, OOPS_AUDIT_BALANCE, OOPS_AUDIT_COUNT_BITS, OOPS_AUDIT_DEAD_ASID, OOPS_DEAD_ROOT, OOPS_AUDIT_LEAK_LIST, OOPS_AUDIT_LOST_PAGES, OOPS_AUDIT_LOCK_HELD,
  OOPS_AUDIT_MN_ACTIVE, OOPS_AUDIT_SEQUENCE, OOPS_AUDIT_SPTE_ATTRIBUTE, OOPS_AUDIT_SPTE_FREE, OOPS_AUDIT_SPTE_NO_SLOT, OOPS_AUDIT_SPTE_NOT_IN_FILE,
  OOPS_AUDIT_RMP_BUSY, OOPS_AUDIT_SPTE_NOT_SHARED, OOPS_AUDIT_SPTE_RMP, OOPS_AUDIT_TLB_STALE, OOPS_AUDIT_ZONE, ORACLE_BALANCE, ORACLE_CONSERVATION, ORACLE_HOST_PAGE, ORACLE_LOCKING,
  ORACLE_ONE_OWNER, ORACLE_STALE_MAPPING,
} from '../abi/oops';
import { KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, KVM_REQ_TLB_FLUSH, KVM_REQ_TLB_FLUSH_RANGE, LEAF_GFN, LEAF_LEVEL, LEAF_PFN, LEAF_PRIVATE, LEAF_SIZE, MMU_ROOTS, ROOT_INVALID, ROOT_NEXT, ROOT_SCHEDULED, ROOT_STATE, ROOT_TABLE, SPTE_LARGE_BIT, SPTE_PFN_SHIFT, VCPU_FLUSH_RANGE, VCPU_REQUESTS, VCPU_ROOT } from '../abi/vcpu';
import { kvmMemIsPrivate } from '../kvm/attributes';
import { gfnToMemslot } from '../kvm/memslots';
import { kvmOutlivesProcess } from '../kvm/process';
import { sharedFindPfn } from '../kvm/shared';
import { tdpLookup, tdpNextLeaf } from '../kvm/tdp';
import { tlbNext } from '../kvm/tlb';
import { pageAddress, pageRefcount, putPage } from '../mm/page';
import { regionAddress, regionFirstPfn, zoneOfRegion } from '../mm/page-region';
import { snpLeakListLength } from '../mm/page-leak';
import { leakedPages, lostPages, pageIsFree, zoneAudit } from '../mm/page-stat';
import { restrictedmemFindPage } from '../mm/restrictedmem';
import { guestMemfd, restrictedmemOf } from '../mm/restrictedmem-file';
import { shmemIndexOf } from '../mm/shmem-walk';
import { oopsRecord } from '../oops';
import { atomicLoad32, load32, load64, loadStatic32 } from '../point';
import { RMP_HI_LOCK, RMP_MARK, rmpRawHi, rmpRawLo } from '../snp/rmp';
import { sevAsidLive } from '../snp/asid';
import { isVmsaOf } from '../snp/launch';
import { INITIAL_VMSA_GFN } from '../abi/snp';
import { stackPop, stackPush, taskAddress } from '../task';
import { auditBindings } from './bindings';

/** Audits the whole shard. Returns how many violations were recorded by it. @context at rest: no other task is inside the kernel. */
export function sysAudit(): i32 {
  const before = atomicLoad32(SH_OOPS_COUNT);
  auditPages();
  for (let kvm: usize = load32(SH_VM_LIST); kvm != 0; kvm = load32(kvm + KVM_NEXT)) {
    auditVm(kvm);
    auditMappings(kvm);
    auditDeadRoots(kvm);
    auditTlbs(kvm);
    auditBindings(kvm);
  }
  auditLocks();
  return <i32>(atomicLoad32(SH_OOPS_COUNT) - before);
}

/** Oracles 1, 5 and 8: page conservation, and the RMP of every page that was ever used. */
function auditPages(): void {
  for (let id: u32 = 0; id < load32(SH_PARTITION_COUNT); id++) {
    const wrong = zoneAudit(id);
    if (wrong != <u32>NO_PFN) oopsRecord(ORACLE_CONSERVATION, OOPS_AUDIT_ZONE, id, wrong, 0, 0, 0);
  }
  const lost = lostPages();
  if (lost != 0) oopsRecord(ORACLE_CONSERVATION, OOPS_AUDIT_LOST_PAGES, lost, 0, 0, 0, 0);
  const listed = snpLeakListLength();
  if (listed != <i32>leakedPages()) oopsRecord(ORACLE_CONSERVATION, OOPS_AUDIT_LEAK_LIST, listed, leakedPages(), 0, 0, 0);
  const count = usedRegionCount();
  for (let number: u32 = 0; number < count; number++) {
    const region = regionAddress(number);
    if (loadStatic32(region + REGION_ZONE) != 0) auditRegion(regionFirstPfn(region));
  }
}

function usedRegionCount(): u32 {
  return (load32(SH_PFN_COUNT) + PTRS_PER_FOLIO - 1) / PTRS_PER_FOLIO;
}

/** One 2M region: no instruction has left anything behind, free pages are not assigned, assigned pages have a live owner, the head's count is the number of assigned others. */
function auditRegion(base: u32): void {
  const head = rmpRawLo(base);
  let assigned: u32 = 0;
  for (let n: u32 = 0; n < <u32>PTRS_PER_FOLIO; n++) {
    const lo = rmpRawLo(base + n);
    if ((rmpRawHi(base + n) & RMP_HI_LOCK) != 0 || n != 0 && (lo & RMP_MARK) != 0) oopsRecord(ORACLE_ONE_OWNER, OOPS_AUDIT_RMP_BUSY, base + n, 0, 0, 0, 0);
    const owned = (lo & 1) != 0 || (head & 3) == 3;
    if (n != 0 && (lo & 1) != 0) assigned++;
    if (!owned) continue;
    if (pageIsFree(base + n)) oopsRecord(ORACLE_HOST_PAGE, OOPS_AUDIT_ASSIGNED_FREE, base + n, <f64>(lo & 0xffffffff), <f64>(lo >> 32), 0, 0);
    const asid = <u32>((head & 3) == 3 ? head >> 51 : lo >> 51) & 0x3ff;
    if (asid == 0) continue;
    if (!sevAsidLive(asid)) oopsRecord(ORACLE_ONE_OWNER, OOPS_AUDIT_DEAD_ASID, base + n, asid, 0, 0, 0);
    else auditOwner(base + n, asid, (head & 3) == 3 ? (head >> 12 & 0x7fffffffff) + n : lo >> 12 & 0x7fffffffff);
  }
  const counted = <u32>(head >> 3) & 0x1ff;
  if (counted != assigned) oopsRecord(ORACLE_ONE_OWNER, OOPS_AUDIT_COUNT_BITS, base, counted, assigned, 0, 0);
}

/**
 * A page assigned to gfn `gfn` of a live ASID is the page that this guest has there: so it has one owner, and the owner one page. A leaked page may
 * stay assigned to whoever had it.
 */
function auditOwner(pfn: u32, asid: u32, gfn: u64): void {
  if ((atomicLoad32(pageAddress(pfn)) & PG_LEAKED) != 0) return;
  let kvm: usize = load32(SH_VM_LIST);
  while (kvm != 0 && load32(kvm + KVM_ASID) != asid) kvm = load32(kvm + KVM_NEXT);
  if (kvm == 0) return; // an ASID without a VM of this kernel: a test's own
  const slot = gfnToMemslot(kvm, 0, gfn);
  let held: u32 = NO_PFN;
  if (slot != 0 && load32(slot + SLOT_BOUND) != 0) {
    held = restrictedmemFindPage(load32(slot + SLOT_RM_FILE), gfn - load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_RM_INDEX));
    if (held != <u32>NO_PFN) putPage(held);
  }
  if (gfn == <u64>INITIAL_VMSA_GFN && isVmsaOf(kvm, pfn)) return;
  if (held != pfn && guestMemfd() && fileHolds(kvm, pfn)) return;
  if (held != pfn) oopsRecord(ORACLE_ONE_OWNER, OOPS_AUDIT_ASSIGNED_ELSEWHERE, pfn, asid, <f64>gfn, held, 0);
}

/** Whether a guest_memfd of the VM has the page: it stays assigned as long, bound or not. */
function fileHolds(kvm: usize, pfn: u32): bool {
  for (let file: usize = load32(SH_FILE_LIST); file != 0; file = load32(file + FILE_NEXT)) {
    const gmem = restrictedmemOf(file);
    if (load32(gmem + RM_KVM) == <u32>kvm && shmemIndexOf(load32(gmem + RM_MEMFD), pfn) >= 0) return true;
  }
  return false;
}

/** Oracle 3: nothing is open, and the sequence has risen once an end. */
function auditVm(kvm: usize): void {
  const id = load32(kvm + KVM_ID);
  if (kvmOutlivesProcess(kvm)) return;
  const open = load32(kvm + KVM_INVALIDATE_IN_PROGRESS);
  if (open != 0) oopsRecord(ORACLE_BALANCE, OOPS_AUDIT_BALANCE, id, <f64><i32>open, 0, 0, 0);
  const sequence = <u32>load64(kvm + KVM_INVALIDATE_SEQ);
  const ends = load32(kvm + KVM_COUNTERS + (KC_ENDS << 2));
  if (sequence != ends) oopsRecord(ORACLE_BALANCE, OOPS_AUDIT_SEQUENCE, id, sequence, ends, 0, 0);
  const active = load32(kvm + KVM_MN_ACTIVE);
  if (active != 0) oopsRecord(ORACLE_BALANCE, OOPS_AUDIT_MN_ACTIVE, id, active, 0, 0, 0);
}

/** Oracle 2: a root that was torn down stays empty, although vCPUs may still hold it: no fault has mapped into it since (B29). */
function auditDeadRoots(kvm: usize): void {
  for (let root: usize = load32(kvm + MMU_ROOTS); root != 0; root = load32(root + ROOT_NEXT)) {
    if ((load32(root + ROOT_STATE) & (ROOT_INVALID | ROOT_SCHEDULED)) != ROOT_INVALID) continue;
    const table: usize = load32(root + ROOT_TABLE);
    for (let n: usize = 0; n < 512; n++) {
      if (load64(table + (n << 3)) == 0) continue;
      oopsRecord(ORACLE_STALE_MAPPING, OOPS_DEAD_ROOT, load32(kvm + KVM_ID), <f64>(<u64>n << 27), 0, 0, 0);
      break;
    }
  }
}

/** Oracles 2 and 5: every leaf of the current page table against slot, attribute, file, allocator and RMP. */
function auditMappings(kvm: usize): void {
  const leaf = stackPush(LEAF_SIZE);
  let gfn: u64 = 0;
  while (tdpNextLeaf(kvm, gfn, leaf)) {
    const first = load64(leaf + LEAF_GFN);
    const pages: u64 = load32(leaf + LEAF_LEVEL) == 2 ? PTRS_PER_FOLIO : 1;
    for (let n: u64 = 0; n < pages; n++) {
      auditPage(kvm, first + n, load32(leaf + LEAF_PFN) + <u32>n, load32(leaf + LEAF_PRIVATE) != 0);
    }
    gfn = first + pages;
  }
  stackPop(LEAF_SIZE);
}

function auditPage(kvm: usize, gfn: u64, pfn: u32, isPrivate: bool): void {
  const id = load32(kvm + KVM_ID);
  if (pageIsFree(pfn) || pageRefcount(pfn) == 0) {
    oopsRecord(ORACLE_STALE_MAPPING, OOPS_AUDIT_SPTE_FREE, id, <f64>gfn, pfn, 0, 0);
    return;
  }
  const slot = gfnToMemslot(kvm, 0, gfn);
  if (slot == 0) {
    oopsRecord(ORACLE_STALE_MAPPING, OOPS_AUDIT_SPTE_NO_SLOT, id, <f64>gfn, pfn, 0, 0);
    return;
  }
  if (kvmMemIsPrivate(kvm, gfn) != isPrivate) oopsRecord(ORACLE_STALE_MAPPING, OOPS_AUDIT_SPTE_ATTRIBUTE, id, <f64>gfn, pfn, 0, 0);
  if (!isPrivate) {
    auditShared(kvm, slot, gfn, pfn);
    return;
  }
  const offset = gfn - load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_RM_INDEX);
  const held = load32(slot + SLOT_RM_FILE) == 0 ? <u32>NO_PFN : restrictedmemFindPage(load32(slot + SLOT_RM_FILE), offset);
  if (held != <u32>NO_PFN) putPage(held);
  if (held != pfn) oopsRecord(ORACLE_STALE_MAPPING, OOPS_AUDIT_SPTE_NOT_IN_FILE, id, <f64>gfn, pfn, held, 0);
  const asid = load32(kvm + KVM_ASID);
  if (asid != 0 && !rmpOwns(pfn, asid, gfn)) oopsRecord(ORACLE_ONE_OWNER, OOPS_AUDIT_SPTE_RMP, id, <f64>gfn, pfn, <f64>(rmpRawLo(pfn) >> 32), 0);
}

/** A shared page is the one that the VMM's process has behind the gfn. */
function auditShared(kvm: usize, slot: usize, gfn: u64, pfn: u32): void {
  if (kvmOutlivesProcess(kvm)) return;
  const held = sharedFindPfn(slot, gfn);
  if (held != <u32>NO_PFN) putPage(held);
  if (held != pfn) oopsRecord(ORACLE_STALE_MAPPING, OOPS_AUDIT_SPTE_NOT_SHARED, load32(kvm + KVM_ID), <f64>gfn, pfn, held, 0);
}

/** Whether the RMP says that `pfn` is guest frame `gfn` of `asid`, by its own entry or by the 2M entry that covers it. */
function rmpOwns(pfn: u32, asid: u32, gfn: u64): bool {
  const head = rmpRawLo(pfn & ~511);
  const large = (head & 3) == 3;
  const lo = large ? head : rmpRawLo(pfn);
  const frame = (lo >> 12 & 0x7fffffffff) + (large ? <u64>(pfn & 511) : 0);
  return (lo & 1) != 0 && (<u32>(lo >> 51) & 0x3ff) == asid && frame == gfn;
}

/** Oracle 2 for TLBs: a valid entry says what the page table says. A flush that is still pending empties the TLB before its next use. */
function auditTlbs(kvm: usize): void {
  const entry = stackPush(LEAF_SIZE);
  for (let n: u32 = 0; n < load32(kvm + KVM_ONLINE_VCPUS); n++) {
    const vcpu: usize = load32(kvm + KVM_VCPUS + (<usize>n << 2));
    // A vCPU with an obsolete root, or with none because there was no memory for it, loads one, and flushes, before it runs again.
    if (load32(vcpu + VCPU_ROOT) == 0) continue;
    if ((load32(vcpu + VCPU_REQUESTS) & (1 << KVM_REQ_TLB_FLUSH | 1 << KVM_REQ_MMU_FREE_OBSOLETE_ROOTS)) != 0) continue;
    for (let slot = tlbNext(vcpu, 0, entry); slot >= 0; slot = tlbNext(vcpu, slot + 1, entry)) {
      if (!flushPending(vcpu, load64(entry + LEAF_GFN))) auditTlbEntry(kvm, n, entry);
    }
  }
  stackPop(LEAF_SIZE);
}

/** Whether a KVM_REQ_TLB_FLUSH_RANGE that the vCPU has not seen yet speaks of the gfn. */
function flushPending(vcpu: usize, gfn: u64): bool {
  if ((load32(vcpu + VCPU_REQUESTS) & (1 << KVM_REQ_TLB_FLUSH_RANGE)) == 0) return false;
  const range = load64(vcpu + VCPU_FLUSH_RANGE);
  return gfn >> 9 >= (range & 0xffffffff) && gfn >> 9 < range >> 32;
}

/** Every page that the entry covers; one report for all that are wrong. */
function auditTlbEntry(kvm: usize, vcpu: u32, entry: usize): void {
  const first = load64(entry + LEAF_GFN);
  const pages: u32 = load32(entry + LEAF_LEVEL) == 2 ? PTRS_PER_FOLIO : 1;
  for (let n: u32 = 0; n < pages; n++) {
    const gfn = first + n;
    const pfn = load32(entry + LEAF_PFN) + n;
    const spte = tdpLookup(kvm, gfn);
    const within = (spte >> SPTE_LARGE_BIT & 1) != 0 ? <u32>(gfn & 511) : 0;
    const mapped = <u32>((spte & 0x000ffffffffff000) >> SPTE_PFN_SHIFT) + within;
    if ((spte & 1) != 0 && mapped == pfn) continue;
    oopsRecord(ORACLE_STALE_MAPPING, OOPS_AUDIT_TLB_STALE, load32(kvm + KVM_ID), vcpu, <f64>gfn, pfn, mapped);
    return;
  }
}

/** Oracle 7 at rest: no task that still runs holds a lock (only builds with lockdep keep the list). */
function auditLocks(): void {
  for (let id: u32 = 0; id < load32(SH_MAX_TASKS); id++) {
    const task = taskAddress(id);
    if (load32(task + TASK_STATE) != TASK_RUNNING || load32(task + TASK_HELD_COUNT) == 0) continue;
    oopsRecord(ORACLE_LOCKING, OOPS_AUDIT_LOCK_HELD, id, load32(task + TASK_HELD), load32(task + TASK_HELD + 4) & 0xffff, 0, 0);
  }
}

/** Pages assigned in the RMP, of all memory that was ever used: what the 2M heads count, and the 2M entries themselves. A hint while tasks run. */
export function sysAssignedPages(): u32 {
  let assigned: u32 = 0;
  const count = usedRegionCount();
  for (let number: u32 = 0; number < count; number++) {
    const zone = zoneOfRegion(number);
    if (number >= loadStatic32(zone + ZONE_BUMP_NEXT) && number < loadStatic32(zone + ZONE_BUMP_END)) {
      number = loadStatic32(zone + ZONE_BUMP_END) - 1;
      continue;
    }
    if (load32(regionAddress(number) + REGION_ZONE) == 0) continue;
    const head = rmpRawLo(number << 9);
    if ((head & 1) != 0) assigned += (head & 2) != 0 ? PTRS_PER_FOLIO : 1;
    assigned += <u32>(head >> 3) & 0x1ff;
  }
  return assigned;
}
