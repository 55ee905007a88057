// Guest accesses: KVM_RUN for one access or a batch. In guest mode the vCPU looks for its IPI before each access, translates by TLB or by a walk of the nested
// tables, has the RMP check what it walked, and reads or writes the page's token. Everything else (page fault, #VC) is an exit or guest code.
// kernel: arch/x86/kvm/x86.c vcpu_run(), svm/svm.c npf_interception(); the hardware's part after the AMD APM volume 2, 15.25 and 15.36.
import {
  KVM_ASID, KVM_BUS, KVM_EXIT_MMIO, KVM_ID, KVM_INVALIDATE_IN_PROGRESS, KVM_INVALIDATE_SEQ, KVM_SRCU,
} from '../abi/kvm';
import { TASK_FPUT, TASK_ID } from '../abi/layout';
import { PAGE_CONTENT } from '../abi/mm';
import { OOPS_FAULT_LOOP, OOPS_RETRY_FOREVER, OOPS_STALE_OWNER, OOPS_STALE_TRANSLATION, ORACLE_PROGRESS, ORACLE_STALE_MAPPING } from '../abi/oops';
import { GUEST_NPF_SIZEM, PG_LEVEL_2M, PG_LEVEL_4K, PVALIDATE_NO_CHANGE, RMP_FAIL_SIZEMISMATCH, RMP_OK } from '../abi/snp';
import { EV_FAULT } from '../abi/trace';
import {
  ACCESS_FLAGS, ACCESS_GFN, ACCESS_PRIVATE, ACCESS_SIZE, ACCESS_VALUE, ACCESS_WRITE, GUEST_MODE_MASK, IN_GUEST_MODE, VCPU_COUNT_ACCESSES,
  VCPU_COUNT_FAULTS, VCPU_COUNT_NPF_RMP, VCPU_COUNT_RETRIES, VCPU_COUNT_TLB_HITS, VCPU_COUNT_VC, VCPU_INDEX, VCPU_KVM, VCPU_MMIO_VALUE, VCPU_MODE,
  VCPU_MUTEX, VCPU_RETRY_COUNT, VCPU_RETRY_GFN, VCPU_RETRY_OPEN, VCPU_RETRY_SEQ, VCPU_ROOT_TABLE, VCPU_ROUNDS, VCPU_ROUNDS_SEQ, VCPU_TASK, VCPU_VALUE,
} from '../abi/vcpu';
import { pageAddress, pageRefcount } from '../mm/page';
import { taskWorkRun } from '../mm/restrictedmem-file';
import { pageIsFree } from '../mm/page-stat';
import { oops } from '../oops';
import { ipiIsLate, ipiWasLate } from '../perturb';
import {
  atomicLoad32, atomicLoad64, atomicStore32, checkStop, cpuRelax, current, futexWait, load32, load64, loadStatic32, oraclesOn, peek32, peek64, poke32, poke64, store32,
} from '../point';
import { rmpCheckGuest, RMP_CHECK_VC } from '../snp/access';
import { handleRmpPageFault } from '../snp/fault';
import { pvalidate } from '../snp/guest';
import { RMP_ASID_SHIFT, RMP_ASSIGNED, RMP_GPA_MASK, RMP_OWNER_MASK, rmpPageLo } from '../snp/rmp';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { heartbeat } from '../task';
import { traceBegin, traceEnd } from '../trace';
import { kvmIoBusAccess, kvmIoBusNote } from './bus';
import { kvmMmuPageFault } from './fault';
import { DONE, KICKED, NPF_BASE, NPF_ENC, NPF_PRESENT, NPF_RMP, NPF_SIZEM, NPF_WRITE } from './npf';
import { RET_PF_EMULATE_MMIO, RET_PF_RETRY, RET_PF_RETRY_STALE, tdpWalk } from './tdp-map';
import { SPTE_LARGE, SPTE_PRIVATE, SPTE_WRITABLE, sptePfn } from './tdp-spte';
import { TLB_CIPHER, tlbFill, tlbLookup, tlbPfn, TLB_WRITABLE } from './tlb';
import { vcpuClearExit, vcpuCount, vcpuEnterGuest, vcpuExitGuest, vcpuSignalPending } from './vcpu';

/** What a shared read of a private page sees: its bytes as they lie in DRAM. */
const CIPHERTEXT: u32 = 0x5bd1e995;

