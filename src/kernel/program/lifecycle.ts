// The life of guests: each step creates one with its file, memslot and vCPU, launches it, lets it write its memory once, and destroys it, beside the guests
// that stay. What a host of short-lived confidential functions does. kernel: KVM_CREATE_VM, KVM_SEV_SNP_LAUNCH_UPDATE, _FINISH, the last close of the VM's descriptor.
import { ENOMEM } from '../abi/errno';
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MEM_PRIVATE, KVM_SHADOW } from '../abi/kvm';
import { PAGE_SHIFT, SH_PARTITION_COUNT, SH_STOP } from '../abi/layout';
import {
  OP_LAUNCH_FINISH, OP_LAUNCH_UPDATE, OP_OWN_SLOT, OP_SHADOW_ROOT, OP_TOUCH, OP_VM_CREATE, OP_VM_DESTROY, PR_RECORDING, PR_TARGETS, TG_FILE, TG_FIRST_OFFSET, TG_PAGE_COUNT, TG_START_GFN,
  TG_VCPU, TG_VCPU_COUNT, TG_VCPU_INDEX, TG_VM,
} from '../abi/program';
import { kvmSetMemoryAttributes } from '../kvm/attributes';
import { kvmCreateIrqchip } from '../kvm/avic';
import { snpLaunchUpdatePage } from '../kvm/gmem-populate';
import { kvmSetOwnSlot } from '../kvm/process';
import { kvmFirstShadowRoot } from '../kvm/shadow-root';
import { vcpuCreate } from '../kvm/vcpu';
import { fputFile } from '../mm/restrictedmem';
import { guestMemfd } from '../mm/restrictedmem-file';
import { guestShadowFree, guestShadowInit } from '../oracle/guest';
import { atomicLoad32, load32, nowNs, oraclesOn, store32, store64 } from '../point';
import { snpLaunchFinish } from '../snp/launch';
import { setMemslot, sysCreateFile, sysCreateGuestMemfd, sysCreateVm, sysDestroyVm, sysFileSetSize } from '../syscall';
import { heartbeat, ringBegin } from '../task';
import { finishOp } from './finish';
import { drawLength } from './keys';
import { opCount, opLatency } from './opstat';
import { drawBelow, drawU32 } from './random';
import { touchPage } from './touch';

const HVA: u64 = 0x7f0000000000;
/** Pages that are measured into a guest_memfd before the guest runs: its firmware. */
const FIRMWARE_PAGES: u64 = 8;
const EVERY_TIME: u32 = 0xffffffff;

/** One guest's life. Returns the operations done. @context no lock held; the thread is the guest's VMM and its only vCPU. */
export function lifecycleStep(program: usize, startNs: f64): u32 {
  const target: usize = load32(program + PR_TARGETS);
  const pages = drawLength(program);
  store32(target + TG_VM, 0);
  store32(target + TG_FILE, 0);
  ringBegin(OP_VM_CREATE, target, 0, 0, pages, startNs);
  const error = create(program, target, pages);
  finishOp(program, OP_VM_CREATE, error, pages, startNs);
  let operations: u32 = 1;
  if (error == 0) operations += prepare(program, target, pages) + launch(program, target, pages) + bootGuest(program, target, pages);
  destroy(program, target, pages);
  return operations + 1;
}

/** 0 or errno; what has been made by then is in the target. */
function create(program: usize, target: usize, pages: u64): i32 {
  const home = <i32>drawBelow(program, load32(SH_PARTITION_COUNT));
  const kvm = sysCreateVm(1, 0, home);
  if (failed(kvm)) return kvm;
  store32(target + TG_VM, <u32>kvm);
  const bytes = pages << PAGE_SHIFT;
  const file = guestMemfd() ? sysCreateGuestMemfd(<usize>kvm, <f64>bytes, 0, 0, home, 0) : sysCreateFile(0, home, 0);
  if (failed(file)) return file;
  store32(target + TG_FILE, <u32>file);
  let error = guestMemfd() ? 0 : sysFileSetSize(<usize>file, <f64>bytes);
  if (error == 0) error = setMemslot(<usize>kvm, 0, 0, KVM_MEM_PRIVATE, 0, bytes, HVA, <usize>file, 0);
  if (error == 0 && oraclesOn() && !guestShadowInit(<usize>kvm, pages)) error = -ENOMEM;
  if (error == 0) error = kvmSetMemoryAttributes(<usize>kvm, 0, pages, KVM_MEMORY_ATTRIBUTE_PRIVATE);
  if (error != 0) return error;
  kvmCreateIrqchip(<usize>kvm);
  const vcpu = <i32>vcpuCreate(<usize>kvm);
  if (failed(vcpu)) return vcpu;
  store32(target + TG_VCPU, <u32>vcpu);
  store32(target + TG_VCPU_INDEX, 0);
  store32(target + TG_VCPU_COUNT, 1);
  store64(target + TG_START_GFN, 0);
  store64(target + TG_FIRST_OFFSET, 0);
  store64(target + TG_PAGE_COUNT, pages);
  return 0;
}

