// The calls of user space and of the host harness: i32/u32/f64 only, so that JavaScript needs no bigint. Object handles are kernel
// addresses; results above 0xfffff000 are negative errno.
import { PAGE_SHIFT, TASK_FANOUT } from './abi/layout';
import { ENOMEM } from './abi/errno';
import {
  KVM_ASID, KVM_HOME, KVM_ID, KVM_TYPE_NORMAL, KVM_TYPE_SNP, REGION_ARG_SIZE, REGION_FLAGS, REGION_GPA, REGION_MEMORY_SIZE, REGION_RESTRICTED_FD,
  REGION_RESTRICTED_OFFSET, REGION_SLOT, REGION_USERSPACE_ADDR,
} from './abi/kvm';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from './abi/mm';
import { VCPU_VALUE } from './abi/vcpu';
import { vcpuAccess } from './kvm/access';
import { kvmSetMemoryAttributes } from './kvm/attributes';
import { kvmGmemCreate } from './kvm/guest-memfd';
import { kvmSetMemoryRegion } from './kvm/memslots';
import { tdpLookup } from './kvm/tdp';
import { vcpuCreate } from './kvm/vcpu';
import { createVm, destroyVm } from './kvm/vm';
import { compoundHead, getPageUnlessZero, putPage } from './mm/page';
import {
  fputFile, memfdRestricted, restrictedmemErrorPage, restrictedmemFallocate, restrictedmemSetattr, restrictedmemPages,
} from './mm/restrictedmem';
import { guestShadowInit } from './oracle/guest';
import { current, load32, store32, store64 } from './point';
import { rcuUserEnter, rcuUserExit } from './sync/rcu';
import { stackPop, stackPush } from './task';

/** memfd_restricted(2) with the model's placement policy. Returns the file or -errno. */
export function sysCreateFile(interleave: i32, homePartition: i32, huge: i32): i32 {
  return memfdRestricted(0, interleave, homePartition, huge);
}

/** KVM_CREATE_GUEST_MEMFD, with the model's placement policy. Returns the file or -errno. */
export function sysCreateGuestMemfd(kvm: usize, bytes: f64, flags: i32, interleave: i32, homePartition: i32, huge: i32): i32 {
  return kvmGmemCreate(kvm, <i64>bytes, <u32>flags, interleave, homePartition, huge);
}

/** ftruncate(2). 0, or an error of restrictedmemSetattr. */
export function sysFileSetSize(file: usize, bytes: f64): i32 {
  return restrictedmemSetattr(file, <u64>bytes);
}

/** fallocate(2): `mode` FALLOC_FL_*, `offset` and `length` in bytes. 0, or an error of restrictedmemFallocate. @context may sleep. */
export function sysFileFallocate(file: usize, mode: i32, offset: f64, length: f64): i32 {
  rcuUserExit();
  const ret = restrictedmemFallocate(file, mode, <i64>offset, <i64>length);
  rcuUserEnter();
  return ret;
}

/** A hole punch whose hook and freeing are spread over the home workers, when the range is large and homes serve. */
export function sysPunchHoleFanout(file: usize, offset: f64, length: f64): i32 {
  store32(current + TASK_FANOUT, 1);
  const ret = restrictedmemFallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, <i64>offset, <i64>length);
  store32(current + TASK_FANOUT, 0);
  return ret;
}

/** close(2) of a descriptor: the last one frees the file and its pages. @context sleeps. */
export function sysFilePut(file: usize): void { fputFile(file); }
/** Pages the file holds. */
export function sysFilePages(file: usize): f64 { return <f64>restrictedmemPages(file); }

/** KVM_CREATE_VM (with KVM_SNP_INIT when `snp`). asid 0: the next free one. Returns the VM or -errno. */
export function sysCreateVm(snp: i32, asid: i32, homePartition: i32): i32 {
  const errorp = stackPush(8);
  const kvm = createVm(snp != 0 ? KVM_TYPE_SNP : KVM_TYPE_NORMAL, <u32>asid, errorp);
  const error = <i32>load32(errorp);
  stackPop(8);
  if (kvm == 0) return error;
  store32(kvm + KVM_HOME, <u32>homePartition);
  return <i32>kvm;
}