/** Retries with unchanged protocol state after which a fault is declared stuck: without an open section, and (each a nap of up to 1 ms) with one. */
const RETRY_LIMIT: u32 = CONTROLLED ? 2000 : 1 << 12;
const RETRY_LIMIT_OPEN: u32 = CONTROLLED ? 2000 : 1 << 15;
const RETRY_SPINS: u32 = 32;
/** Entries into the guest for one access after which it is looked whether anything else moved. */
const ROUND_LIMIT: u32 = CONTROLLED ? 4000 : 1 << 16;
/** In VCPU_RETRY_OPEN: told to retry by the invalidation protocol, not by a slot or a root on its way out. */
const BY_PROTOCOL: u32 = 0x80000000;
const NAP_NS: i64 = 20_000;
const NAP_MAX_NS: i64 = 1_000_000;
/** Looks at a page without references before the oracle believes that it is free: spins, then naps, a tenth of a second in all. */
const FROZEN_ROUNDS: i32 = 2000;
const FROZEN_SPINS: i32 = 200;

/**
 * One access by the guest. DONE, KICKED or the error code of the #NPF it raised. A read leaves the token in VCPU_VALUE.
 * @context guest mode: takes no lock, waits for nobody. Translations it uses here stay true until it leaves guest mode.
 */
// @ts-ignore: decorator
@inline
function guestAccess(vcpu: usize, gfn: u64, flags: u32, token: u32): u64 {
  const late = ipiIsLate();
  if ((atomicLoad32(vcpu + VCPU_MODE) & GUEST_MODE_MASK) != IN_GUEST_MODE) {
    if (!late) return KICKED;
    ipiWasLate();
  }
  const entry = tlbLookup(vcpu, gfn, (flags & ACCESS_PRIVATE) != 0);
  if (entry == 0 || ((flags & ACCESS_WRITE) != 0 && (entry & TLB_WRITABLE) == 0)) return guestWalk(vcpu, gfn, flags, token);
  if (ORACLES && oraclesOn()) checkTranslation(vcpu, gfn, entry, flags);
  vcpuCount(vcpu, VCPU_COUNT_TLB_HITS);
  touch(vcpu, entry, gfn, flags, token);
  return DONE;
}

/** The load or store itself. */
// @ts-ignore: decorator
@inline
function touch(vcpu: usize, entry: u64, gfn: u64, flags: u32, token: u32): void {
  const content = pageAddress(tlbPfn(entry, gfn)) + PAGE_CONTENT;
  if ((flags & ACCESS_WRITE) != 0) atomicStore32(content, token);
  else store32(vcpu + VCPU_VALUE, atomicLoad32(content) ^ ((entry & TLB_CIPHER) != 0 ? CIPHERTEXT : 0));
  vcpuCount(vcpu, VCPU_COUNT_ACCESSES);
}

/** A TLB miss, or a write through an entry that no write has checked yet. @context guest mode. */
function guestWalk(vcpu: usize, gfn: u64, flags: u32, token: u32): u64 {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const asid = load32(kvm + KVM_ASID);
  const write = (flags & ACCESS_WRITE) != 0;
  const isPrivate = (flags & ACCESS_PRIVATE) != 0;
  const base = NPF_BASE | (write ? NPF_WRITE : 0) | (isPrivate ? NPF_ENC : 0);
  while (true) {
    const spte = tdpWalk(load32(vcpu + VCPU_ROOT_TABLE), gfn);
    if (spte == 0) return base;
    if (write && (spte & SPTE_WRITABLE) == 0) return base | NPF_PRESENT;
    const privateSpte = (spte & SPTE_PRIVATE) != 0;
    // Without SNP the guest's private and shared addresses are told apart by the nested tables; with it only the RMP minds.
    if (asid == 0 && privateSpte != isPrivate) return base | NPF_PRESENT;
    const level = (spte & SPTE_LARGE) != 0 ? PG_LEVEL_2M : PG_LEVEL_4K;
    const pfn = sptePfn(spte) + (level == PG_LEVEL_2M ? <u32>gfn & 511 : 0);
    const code = rmpCheckGuest(asid, gfn << 12, pfn, write, isPrivate && asid != 0, level);
    if (code == 0) {
      const cipher = asid != 0 && privateSpte && !isPrivate;
      const value = tlbFill(vcpu, gfn, isPrivate, sptePfn(spte), level, (write ? TLB_WRITABLE : 0) | (cipher ? TLB_CIPHER : 0));
      if (ORACLES && oraclesOn()) checkTranslation(vcpu, gfn, value, flags);
      touch(vcpu, value, gfn, flags, token);
      return DONE;
    }
    if (code != RMP_CHECK_VC) return code;
    const refused = guestValidate(vcpu, asid, gfn, pfn, level);
    if (refused != 0) return base | refused;
  }
  return DONE;
}

