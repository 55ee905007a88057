// vCPU requests: how one CPU makes others do something before they run guest code again, and how it drives them out of the guest.
// kernel: virt/kvm/kvm_main.c kvm_make_all_cpus_request(), include/linux/kvm_host.h kvm_request_pending(), Documentation/virt/kvm/vcpu-requests.rst.
//
// vcpu->mode (+128)  bits 1:0  OUTSIDE 0: KVM's own code or user space runs
//                              IN_GUEST 1: guest code runs: who wants it out must kick it
//                              EXITING 2: kicked (the IPI is on its way), guest code may still run
//                              READING_SHADOW_PAGE_TABLES 3: a lockless walk of page tables outside the guest
//                    bits 31:2 session: raised at each entry, so that a waiter tells "still in" from "in again"
//   OUTSIDE -> IN_GUEST by the vCPU; IN_GUEST -> EXITING by a kicker; IN_GUEST or EXITING -> OUTSIDE by the vCPU.
//
// A Dekker pair decides who sees whom: the requester sets the bit, then looks at the mode; the vCPU sets IN_GUEST, then looks at the bits. All
// four are sequentially consistent, so at least one sees the other: the request is handled before guest code runs, or the vCPU is kicked.
// The IPI itself is the mode word: a vCPU looks at it before every guest access, so it leaves within one access.
import { KVM_BUGGED, KVM_ID, KVM_ONLINE_VCPUS, KVM_VCPUS } from '../abi/kvm';
import { WAIT_IPI } from '../abi/layout';
import { COST_TLB_FLUSH_IPI, COST_TLB_FLUSH_TARGET } from '../abi/costs';
import { EV_FLUSH } from '../abi/trace';
import {
  EXITING_GUEST_MODE, GUEST_MODE_MASK, IN_GUEST_MODE, KVM_REQ_TLB_FLUSH, KVM_REQ_TLB_FLUSH_RANGE, KVM_REQ_VM_DEAD, MMU_REMOTE_FLUSHES, OUTSIDE_GUEST_MODE, VCPU_FLUSH_RANGE, VCPU_IPI_WAITERS, VCPU_MODE,
  VCPU_REQUESTS,
} from '../abi/vcpu';
import { spend, spendMany } from '../costs';
import { atomicAdd32, atomicAnd32, atomicCas32, atomicCas64, atomicLoad32, atomicLoad64, atomicLoadStatic64, atomicOr32, atomicStore32, atomicSub32, cpuRelax, load32, storeOnce64 } from '../point';
import { park, settle, spinTurns } from '../sync/word';
import { waitBegin, waitEnd } from '../task';
import { traceBegin, traceEnd } from '../trace';

/** vCPU `index` of the VM. @context index < online vCPUs. */
// @ts-ignore: decorator
@inline
export function kvmGetVcpu(kvm: usize, index: u32): usize { return load32(kvm + KVM_VCPUS + (<usize>index << 2)); }

/** Sets a request. @context any. kernel: kvm_make_request(). */
// @ts-ignore: decorator
@inline
export function kvmMakeRequest(vcpu: usize, request: i32): void { atomicOr32(vcpu + VCPU_REQUESTS, <u32>1 << request); }

/** Whether the request is set; clears it. The caller's work comes after the clearing: a request made meanwhile is not lost. kernel: kvm_check_request(). */
// @ts-ignore: decorator
@inline
export function kvmCheckRequest(vcpu: usize, request: i32): bool {
  const bit = <u32>1 << request;
  return (atomicLoad32(vcpu + VCPU_REQUESTS) & bit) != 0 && (atomicAnd32(vcpu + VCPU_REQUESTS, ~bit) & bit) != 0;
}

/** Kicks the vCPU if it runs guest code. @context after kvmMakeRequest. kernel: kvm_vcpu_exiting_guest_mode(). */
// @ts-ignore: decorator
@inline
export function kvmVcpuKick(vcpu: usize): void {
  let mode = atomicLoad32(vcpu + VCPU_MODE);
  while ((mode & GUEST_MODE_MASK) == IN_GUEST_MODE) {
    const seen = atomicCas32(vcpu + VCPU_MODE, mode, mode + (EXITING_GUEST_MODE - IN_GUEST_MODE));
    if (seen == mode) return;
    mode = seen;
  }
}

/**
 * Sets a request on every vCPU and kicks those in the guest; with `wait` it returns when each of them has left the guest code it was running.
 * @context any, also under mmu_lock; spins, then parks: a vCPU in the guest waits for nobody. kernel: kvm_make_all_cpus_request().
 */
