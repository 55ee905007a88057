// vCPUs: their life, entering and leaving guest mode, and the requests handled on the way. The other side, making requests: requests.ts.
// kernel: virt/kvm/kvm_main.c kvm_vm_ioctl_create_vcpu(), arch/x86/kvm/x86.c vcpu_enter_guest() (6.8).
import { LC_VCPU } from '../abi/classes';
import { COST_VMRUN } from '../abi/costs';
import { EINTR, EINVAL, EIO, EMFILE, ENOMEM } from '../abi/errno';
import { KVM_CREATED_VCPUS, KVM_EXIT_INTR, KVM_EXIT_UNKNOWN, KVM_LOCK, KVM_MAX_VCPUS, KVM_ONLINE_VCPUS, KVM_VCPUS } from '../abi/kvm';
import { NT_VCPU } from '../abi/names';
import { V_B34, V_B39 } from '../abi/variants';
import { SH_STOP } from '../abi/layout';
import {
  GUEST_MODE_MASK, GUEST_SESSIONS_CONTROLLED, GUEST_SESSION_ONE, IN_GUEST_MODE, KVM_REQ_INTERRUPT, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, KVM_REQ_TLB_FLUSH, KVM_REQ_TLB_FLUSH_RANGE, KVM_REQ_UPDATE_PROTECTED_GUEST_STATE, KVM_REQ_VM_DEAD,
  KVM_REQ_EVENT, OUTSIDE_GUEST_MODE, TLB_GENERATION_SHIFT, VCPU_AP_GFN, VCPU_AVIC, VCPU_COUNT_EXITS, VCPU_COUNT_IPIS, VCPU_EXIT_REASON, VCPU_INDEX, VCPU_IPI_WAITERS, VCPU_KVM,
  VCPU_MAGIC, VCPU_MAGIC_VALUE, VCPU_MMIO_VALUE, VCPU_MODE, VCPU_MUTEX, VCPU_REQUESTS, VCPU_ROOT, VCPU_SIZE, VCPU_TLB_TAG,
} from '../abi/vcpu';
import { spend } from '../costs';
import { kfree, kzalloc } from '../heap';
import { nameObject, unnameObject } from '../names';
import { atomicLoad32, atomicStore32, futexWake, load32, load64, peek64, poke64, storeRelease32, store32, store64, variant } from '../point';
import { sevFreeVcpu } from '../snp/launch';
import { mutexInit, mutexLock, mutexUnlock } from '../sync/mutex';
import { snpUpdateVmsa, vmexitPages, vmrunPages } from './ap';
import { apicFreeVcpu, apicInitVcpu, kvmInjectPendingEvents } from './avic';
import { ghcbFree } from './ghcb';
import { kvmCheckRequest, kvmGetVcpu } from './requests';
import { kvmMmuFreeObsoleteRoots, kvmMmuLoad, kvmMmuUnload } from './tdp-root';
import { tlbFlush, tlbFlushRange } from './tlb';

export { kvmFlushRemoteTlbs, kvmMakeAllCpusRequest } from './requests';

/** What set_memory_region_test's device answers. */
const MMIO_VALUE_DEFAULT: u32 = 0xbeef;

/** Adds 1 to a counter of the vCPU, in one go: on the stack a count would tell states apart that differ in nothing else. @context the task in KVM_RUN. */
export function vcpuCount(vcpu: usize, counter: usize): void { poke64(vcpu + counter, peek64(vcpu + counter) + 1); }

/**
 * Creates the VM's next vCPU. Returns it, or a negative errno: -EINVAL when there are KVM_MAX_VCPUS, -ENOMEM; -EMFILE with `noDescriptor`: the process has none left.
 * @context sleeps; takes kvm->lock. kernel: kvm_vm_ioctl_create_vcpu().
 */