/**
 * The guest's #VC handler: accepts the page with PVALIDATE, at the size of the mapping if the RMP has the same. 0: repeat the access; else further
 * bits of the #NPF that PVALIDATE raised.
 * @context guest mode.
 */
function guestValidate(vcpu: usize, asid: u32, gfn: u64, pfn: u32, level: i32): u64 {
  vcpuCount(vcpu, VCPU_COUNT_VC);
  let code: i32 = RMP_FAIL_SIZEMISMATCH;
  if (level == PG_LEVEL_2M) code = pvalidate(asid, (gfn & ~(<u64>511)) << 12, pfn & ~(<u32>511), PG_LEVEL_2M, true);
  if (code == RMP_FAIL_SIZEMISMATCH) code = pvalidate(asid, gfn << 12, pfn, PG_LEVEL_4K, true);
  if (code == RMP_OK || code == PVALIDATE_NO_CHANGE) return 0;
  return NPF_PRESENT | NPF_RMP | (code == GUEST_NPF_SIZEM ? NPF_SIZEM : 0);
}

/**
 * Oracle 2 at the moment of use. Whoever takes a page away flushes first, and the flush waits for this vCPU to leave guest mode: what it translates
 * to here is in use and, if the RMP keeps it, this guest's.
 * @context guest mode, after the look for the IPI.
 */
function checkTranslation(vcpu: usize, gfn: u64, entry: u64, flags: u32): void {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const pfn = tlbPfn(entry, gfn);
  if (pageRefcount(pfn) == 0 && !refcountReturns(pfn)) oops(ORACLE_STALE_MAPPING, OOPS_STALE_TRANSLATION, load32(kvm + KVM_ID), <f64>gfn, <f64>pfn);
  const asid = load32(kvm + KVM_ASID);
  if (asid == 0 || (flags & ACCESS_PRIVATE) == 0) return;
  const lo = rmpPageLo(pfn);
  if ((lo & RMP_OWNER_MASK) != (RMP_ASSIGNED | ((gfn << 12) & RMP_GPA_MASK) | (<u64>asid << RMP_ASID_SHIFT))) {
    oops(ORACLE_STALE_MAPPING, OOPS_STALE_OWNER, load32(kvm + KVM_ID), <f64>gfn, <f64>pfn, <f64>(lo >> 32), <f64>(lo & 0xffffffff));
  }
}

/**
 * Whether a page without references is merely frozen: its folio is being split, because another part of it is punched out. Whoever splits waits for
 * no vCPU, so this ends soon; a page on a free list is given away at once.
 * @context guest mode, builds with oracles only; naps.
 */
function refcountReturns(pfn: u32): bool {
  for (let n = 0; n < FROZEN_ROUNDS; n++) {
    if (pageRefcount(pfn) != 0) return true;
    if (pageIsFree(pfn)) return false;
    if (n < FROZEN_SPINS) cpuRelax();
    else futexWait(pageAddress(pfn), load32(pageAddress(pfn)), NAP_NS);
  }
  return pageRefcount(pfn) != 0;
}

/**
 * One guest access (KVM_RUN until it is done or user space is needed): flags ACCESS_*, `token` is what a write stores. 0 done (a read's token is in
 * VCPU_VALUE); KVM_EXIT_MMIO: no memory there (a read has got VCPU_MMIO_VALUE); negative errno, with the exit in VCPU_EXIT_*.
 * @context sleeps; takes vcpu->mutex; kvm->srcu is held for read whenever slots are looked at, never in guest mode. kernel: kvm_arch_vcpu_ioctl_run().
 */
export function vcpuAccess(vcpu: usize, gfn: u64, flags: u32, token: u32): i32 {
  mutexLock(vcpu + VCPU_MUTEX);
  if (VARIANTS && load32(<usize>load32(vcpu + VCPU_KVM) + KVM_BUS) != 0) kvmIoBusNote(vcpu, gfn);
  let ret = vcpuEnterGuest(vcpu);
  if (ret == 0) {
    const code = guestAccess(vcpu, gfn, flags, token);
    vcpuExitGuest(vcpu);
    if (code != DONE) ret = vcpuRunSlow(vcpu, gfn, flags, token, code);
  }
  mutexUnlock(vcpu + VCPU_MUTEX);
  if (loadStatic32(current + TASK_FPUT) != 0) taskWorkRun();
  return ret;
}