export function kvmMakeAllCpusRequest(kvm: usize, request: i32, wait: bool): void {
  const online = atomicLoad32(kvm + KVM_ONLINE_VCPUS);
  if (online == 0) requestUncounted(kvm, request);
  for (let n: u32 = 0; n < online; n++) {
    const vcpu = kvmGetVcpu(kvm, n);
    kvmMakeRequest(vcpu, request);
    kvmVcpuKick(vcpu);
  }
  if (!wait) return;
  for (let n: u32 = 0; n < online; n++) {
    const vcpu = kvmGetVcpu(kvm, n);
    const mode = atomicLoad32(vcpu + VCPU_MODE);
    // IN_GUEST here is a session that began after the kick and has seen the request.
    const what = mode & GUEST_MODE_MASK;
    if (what != OUTSIDE_GUEST_MODE && what != IN_GUEST_MODE) awaitExit(vcpu, mode);
  }
}

/** KVM_BUG_ON: nothing of the VM runs any more. @context any, also under mmu_lock. kernel: kvm_vm_bugged(). */
export function kvmVmBugged(kvm: usize): void {
  atomicStore32(kvm + KVM_BUGGED, 1);
  kvmMakeAllCpusRequest(kvm, KVM_REQ_VM_DEAD, false);
}

/** Sets a request on one vCPU and kicks it; with `wait` it returns when the vCPU has left the guest code it was running. @context as kvmMakeAllCpusRequest. kernel: kvm_make_request_and_kick(). */
export function kvmMakeVcpuRequest(vcpu: usize, request: i32, wait: bool): void {
  kvmMakeRequest(vcpu, request);
  kvmVcpuKick(vcpu);
  if (!wait) return;
  const mode = atomicLoad32(vcpu + VCPU_MODE);
  if ((mode & GUEST_MODE_MASK) == EXITING_GUEST_MODE) awaitExit(vcpu, mode);
}

/**
 * While no vCPU is counted, kvm_for_each_vcpu() goes over [0, online - 1], which is everything: it finds the one that is being created, as soon as that is in the array.
 * So nothing may get there that could still go away (B39).
 */
function requestUncounted(kvm: usize, request: i32): void {
  const vcpu: usize = atomicLoad32(kvm + KVM_VCPUS);
  if (vcpu != 0) kvmMakeRequest(vcpu, request);
}

/** Waits until the mode word is no longer `mode`. The vCPU changes the word, by a release store, before it looks for waiters; the waiter counts itself first. */
function awaitExit(vcpu: usize, mode: u32): void {
  for (let n = spinTurns(); n > 0; n--) {
    if (atomicLoad32(vcpu + VCPU_MODE) != mode) return;
    cpuRelax();
  }
  waitBegin(vcpu, WAIT_IPI);
  atomicAdd32(vcpu + VCPU_IPI_WAITERS, 1);
  settle();
  while (atomicLoad32(vcpu + VCPU_MODE) == mode) park(vcpu + VCPU_MODE, mode);
  atomicSub32(vcpu + VCPU_IPI_WAITERS, 1);
  waitEnd();
}

/**
 * When it returns no vCPU uses a translation that was cached before the call.
 * @context any, also under mmu_lock. kernel: kvm_flush_remote_tlbs().
 */
export function kvmFlushRemoteTlbs(kvm: usize): void { flushRemote(kvm, KVM_REQ_TLB_FLUSH); }

function flushRemote(kvm: usize, request: i32): void {
  storeOnce64(kvm + MMU_REMOTE_FLUSHES, atomicLoadStatic64(kvm + MMU_REMOTE_FLUSHES) + 1);
  const since = traceBegin();
  kvmMakeAllCpusRequest(kvm, request, true);
  spend(COST_TLB_FLUSH_IPI);
  spendMany(COST_TLB_FLUSH_TARGET, load32(kvm + KVM_ONLINE_VCPUS));
  traceEnd(EV_FLUSH, since, load32(kvm + KVM_ID), 0, 0, 0);
}

/**
 * When it returns no vCPU uses a translation of gfns [start, end) that was cached before the call; others may. By whole 2M pages.
 * @context any, also under mmu_lock. kernel: kvm_flush_remote_tlbs_range(), where the architecture has one.
 */
export function kvmFlushRemoteTlbsRange(kvm: usize, start: u64, end: u64): void {
  const range = start >> 9 | (end + 511) >> 9 << 32;
  const online = atomicLoad32(kvm + KVM_ONLINE_VCPUS);
  for (let n: u32 = 0; n < online; n++) {
    const wanted = kvmGetVcpu(kvm, n) + VCPU_FLUSH_RANGE;
    let old = atomicLoad64(wanted);
    while (true) {
      const seen = atomicCas64(wanted, old, old == 0 ? range : min<u64>(old & 0xffffffff, range & 0xffffffff) | max<u64>(old >> 32, range >> 32) << 32);
      if (seen == old) break;
      old = seen;
    }
  }
  flushRemote(kvm, KVM_REQ_TLB_FLUSH_RANGE);
}