export function vmIoctlCreateVcpu(kvm: usize, noDescriptor: bool): usize {
  const vcpu = kzalloc(VCPU_SIZE);
  if (vcpu == 0) return <usize>-ENOMEM;
  mutexLock(kvm + KVM_LOCK);
  const index = load32(kvm + KVM_CREATED_VCPUS);
  const error = index >= <u32>KVM_MAX_VCPUS ? -EINVAL : apicInitVcpu(kvm, vcpu);
  if (error != 0) {
    mutexUnlock(kvm + KVM_LOCK);
    kfree(vcpu, VCPU_SIZE);
    return <usize>error;
  }
  store32(kvm + KVM_CREATED_VCPUS, index + 1);
  store32(vcpu + VCPU_KVM, <u32>kvm);
  store32(vcpu + VCPU_INDEX, index);
  store32(vcpu + VCPU_MMIO_VALUE, MMIO_VALUE_DEFAULT);
  store64(vcpu + VCPU_TLB_TAG, (<u64>1) << TLB_GENERATION_SHIFT);
  mutexInit(vcpu + VCPU_MUTEX, LC_VCPU);
  store32(vcpu + VCPU_MAGIC, VCPU_MAGIC_VALUE);
  const slot = kvm + KVM_VCPUS + (<usize>index << 2);
  if (variant(V_B39)) atomicStore32(slot, <u32>vcpu);
  if (noDescriptor) {
    atomicStore32(slot, 0);
    store32(kvm + KVM_CREATED_VCPUS, index);
    mutexUnlock(kvm + KVM_LOCK);
    vcpuDestroy(vcpu);
    return <usize>-EMFILE;
  }
  // Only now that nothing can fail any more (B39). First the address, then the count: whoever counts on a vCPU finds it.
  atomicStore32(slot, <u32>vcpu);
  atomicStore32(kvm + KVM_ONLINE_VCPUS, index + 1);
  mutexUnlock(kvm + KVM_LOCK);
  nameObject(vcpu, VCPU_SIZE, NT_VCPU, kvm, index);
  return vcpu;
}

/** Creates the VM's next vCPU, as vmIoctlCreateVcpu with a descriptor. */
export function vcpuCreate(kvm: usize): usize { return vmIoctlCreateVcpu(kvm, false); }

/** @context nobody can find the vCPU any more; takes mmu_lock. kernel: kvm_vcpu_destroy(). */
function vcpuDestroy(vcpu: usize): void {
  unnameObject(vcpu);
  kvmMmuUnload(vcpu);
  apicFreeVcpu(vcpu);
  sevFreeVcpu(vcpu);
  ghcbFree(vcpu);
  store32(vcpu + VCPU_MAGIC, 0);
  kfree(vcpu, VCPU_SIZE);
}

/** @context the VM is being destroyed, no vCPU is in KVM_RUN; takes mmu_lock. kernel: kvm_destroy_vcpus(). */
export function vcpuDestroyAll(kvm: usize): void {
  const online = atomicLoad32(kvm + KVM_ONLINE_VCPUS);
  atomicStore32(kvm + KVM_ONLINE_VCPUS, 0);
  store32(kvm + KVM_CREATED_VCPUS, 0);
  for (let n: u32 = 0; n < online; n++) {
    vcpuDestroy(kvmGetVcpu(kvm, n));
    atomicStore32(kvm + KVM_VCPUS + (<usize>n << 2), 0);
  }
}

/**
 * Enters guest mode with a valid root and every request handled. 0, or why KVM_RUN has to return: -EINTR, -EIO, -ENOMEM.
 * @context vcpu->mutex, no other lock: loading a root takes mmu_lock. kernel: vcpu_enter_guest().
 */
// @ts-ignore: decorator
@inline
export function vcpuEnterGuest(vcpu: usize): i32 {
  // What is pending already need not be met behind the store: entering only to leave again costs two barriers.
  if (load32(vcpu + VCPU_ROOT) == 0 || atomicLoad32(vcpu + VCPU_REQUESTS) != 0) return vcpuEnterSlow(vcpu);
  setInGuest(vcpu);
  if (atomicLoad32(vcpu + VCPU_REQUESTS) != 0) return vcpuEnterSlow(vcpu);
  if (VARIANTS && load32(vcpu + VCPU_AVIC) != 0) return vcpuVmrun(vcpu);
  return 0;
}

/** The pages of the vCPU's that the RMP protects while it runs. 0, or why it is out again: -EAGAIN stopped by the guest, -EINVAL its VMSA is none. @context as vcpuEnterGuest. */
function vcpuVmrun(vcpu: usize): i32 {
  const ret = vmrunPages(vcpu);
  if (ret != 0) leaveGuestMode(vcpu);
  return ret;
}

/** The store is the first half of the Dekker pair, sequentially consistent; a new session number makes this stay distinguishable. */
// @ts-ignore: decorator
@inline
function setInGuest(vcpu: usize): void {
  spend(COST_VMRUN);
  let session = (atomicLoad32(vcpu + VCPU_MODE) & ~(<u32>GUEST_MODE_MASK)) + GUEST_SESSION_ONE;
  // A few are enough to tell one from the next, and make a vCPU that goes round a loop come back to a state: who takes a late one for his own waits longer.
  if (CONTROLLED) session &= GUEST_SESSIONS_CONTROLLED;
  atomicStore32(vcpu + VCPU_MODE, session | IN_GUEST_MODE);
}

