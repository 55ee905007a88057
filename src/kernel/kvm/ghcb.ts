// The GHCB, a page through which an SNP guest tells the host why it exits and with what: shared memory, which other vCPUs may rewrite while the host reads it. So each
// word is read once, and what was checked is what is used. kernel: arch/x86/kvm/svm/sev.c sev_handle_vmgexit(), snp_begin_psc(), arch/x86/kvm/svm/svm.c
// svm_invoke_exit_handler(); GHCB specification 2.03, page state changes (4.1.6).
import { EINVAL, ENOMEM } from '../abi/errno';
import {
  GHCB_EXIT_CODE, GHCB_PSC_CUR, GHCB_PSC_END, GHCB_PSC_ENTRIES, GHCB_SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_SRCU, PSC_GFN_MASK_BITS, PSC_MAX_ENTRIES, PSC_OP_PRIVATE, PSC_OP_SHARED,
  PSC_OP_SHIFT, SVM_EXIT_CPUID, SVM_EXIT_VMGEXIT, SVM_VMGEXIT_PSC,
} from '../abi/kvm';
import { OOPS_BEYOND_BUFFER, OOPS_VMGEXIT_RECURSION, ORACLE_KERNEL_BUG } from '../abi/oops';
import { V_B48, V_B49 } from '../abi/variants';
import { VCPU_GHCB, VCPU_INDEX, VCPU_KVM, VCPU_MUTEX, VCPU_PSC_GFN, VCPU_PSC_PRIVATE, VCPU_VMGEXIT_DEPTH } from '../abi/vcpu';
import { kfree, kzalloc } from '../heap';
import { oops } from '../oops';
import { atomicCas32, atomicLoad32, atomicLoad64, atomicStore32, atomicStore64, load32, load64, oraclesOn, store32, store64, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { kvmMemIsPrivate, kvmSetMemoryAttributes } from './attributes';

/** Above 0: a page is to change its state, which is user space's to do (KVM_HC_MAP_GPA_RANGE). */
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
    const error = kvmSetMemoryAttributes(kvm, gfn, gfn + 1, attributes);
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
  const ret = exit ? sevHandleVmgexit(vcpu, ghcb) : snpBeginPsc(vcpu, ghcb);
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
 * Walks the entries of a page state change from the current one to the last, up to one that user space has to carry out. The last one's number is read once: with a
 * read for each round (B48) it can grow past what was checked.
 * @context vcpu->mutex, kvm->srcu. kernel: snp_begin_psc().
 */
function snpBeginPsc(vcpu: usize, ghcb: usize): i32 {
  const end = atomicLoad32(ghcb + GHCB_PSC_END);
  if (end >= <u32>PSC_MAX_ENTRIES) return -EINVAL;
  for (let index = atomicLoad32(ghcb + GHCB_PSC_CUR); index <= (variant(V_B48) ? atomicLoad32(ghcb + GHCB_PSC_END) : end); index++) {
    const entry = pscEntry(ghcb, index);
    const op = <u32>(entry >> PSC_OP_SHIFT) & 15;
    if (op != <u32>PSC_OP_PRIVATE && op != <u32>PSC_OP_SHARED) return -EINVAL;
    atomicStore32(ghcb + GHCB_PSC_CUR, index + 1);
    const gfn = entry & (((<u64>1) << PSC_GFN_MASK_BITS) - 1);
    const isPrivate = op == <u32>PSC_OP_PRIVATE;
    if (kvmMemIsPrivate(load32(vcpu + VCPU_KVM), gfn) == isPrivate) continue;
    store64(vcpu + VCPU_PSC_GFN, gfn);
    store32(vcpu + VCPU_PSC_PRIVATE, isPrivate ? 1 : 0);
    return TO_USER_SPACE;
  }
  return 0;
}

/** One entry, from within the buffer. */
function pscEntry(ghcb: usize, index: u32): u64 {
  const offset = <usize>index * 8 + GHCB_PSC_ENTRIES;
  if (oraclesOn() && index >= <u32>PSC_MAX_ENTRIES) oops(ORACLE_KERNEL_BUG, OOPS_BEYOND_BUFFER, <f64>offset, <f64>GHCB_SIZE);
  return atomicLoad64(ghcb + offset);
}