/** Handles are addresses; the last 4096 values are errno. */
function failed(handle: i32): bool { return <u32>handle >= 0xfffff000; }

/** KVM's own memslot above the guest's memory, as for the page of its APIC, and the reverse maps that shadow paging needs. */
function prepare(program: usize, target: usize, pages: u64): u32 {
  const kvm: usize = load32(target + TG_VM);
  let beganNs = nowNs();
  ringBegin(OP_OWN_SLOT, target, 0, pages, 1, beganNs);
  finishOp(program, OP_OWN_SLOT, kvmSetOwnSlot(kvm, pages, (HVA >> PAGE_SHIFT) + pages, 1), 1, beganNs);
  beganNs = nowNs();
  ringBegin(OP_SHADOW_ROOT, target, 0, 0, pages, beganNs);
  finishOp(program, OP_SHADOW_ROOT, kvmFirstShadowRoot(kvm), pages, beganNs);
  return 2;
}

/** The firmware's pages are measured where the protocol has a call for it, then the registers of the vCPU. */
function launch(program: usize, target: usize, pages: u64): u32 {
  const kvm: usize = load32(target + TG_VM);
  let operations: u32 = 1;
  const measured = guestMemfd() ? min<u64>(pages, FIRMWARE_PAGES) : 0;
  for (let gfn: u64 = 0; gfn < measured; gfn++) {
    const beganNs = nowNs();
    ringBegin(OP_LAUNCH_UPDATE, target, 0, gfn, 1, beganNs);
    finishOp(program, OP_LAUNCH_UPDATE, snpLaunchUpdatePage(kvm, gfn, (HVA >> PAGE_SHIFT) + gfn), 1, beganNs);
    operations++;
  }
  const beganNs = nowNs();
  ringBegin(OP_LAUNCH_FINISH, target, 0, 0, 0, beganNs);
  finishOp(program, OP_LAUNCH_FINISH, snpLaunchFinish(kvm), 0, beganNs);
  return operations;
}

/** The guest writes each of its pages once. */
function bootGuest(program: usize, target: usize, pages: u64): u32 {
  let operations: u32 = 0;
  for (let key: u64 = 0; key < pages && atomicLoad32(SH_STOP) == 0; key++) {
    const beganNs = nowNs();
    const ret = touchPage(program, target, key, EVERY_TIME, beganNs);
    operations++;
    if ((key & 63) == 0) heartbeat();
    if (load32(program + PR_RECORDING) == 0) continue;
    opCount(program, OP_TOUCH, ret, 1);
    opLatency(program, OP_TOUCH, nowNs() - beganNs);
  }
  return operations;
}

/** The VMM closes what it has, in either order: the guest first, or the file first. */
function destroy(program: usize, target: usize, pages: u64): void {
  const kvm: usize = load32(target + TG_VM);
  const file: usize = load32(target + TG_FILE);
  const fileFirst = (drawU32(program) & 1) != 0;
  const beganNs = nowNs();
  ringBegin(OP_VM_DESTROY, target, fileFirst ? 1 : 0, 0, pages, beganNs);
  const shadow: usize = kvm == 0 ? 0 : load32(kvm + KVM_SHADOW);
  if (fileFirst && file != 0) fputFile(file);
  if (kvm != 0) sysDestroyVm(kvm);
  if (!fileFirst && file != 0) fputFile(file);
  guestShadowFree(shadow);
  store32(target + TG_VM, 0);
  store32(target + TG_FILE, 0);
  finishOp(program, OP_VM_DESTROY, 0, pages, beganNs);
}