function vcpuEnterSlow(vcpu: usize): i32 {
  while (true) {
    if ((atomicLoad32(vcpu + VCPU_MODE) & GUEST_MODE_MASK) != OUTSIDE_GUEST_MODE) leaveGuestMode(vcpu);
    let ret = handleRequests(vcpu);
    if (ret == 0 && load32(vcpu + VCPU_ROOT) == 0) ret = kvmMmuLoad(vcpu);
    if (ret != 0) return ret;
    setInGuest(vcpu);
    if (atomicLoad32(vcpu + VCPU_REQUESTS) != 0) continue;
    if (VARIANTS && load32(vcpu + VCPU_AVIC) != 0) return vcpuVmrun(vcpu);
    return 0;
  }
  return 0;
}

/** Leaves guest mode: whoever waits for it may go on. @context the vCPU's task, in guest mode. */
// @ts-ignore: decorator
@inline
export function vcpuExitGuest(vcpu: usize): void {
  if (VARIANTS && load32(vcpu + VCPU_AVIC) != 0) vmexitPages(vcpu);
  leaveGuestMode(vcpu);
}

/**
 * The mode alone: no page is in use. A plain store behind all guest accesses, as the kernel's; a kick that comes between the two lines finds the vCPU
 * leaving, and its store is lost in ours. Whoever sleeps until the mode changes has counted itself and settled before: one of us sees the other.
 */
// @ts-ignore: decorator
@inline
function leaveGuestMode(vcpu: usize): void {
  const old = atomicLoad32(vcpu + VCPU_MODE);
  storeRelease32(vcpu + VCPU_MODE, (old & ~(<u32>GUEST_MODE_MASK)) | OUTSIDE_GUEST_MODE);
  if ((old & GUEST_MODE_MASK) != IN_GUEST_MODE) vcpuCount(vcpu, VCPU_COUNT_IPIS);
  if (atomicLoad32(vcpu + VCPU_IPI_WAITERS) != 0) futexWake(vcpu + VCPU_MODE, 0xffffffff);
}

/** @context vcpu->mutex, outside guest mode; takes mmu_lock. kernel: the head of vcpu_enter_guest(). */
function handleRequests(vcpu: usize): i32 {
  if (atomicLoad32(vcpu + VCPU_REQUESTS) == 0) return 0;
  if (((atomicLoad32(vcpu + VCPU_REQUESTS) >>> KVM_REQ_VM_DEAD) & 1) != 0) return -EIO;
  if (kvmCheckRequest(vcpu, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS)) kvmMmuFreeObsoleteRoots(vcpu);
  if (kvmCheckRequest(vcpu, KVM_REQ_TLB_FLUSH)) tlbFlush(vcpu);
  if (variant(V_B34) && kvmCheckRequest(vcpu, KVM_REQ_TLB_FLUSH_RANGE)) tlbFlushRange(vcpu);
  if (kvmCheckRequest(vcpu, KVM_REQ_EVENT)) kvmInjectPendingEvents(vcpu);
  // Whoever makes the request has written the gfn before; guests that start no vCPU are spared the look.
  if (VARIANTS && load64(vcpu + VCPU_AP_GFN) != 0 && kvmCheckRequest(vcpu, KVM_REQ_UPDATE_PROTECTED_GUEST_STATE)) snpUpdateVmsa(vcpu);
  if (kvmCheckRequest(vcpu, KVM_REQ_INTERRUPT)) return vcpuExitIntr(vcpu);
  return 0;
}

/** A signal waits for the thread. @context vcpu->mutex, outside guest mode. */
function vcpuExitIntr(vcpu: usize): i32 {
  store32(vcpu + VCPU_EXIT_REASON, KVM_EXIT_INTR);
  vcpuCount(vcpu, VCPU_COUNT_EXITS);
  return -EINTR;
}

/** Whether the run is being stopped: an endless retry gives up then, as at a signal. */
export function vcpuSignalPending(vcpu: usize): i32 {
  if (atomicLoad32(SH_STOP) == 0) return 0;
  return vcpuExitIntr(vcpu);
}

/** Forgets the last exit. @context vcpu->mutex. */
// @ts-ignore: decorator
@inline
export function vcpuClearExit(vcpu: usize): void { store32(vcpu + VCPU_EXIT_REASON, KVM_EXIT_UNKNOWN); }