/** close(2) of the VM's descriptor: frees it and what is its own; a file that it has bound is only unbound. @context sleeps. */
export function sysDestroyVm(kvm: usize): void { destroyVm(kvm); }
/** Number of the VM in its shard, as reports name it. */
export function sysVmId(kvm: usize): i32 { return <i32>load32(kvm + KVM_ID); }

/** ASID of an SNP guest, 0 of others and when it is gone. */
export function sysVmAsid(kvm: usize): i32 { return <i32>load32(kvm + KVM_ASID); }

/** KVM_SET_USER_MEMORY_REGION; size 0 deletes. */
export function setMemslot(
  kvm: usize, asId: u32, id: u32, flags: u32, gpa: u64, size: u64, hva: u64, file: usize, offset: u64,
): i32 {
  const region = stackPush(REGION_ARG_SIZE);
  store32(region + REGION_SLOT, id | asId << 16);
  store32(region + REGION_FLAGS, flags);
  store64(region + REGION_GPA, gpa);
  store64(region + REGION_MEMORY_SIZE, size);
  store64(region + REGION_USERSPACE_ADDR, hva);
  store64(region + REGION_RESTRICTED_OFFSET, offset);
  store32(region + REGION_RESTRICTED_FD, <u32>file);
  const ret = kvmSetMemoryRegion(kvm, region);
  stackPop(REGION_ARG_SIZE);
  return ret;
}

/** setMemslot of addresses and sizes in bytes as doubles. */
export function sysSetMemslot(
  kvm: usize, asId: u32, id: u32, flags: u32, gpa: f64, size: f64, hva: f64, file: usize, offset: f64,
): i32 {
  return setMemslot(kvm, asId, id, flags, <u64>gpa, <u64>size, <u64>hva, file, <u64>offset);
}

/** KVM_SET_MEMORY_ATTRIBUTES on gfns [start, start + count). */
export function sysSetMemoryAttributes(kvm: usize, startGfn: f64, pageCount: f64, attributes: i32): i32 {
  return kvmSetMemoryAttributes(kvm, <u64>startGfn, <u64>startGfn + <u64>pageCount, <u32>attributes);
}

/** KVM_CREATE_VCPU. Returns the vCPU or -errno. @context sleeps. */
export function sysCreateVcpu(kvm: usize): i32 { return <i32>vcpuCreate(kvm); }

/** One guest access (KVM_RUN until it is done): flags 1 write, 2 private. Returns 0 or why the vCPU left to user space. */
export function sysTouch(vcpu: usize, gfn: f64, flags: i32, value: u32): i32 {
  rcuUserExit();
  const ret = vcpuAccess(vcpu, <u64>gfn, <u32>flags, value);
  rcuUserEnter();
  return ret;
}

/** What the vCPU's last access read. @context the caller is the one that ran it. */
export function sysVcpuValue(vcpu: usize): u32 { return load32(vcpu + VCPU_VALUE); }

/** memory_failure(): a hardware error on a page. -ENOENT-like results as the page's owner reports them. */
export function sysMemoryFailure(pfn: u32): i32 {
  // A page of a folio is held by the folio's first one; when the folio is split meanwhile, the page has a count of its own.
  let head = compoundHead(pfn);
  if (!getPageUnlessZero(head)) return 0;
  while (compoundHead(pfn) != head) {
    putPage(head);
    head = compoundHead(pfn);
    if (!getPageUnlessZero(head)) return 0;
  }
  const ret = restrictedmemErrorPage(pfn);
  putPage(head);
  return ret;
}

/** PFN that the page tables map at `gfn`, -1 when none. */
export function sysGfnToPfn(kvm: usize, gfn: f64): f64 {
  const spte = tdpLookup(kvm, <u64>gfn);
  return (spte & 1) == 0 ? -1 : <f64>((spte & 0x000ffffffffff000) >> PAGE_SHIFT);
}

/** Allocates the guest-data oracle's tables for gfns [0, gfnCount). */
export function sysGuestShadow(kvm: usize, gfnCount: f64): i32 {
  return guestShadowInit(kvm, <u64>gfnCount) ? 0 : -ENOMEM;
}