/** Handles exits and enters again until the access is done. @context vcpu->mutex, outside guest mode. kernel: vcpu_run(). */
function vcpuRunSlow(vcpu: usize, gfn: u64, flags: u32, token: u32, firstCode: u64): i32 {
  let code = firstCode;
  store32(vcpu + VCPU_TASK, loadStatic32(current + TASK_ID) + 1);
  vcpuClearExit(vcpu);
  let ret: i32 = 0;
  beginRounds(vcpu);
  while (code != DONE) {
    if (isLastRound(vcpu)) checkRounds(vcpu, gfn);
    if (code != KICKED) {
      ret = handleNpf(vcpu, gfn, code);
      if (ret <= 0) break;
    }
    ret = vcpuEnterGuest(vcpu);
    if (ret != 0) break;
    code = guestAccess(vcpu, gfn, flags, token);
    vcpuExitGuest(vcpu);
  }
  store32(vcpu + VCPU_RETRY_COUNT, 0);
  store32(vcpu + VCPU_TASK, 0);
  if (code == DONE) return 0;
  if (ret != RET_PF_EMULATE_MMIO) return ret;
  if (load32(<usize>load32(vcpu + VCPU_KVM) + KVM_BUS) != 0 && kvmIoBusAccess(vcpu, gfn)) return 0;
  if ((flags & ACCESS_WRITE) == 0) store32(vcpu + VCPU_VALUE, load32(vcpu + VCPU_MMIO_VALUE));
  return KVM_EXIT_MMIO;
}

// Rounds and retries are counted in the vCPU's memory and in one go: on the stack they would tell the states of a loop apart by how often it was gone round.

function beginRounds(vcpu: usize): void {
  poke32(vcpu + VCPU_ROUNDS, 0);
  poke64(vcpu + VCPU_ROUNDS_SEQ, peek64(<usize>peek32(vcpu + VCPU_KVM) + KVM_INVALIDATE_SEQ));
}

/** Counts a round; true for the one after which somebody has to look. */
function isLastRound(vcpu: usize): bool {
  const rounds = peek32(vcpu + VCPU_ROUNDS) + 1;
  poke32(vcpu + VCPU_ROUNDS, rounds);
  return rounds == ROUND_LIMIT;
}

/** Oracle 9 for faults that are handled but never end: no invalidation has ended in ROUND_LIMIT entries, and the access is still not done. */
function checkRounds(vcpu: usize, gfn: u64): void {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  heartbeat();
  checkStop();
  const seq = atomicLoad64(kvm + KVM_INVALIDATE_SEQ);
  if (oraclesOn() && seq == load64(vcpu + VCPU_ROUNDS_SEQ) && atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS) == 0) {
    oops(ORACLE_PROGRESS, OOPS_FAULT_LOOP, load32(kvm + KVM_ID), <f64>gfn, <f64>seq);
  }
  beginRounds(vcpu);
}

/** Above 0: run the guest again; else KVM_RUN returns. @context vcpu->mutex, outside guest mode; takes kvm->srcu. kernel: npf_interception(). */
export function handleNpf(vcpu: usize, gfn: u64, code: u64): i32 {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  vcpuCount(vcpu, VCPU_COUNT_FAULTS);
  const since = traceBegin();
  const idx = srcuReadLock(kvm + KVM_SRCU);
  const ret = kvmMmuPageFault(vcpu, gfn, code);
  if ((code & NPF_RMP) != 0) {
    vcpuCount(vcpu, VCPU_COUNT_NPF_RMP);
    // A fault that is none of its business (or no more: B45) leaves the guest to try again.
    if (ret > 0) handleRmpPageFault(vcpu, gfn << 12, code);
  }
  srcuReadUnlock(kvm + KVM_SRCU, idx);
  traceEnd(EV_FAULT, since, load32(kvm + KVM_ID) << 8 | load32(vcpu + VCPU_INDEX), gfn, code, ret);
  if (ret < RET_PF_RETRY) {
    store32(vcpu + VCPU_RETRY_COUNT, 0);
    return ret;
  }
  vcpuCount(vcpu, VCPU_COUNT_RETRIES);
  const signal = vcpuSignalPending(vcpu);
  if (signal != 0) return signal;
  awaitProgress(vcpu, kvm, gfn, ret == RET_PF_RETRY_STALE);
  return ret;
}

