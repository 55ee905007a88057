// The GHCB, a page through which an SNP guest tells the host why it exits and with what: shared memory, which other vCPUs may rewrite while the host reads it. So each
// word is read once, and what was checked is what is used. kernel: arch/x86/kvm/svm/sev.c sev_handle_vmgexit(), snp_begin_psc(), arch/x86/kvm/svm/svm.c
// svm_invoke_exit_handler(); GHCB specification 2.03, page state changes (4.1.6).
import { EINVAL, ENOMEM } from '../abi/errno';
import {
  GHCB_EXIT_CODE, GHCB_PSC_ENTRIES, GHCB_PSC_HEADER, GHCB_SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_SRCU, PSC_CUR_PAGE_MASK, PSC_END_SHIFT, PSC_GFN_BITS, PSC_GFN_SHIFT, PSC_MAX_ENTRIES,
  PSC_OP_PRIVATE, PSC_OP_SHARED, PSC_OP_SHIFT, PSC_PAGESIZE_SHIFT, SVM_EXIT_CPUID, SVM_EXIT_VMGEXIT, SVM_VMGEXIT_PSC,
} from '../abi/kvm';
import { OOPS_BEYOND_BUFFER, OOPS_VMGEXIT_RECURSION, ORACLE_KERNEL_BUG } from '../abi/oops';
import { PTRS_PER_2M } from '../abi/layout';
import { V_B48, V_B49 } from '../abi/variants';
import {
  VCPU_GHCB, VCPU_INDEX, VCPU_KVM, VCPU_MUTEX, VCPU_PSC_GFN, VCPU_PSC_INDEX, VCPU_PSC_INFLIGHT, VCPU_PSC_PAGES, VCPU_PSC_PRIVATE, VCPU_VMGEXIT_DEPTH,
} from '../abi/vcpu';
import { kfree, kzalloc } from '../heap';
import { oops } from '../oops';
import { atomicCas32, atomicCas64, atomicLoad32, atomicLoad64, atomicStore64, load32, load64, oraclesOn, store32, store64, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { kvmSetMemoryAttributes } from './attributes';

/** Above 0: pages are to change their state, which is user space's to do (KVM_HC_MAP_GPA_RANGE). */
const TO_USER_SPACE: i32 = 1;

/** The vCPU's GHCB, made when the guest first uses it; 0 when out of memory. @context any. */
function ghcbOf(vcpu: usize): usize {
  const known: usize = atomicLoad32(vcpu + VCPU_GHCB);
  if (known != 0) return known;
  const made = kzalloc(GHCB_SIZE);
  if (made == 0) return 0;
  const first: usize = atomicCas32(vcpu + VCPU_GHCB, 0, <u32>made);
  if (first == 0) return made;
  kfree(made, GHCB_SIZE);
  return first;
}

/** @context the vCPU is being destroyed. */
export function ghcbFree(vcpu: usize): void {
  const ghcb: usize = load32(vcpu + VCPU_GHCB);
  if (ghcb != 0) kfree(ghcb, GHCB_SIZE);
}

/** The guest, on any of its vCPUs, writes to a vCPU's GHCB: 8 bytes at `offset`, a multiple of 8. 0, -EINVAL beyond the page, -ENOMEM. @context any. */
export function guestWriteGhcb(vcpu: usize, offset: u32, value: u64): i32 {
  if ((offset & 7) != 0 || offset + 8 > <u32>GHCB_SIZE) return -EINVAL;
  const ghcb = ghcbOf(vcpu);
  if (ghcb == 0) return -ENOMEM;
  atomicStore64(ghcb + offset, value);
  return 0;
}

/**
 * VMGEXIT: the host does what the vCPU's GHCB asks for, with all that user space adds to it. 0; -EINVAL for what the host refuses; -ENOMEM.
 * @context sleeps; takes vcpu->mutex, kvm->srcu; slots_lock outside of both. kernel: sev_handle_vmgexit(), snp_complete_one_psc().
 */
export function vcpuVmgexit(vcpu: usize): i32 {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const ghcb = ghcbOf(vcpu);
  if (ghcb == 0) return -ENOMEM;
  mutexLock(vcpu + VCPU_MUTEX);
  let ret = inSrcu(vcpu, ghcb, true);
  while (ret == TO_USER_SPACE) {
    const gfn = load64(vcpu + VCPU_PSC_GFN);
    const attributes: u32 = load32(vcpu + VCPU_PSC_PRIVATE) != 0 ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
    mutexUnlock(vcpu + VCPU_MUTEX);
    const error = kvmSetMemoryAttributes(kvm, gfn, gfn + load32(vcpu + VCPU_PSC_PAGES), attributes);
    mutexLock(vcpu + VCPU_MUTEX);
    ret = error != 0 ? error : inSrcu(vcpu, ghcb, false);
  }
  mutexUnlock(vcpu + VCPU_MUTEX);
  return ret;
}

/** The exit, or the rest of a page state change that user space has done a part of. @context vcpu->mutex. */
function inSrcu(vcpu: usize, ghcb: usize, exit: bool): i32 {
  const srcu = load32(vcpu + VCPU_KVM) + KVM_SRCU;
  const idx = srcuReadLock(srcu);
  const ret = exit ? sevHandleVmgexit(vcpu, ghcb) : snpCompleteOnePsc(vcpu, ghcb);
  srcuReadUnlock(srcu, idx);
  return ret;
}

/** Exit codes that a GHCB may carry: not that of VMGEXIT itself. kernel: sev_es_validate_vmgexit(). */
function exitCodeValid(code: u32): bool {
  return code == <u32>SVM_VMGEXIT_PSC || code == <u32>SVM_EXIT_CPUID;
}

/**
 * Handles the exit that the GHCB names. The code is read once: with a second read (B49) the guest can have another one handled than was checked.
 * @context vcpu->mutex, kvm->srcu. kernel: sev_handle_vmgexit() with 7588dbcebcbf.
 */
function sevHandleVmgexit(vcpu: usize, ghcb: usize): i32 {
  const depth = load32(vcpu + VCPU_VMGEXIT_DEPTH);
  // The kernel's stack is 16 KiB; each round of this recursion is the guest's to ask for.
  if (oraclesOn() && depth != 0) oops(ORACLE_KERNEL_BUG, OOPS_VMGEXIT_RECURSION, load32(vcpu + VCPU_INDEX), depth);
  store32(vcpu + VCPU_VMGEXIT_DEPTH, depth + 1);
  const seen = atomicLoad32(ghcb + GHCB_EXIT_CODE);
  let ret: i32 = -EINVAL;
  if (exitCodeValid(seen)) ret = invokeExitHandler(vcpu, ghcb, variant(V_B49) ? atomicLoad32(ghcb + GHCB_EXIT_CODE) : seen);
  store32(vcpu + VCPU_VMGEXIT_DEPTH, depth);
  return ret;
}

/** kernel: the switch of sev_handle_vmgexit() and, by default, svm_invoke_exit_handler() with its table, in which VMGEXIT has an entry like any other exit. */
function invokeExitHandler(vcpu: usize, ghcb: usize, code: u32): i32 {
  if (code == <u32>SVM_VMGEXIT_PSC) return snpBeginPsc(vcpu, ghcb);
  if (code == <u32>SVM_EXIT_VMGEXIT) return sevHandleVmgexit(vcpu, ghcb);
  return code == <u32>SVM_EXIT_CPUID ? 0 : -EINVAL;
}

/**
 * Walks the entries of a page state change from the current one to the last, up to one that user space has to carry out; entries that go on where it ends are done in the same
 * exit. A 2M entry of which a part is done is finished in 4K pages. 0, TO_USER_SPACE, or -EINVAL for a bad index, operation or alignment.
 * @context vcpu->mutex, kvm->srcu. kernel: snp_begin_psc().
 */
function snpBeginPsc(vcpu: usize, ghcb: usize): i32 {
  const end = pscLast(ghcb);
  if (end >= <u32>PSC_MAX_ENTRIES) return -EINVAL;
  for (let index = atomicLoad32(ghcb + GHCB_PSC_HEADER) & 0xffff; index <= (variant(V_B48) ? pscLast(ghcb) : end); index++) {
    const entry = pscEntry(ghcb, index);
    const op = pscOperation(entry);
    const pages = pscPages(entry);
    const done = pscCurPage(entry);
    if (op != <u32>PSC_OP_PRIVATE && op != <u32>PSC_OP_SHARED) return -EINVAL;
    if (done > pages || (pscGfn(entry) & (pages - 1)) != 0) return -EINVAL;
    if (done == pages) continue;
    store32(vcpu + VCPU_PSC_INDEX, index);
    store64(vcpu + VCPU_PSC_GFN, pscGfn(entry) + done);
    store32(vcpu + VCPU_PSC_PAGES, pages - done);
    store32(vcpu + VCPU_PSC_PRIVATE, op == <u32>PSC_OP_PRIVATE ? 1 : 0);
    store32(vcpu + VCPU_PSC_INFLIGHT, 1);
    takeFollowing(vcpu, ghcb, end, op, done == 0 ? pages : 1);
    return TO_USER_SPACE;
  }
  return 0;
}

/** Adds the entries up to `end` that continue what user space is to do, in pages of the same size. */
function takeFollowing(vcpu: usize, ghcb: usize, end: u32, op: u32, size: u32): void {
  let inflight: u32 = 1;
  let pages = load32(vcpu + VCPU_PSC_PAGES);
  for (let index = load32(vcpu + VCPU_PSC_INDEX) + 1; index <= end; index++) {
    const entry = pscEntry(ghcb, index);
    if (pscOperation(entry) != op || pscPages(entry) != size || pscCurPage(entry) != 0 || pscGfn(entry) != load64(vcpu + VCPU_PSC_GFN) + pages) break;
    pages += size;
    inflight++;
  }
  store32(vcpu + VCPU_PSC_PAGES, pages);
  store32(vcpu + VCPU_PSC_INFLIGHT, inflight);
}

/**
 * User space has done what it was given: the guest is shown that, and the rest follows. What the guest has written over an entry or the header meanwhile stays.
 * @context as snpBeginPsc. kernel: snp_complete_one_psc().
 */
function snpCompleteOnePsc(vcpu: usize, ghcb: usize): i32 {
  const first = load32(vcpu + VCPU_PSC_INDEX);
  const behind = first + load32(vcpu + VCPU_PSC_INFLIGHT);
  for (let index = first; index < behind; index++) {
    const entry = pscEntry(ghcb, index);
    atomicCas64(ghcb + GHCB_PSC_ENTRIES + <usize>index * 8, entry, (entry & ~(<u64>PSC_CUR_PAGE_MASK)) | pscPages(entry));
  }
  const header = atomicLoad32(ghcb + GHCB_PSC_HEADER);
  atomicCas32(ghcb + GHCB_PSC_HEADER, header, (header & 0xffff0000) | behind);
  return snpBeginPsc(vcpu, ghcb);
}

/** The last entry's number. It is read once and used as checked: with a read for each round (B48) it can grow past what was checked. */
// @ts-ignore: decorator
@inline
function pscLast(ghcb: usize): u32 { return atomicLoad32(ghcb + GHCB_PSC_HEADER) >> PSC_END_SHIFT; }

/** One entry, from within the buffer. */
function pscEntry(ghcb: usize, index: u32): u64 {
  const offset = <usize>index * 8 + GHCB_PSC_ENTRIES;
  if (oraclesOn() && index >= <u32>PSC_MAX_ENTRIES) oops(ORACLE_KERNEL_BUG, OOPS_BEYOND_BUFFER, <f64>offset, <f64>GHCB_SIZE);
  return atomicLoad64(ghcb + offset);
}

// @ts-ignore: decorator
@inline
function pscOperation(entry: u64): u32 { return <u32>(entry >> PSC_OP_SHIFT) & 15; }
/** 4K pages that an entry stands for. */
// @ts-ignore: decorator
@inline
function pscPages(entry: u64): u32 { return ((entry >> PSC_PAGESIZE_SHIFT) & 1) != 0 ? PTRS_PER_2M : 1; }
/** How many of them are done. */
// @ts-ignore: decorator
@inline
function pscCurPage(entry: u64): u32 { return <u32>entry & PSC_CUR_PAGE_MASK; }
// @ts-ignore: decorator
@inline
function pscGfn(entry: u64): u64 { return (entry >> PSC_GFN_SHIFT) & (((<u64>1) << PSC_GFN_BITS) - 1); }
