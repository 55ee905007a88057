// The process of a VMM as an object of its own, for what its end and its VM's have to do with each other: its memory, which others take away, too, and which
// goes when it exits; KVM is one of its notifiers. A VM without one (the common case here) is told of its memory directly (shared.ts).
// kernel: mm/mmap.c exit_mmap(), mm/madvise.c, virt/kvm/kvm_main.c kvm_init_mmu_notifier(), kvm_mmu_notifier_release() (6.8).
import { LC_MEM_ATTR } from '../abi/classes';
import {
  KVM_ID, KVM_MMU_NOTIFIER, KVM_OWN_SLOT, KVM_PROCESS, KVM_SRCU, PROCESS_MEMORY, PROCESS_NOTIFIERS, PROCESS_SIZE, PROCESS_SWAP, REGION_ARG_SIZE, REGION_FLAGS, REGION_GPA,
  REGION_MEMORY_SIZE, REGION_RESTRICTED_FD, REGION_RESTRICTED_OFFSET, REGION_SLOT, REGION_USERSPACE_ADDR,
} from '../abi/kvm';
import { PAGE_SHIFT, SUBSYS_KVM } from '../abi/layout';
import { NT_PROCESS } from '../abi/names';
import { kzalloc } from '../heap';
import {
  MN_OPS_END, MN_OPS_RELEASE, MN_OPS_START, mmuNotifierCall, mmuNotifierListInit, mmuNotifierRegister, mmuNotifierRegistered, mmuNotifierRelease, mmuNotifierUnregister,
} from '../mm/mmu-notifier';
import { xaInit, xaStoreRange } from '../mm/xarray';
import { nameObject } from '../names';
import { load32, store32, store64 } from '../point';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { stackPop, stackPush } from '../task';
import { kvmSetOwnRegion } from './memslots';
import { kvmMmuNotifierInvalidateRangeEnd, kvmMmuNotifierInvalidateRangeStart } from './notifier';
import { discardMemory } from './shared';
import { kvmFlushShadowAll } from './tdp';

// SUBSYS_KVM + 32: kvm_mmu_notifier_ops, three table indices.
const NOTIFIER_OPS_TABLE: usize = SUBSYS_KVM + 32;

/** Fills the callbacks that all VMs point to. @context boot. */
export function kvmProcessInit(): void {
  store32(NOTIFIER_OPS_TABLE + MN_OPS_START, rangeStart.index);
  store32(NOTIFIER_OPS_TABLE + MN_OPS_END, rangeEnd.index);
  store32(NOTIFIER_OPS_TABLE + MN_OPS_RELEASE, release.index);
}

/** The VM whose part the notifier is. kernel: mmu_notifier_to_kvm(). */
// @ts-ignore: decorator
@inline
function kvmOf(subscription: usize): usize { return subscription - KVM_MMU_NOTIFIER; }

function rangeStart(subscription: usize, start: u64, end: u64): void { kvmMmuNotifierInvalidateRangeStart(kvmOf(subscription), start, end, true); }
function rangeEnd(subscription: usize, start: u64, end: u64): void { kvmMmuNotifierInvalidateRangeEnd(kvmOf(subscription), start, end); }

/** kernel: kvm_mmu_notifier_release(). */
function release(subscription: usize): void {
  const kvm = kvmOf(subscription);
  const idx = srcuReadLock(kvm + KVM_SRCU);
  kvmFlushShadowAll(kvm);
  srcuReadUnlock(kvm + KVM_SRCU, idx);
}

/**
 * Gives a VM a process with memory of its own. The process, 0 when out of memory; it is never freed, since whoever made it may name it to the end.
 * @context before the VM has memory; allocates.
 */
export function processCreate(kvm: usize): usize {
  const process = kzalloc(PROCESS_SIZE);
  if (process == 0 || mmuNotifierListInit(process + PROCESS_NOTIFIERS) != 0) return 0;
  xaInit(process + PROCESS_MEMORY, LC_MEM_ATTR);
  xaInit(process + PROCESS_SWAP, LC_MEM_ATTR);
  nameObject(process, PROCESS_SIZE, NT_PROCESS, 0, load32(kvm + KVM_ID));
  store32(kvm + KVM_PROCESS, <u32>process);
  mmuNotifierRegister(process + PROCESS_NOTIFIERS, kvm + KVM_MMU_NOTIFIER, NOTIFIER_OPS_TABLE);
  return process;
}

/**
 * Takes pages [start, start + pages) of a process away: madvise(MADV_DONTNEED), or the reaper when it is about to die. Returns the pages freed.
 * @context sleeps; takes mmu_lock of the VMs that use the process; must not hold a slots_lock.
 */
export function processDiscard(process: usize, start: u64, pages: u64): i32 {
  const first = start << PAGE_SHIFT;
  const end = (start + pages) << PAGE_SHIFT;
  mmuNotifierCall(process + PROCESS_NOTIFIERS, MN_OPS_START, first, end);
  const freed = discardMemory(process + PROCESS_MEMORY, start, start + pages);
  if (pages != 0) xaStoreRange(process + PROCESS_SWAP, start, start + pages - 1, 0);
  mmuNotifierCall(process + PROCESS_NOTIFIERS, MN_OPS_END, first, end);
  return <i32>freed;
}

/** The process ends: nobody uses its pages any more, then they are freed. @context none of its threads runs, so no vCPU; sleeps. kernel: exit_mmap(). */
export function processExit(process: usize): void {
  mmuNotifierRelease(process + PROCESS_NOTIFIERS);
  discardMemory(process + PROCESS_MEMORY, 0, (<u64>1) << 52);
}

/** Whether the VM's process has ended: a range_end may be missing for ever, and nothing is left but to destroy the VM (B28). @context at rest. */
export function kvmOutlivesProcess(kvm: usize): bool {
  return load32(kvm + KVM_PROCESS) != 0 && !mmuNotifierRegistered(kvm + KVM_MMU_NOTIFIER);
}

/** The VM goes: its process, if it has one, tells it of nothing any more. @context the VM is being destroyed; sleeps. */
export function kvmLeaveProcess(kvm: usize): void {
  const process: usize = load32(kvm + KVM_PROCESS);
  if (process == 0) kvmFlushShadowAll(kvm);
  else mmuNotifierUnregister(process + PROCESS_NOTIFIERS, kvm + KVM_MMU_NOTIFIER);
}

/**
 * KVM's own memslot, the page behind the APIC's access: one page at `gfn` and `hva`, or none (`pages` 0). 0 or a negative errno.
 * @context sleeps; takes slots_lock. kernel: __x86_set_memory_region().
 */
export function kvmSetOwnSlot(kvm: usize, gfn: u64, hva: u64, pages: u64): i32 {
  const region = stackPush(REGION_ARG_SIZE);
  store32(region + REGION_SLOT, KVM_OWN_SLOT);
  store32(region + REGION_FLAGS, 0);
  store64(region + REGION_GPA, gfn << PAGE_SHIFT);
  store64(region + REGION_MEMORY_SIZE, pages << PAGE_SHIFT);
  store64(region + REGION_USERSPACE_ADDR, hva << PAGE_SHIFT);
  store64(region + REGION_RESTRICTED_OFFSET, 0);
  store32(region + REGION_RESTRICTED_FD, 0);
  const ret = kvmSetOwnRegion(kvm, region);
  stackPop(REGION_ARG_SIZE);
  return ret;
}