/**
 * Between two tries of the same fault: spins, then naps while an invalidation is open, and keeps oracle 9: a fault must not be told to retry
 * for ever while the protocol's state stands still (B30).
 * @context outside guest mode, no lock but vcpu->mutex.
 */
function awaitProgress(vcpu: usize, kvm: usize, gfn: u64, byProtocol: bool): void {
  const seq = atomicLoad64(kvm + KVM_INVALIDATE_SEQ);
  const open = atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS);
  const state = open | (byProtocol ? BY_PROTOCOL : 0);
  const limit = byProtocol && open != 0 ? RETRY_LIMIT_OPEN : RETRY_LIMIT;
  if (isRetryTooMany(vcpu, gfn, seq, state, limit) && byProtocol && oraclesOn()) {
    oops(ORACLE_PROGRESS, OOPS_RETRY_FOREVER, load32(kvm + KVM_ID), <f64>gfn, <f64>seq, open, load32(vcpu + VCPU_RETRY_COUNT));
  }
  // With no section open the protocol's answer cannot last: only a broken fault comes here again and again. Under the explorer a spin says it all: a nap is
  // a spin that is late, and which of the two it is must not hang on a number that tells no states apart.
  if (CONTROLLED || load32(vcpu + VCPU_RETRY_COUNT) <= RETRY_SPINS || (byProtocol && open == 0)) {
    cpuRelax();
    return;
  }
  heartbeat();
  // Nobody wakes a napping vCPU: a real one would go on faulting.
  const naps = load32(vcpu + VCPU_RETRY_COUNT) - RETRY_SPINS;
  futexWait(kvm + KVM_INVALIDATE_IN_PROGRESS, open, min<i64>(NAP_NS * <i64>naps, NAP_MAX_NS));
}

/** Notes one more retry of a fault; true when more than `limit` of them found the protocol where it stood. */
function isRetryTooMany(vcpu: usize, gfn: u64, seq: u64, state: u32, limit: u32): bool {
  const count = peek32(vcpu + VCPU_RETRY_COUNT);
  if (count != 0 && peek64(vcpu + VCPU_RETRY_GFN) == gfn && peek64(vcpu + VCPU_RETRY_SEQ) == seq && peek32(vcpu + VCPU_RETRY_OPEN) == state) {
    poke32(vcpu + VCPU_RETRY_COUNT, count + 1);
    return count >= limit;
  }
  poke64(vcpu + VCPU_RETRY_GFN, gfn);
  poke64(vcpu + VCPU_RETRY_SEQ, seq);
  poke32(vcpu + VCPU_RETRY_OPEN, state);
  poke32(vcpu + VCPU_RETRY_COUNT, 1);
  return false;
}

/**
 * A batch of accesses ({gfn u64, flags u32, token u32} each; a read puts the token found into its element) in as few guest entries as possible.
 * Stops at the first access that needs user space: returns the number completed; *errorp (may be 0) gets 0 or what vcpuAccess would have returned.
 * @context as vcpuAccess.
 */
export function vcpuRunAccesses(vcpu: usize, list: usize, count: u32, errorp: usize): u32 {
  let done: u32 = 0;
  let ret: i32 = 0;
  mutexLock(vcpu + VCPU_MUTEX);
  while (done < count) {
    ret = vcpuEnterGuest(vcpu);
    if (ret != 0) break;
    let item = list + <usize>done * ACCESS_SIZE;
    let code = DONE;
    while (done < count) {
      const flags = load32(item + ACCESS_FLAGS);
      code = guestAccess(vcpu, load64(item + ACCESS_GFN), flags, load32(item + ACCESS_VALUE));
      if (code != DONE) break;
      if ((flags & ACCESS_WRITE) == 0) store32(item + ACCESS_VALUE, load32(vcpu + VCPU_VALUE));
      done++;
      item += ACCESS_SIZE;
    }
    vcpuExitGuest(vcpu);
    if (code == DONE || code == KICKED) continue;
    const flags = load32(item + ACCESS_FLAGS);
    ret = vcpuRunSlow(vcpu, load64(item + ACCESS_GFN), flags, load32(item + ACCESS_VALUE), code);
    if (ret != 0) break;
    if ((flags & ACCESS_WRITE) == 0) store32(item + ACCESS_VALUE, load32(vcpu + VCPU_VALUE));
    done++;
  }
  mutexUnlock(vcpu + VCPU_MUTEX);
  if (loadStatic32(current + TASK_FPUT) != 0) taskWorkRun();
  if (errorp != 0) store32(errorp, <u32>ret);
  return done;
}
