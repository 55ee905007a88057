// The main function of a scenario's thread: makes the calls of its list, one after another. Arguments as in abi/calls.ts.
import {
  CALL_AP_CREATE, CALL_AP_DESTROY, CALL_ARGS, CALL_CACHE_GFN, CALL_CODE, CALL_CREATE_VCPU, CALL_DESTROY_VM, CALL_DEVICE_WORK, CALL_DISCARD_SHARED, CALL_FALLOCATE, CALL_FAULT_FILE,
  CALL_FIRMWARE_PAGE, CALL_GET_FILE, CALL_GHCB_WRITE, CALL_HOST_WRITE, CALL_INTERRUPT, CALL_LAUNCH_FINISH, CALL_LAUNCH_UPDATE, CALL_LOCK_READ, CALL_LOCK_WRITE, CALL_MEMORY_FAILURE,
  CALL_MARK_IN_USE, CALL_OWN_SLOT, CALL_PROCESS_DISCARD, CALL_PROCESS_EXIT, CALL_PROCESS_RECLAIM, CALL_PSMASH, CALL_PUT_FILE, CALL_PVALIDATE, CALL_REAP_SHARED,
  CALL_REGISTER_DEVICE, CALL_REGISTER_REGION, CALL_RMP_ENTRY, CALL_RMPUPDATE, CALL_RESULT, CALL_SET_ATTRIBUTES, CALL_SET_FILE_SIZE, CALL_SET_MEMSLOT, CALL_SHADOW_ROOT, CALL_SIZE, CALL_TOUCH,
  CALL_UNREGISTER_DEVICE, CALL_UNREGISTER_REGION, CALL_VMGEXIT, CALL_WRITE_CACHED, CALL_WRITE_USER, CALL_XA_LOAD, CALL_XA_STORE,
} from '../abi/calls';
import { LC_XA_LOCK } from '../abi/classes';
import { PG_LEVEL_2M } from '../abi/snp';
import { PAGE_SHIFT, TASK_PROGRAM } from '../abi/layout';
import { KVM_ASID } from '../abi/kvm';
import { FILE_INODE, INODE_I_MAPPING } from '../abi/mm';
import { OOPS_XA_INTERNAL, ORACLE_KERNEL_BUG } from '../abi/oops';
import { ACCESS_PRIVATE, ACCESS_WRITE, VCPU_KVM, VCPU_VALUE } from '../abi/vcpu';
import { kzalloc } from '../heap';
import { vcpuAccess } from '../kvm/access';
import { snpApCreate, snpApDestroy } from '../kvm/ap';
import { svmDeliverInterrupt } from '../kvm/avic';
import { guestWriteGhcb, vcpuVmgexit } from '../kvm/ghcb';
import { kvmIoBusRegisterDev, kvmIoBusUnregisterDev } from '../kvm/bus';
import { kvmSetOwnSlot, processDiscard, processExit } from '../kvm/process';
import { processReclaim } from '../kvm/swap';
import { kvmDeviceWork, kvmReapShared } from '../kvm/reap';
import { kvmFirstShadowRoot } from '../kvm/shadow-root';
import { gmemFaultUserMapping, snpLaunchUpdatePage } from '../kvm/gmem-populate';
import { kvmGpcActivate, kvmGpcWrite } from '../kvm/pfncache';
import { lockedRead, lockedWrite } from './locks';
import { hostWritePfn, hostWriteUser, kvmDiscardShared } from '../kvm/shared';
import { vmIoctlCreateVcpu } from '../kvm/vcpu';
import { vcpuPvalidate } from '../kvm/validate';
import { current, load32, loadF64, loadStatic32, store32 } from '../point';
import { fgetFile } from '../mm/restrictedmem-file';
import { xaInit, xaIsValue, xaLoad, xaMkValue, xaStoreRange, XARRAY_SIZE } from '../mm/xarray';
import { oops } from '../oops';
import { rmpMarkInUse } from '../snp/firmware';
import { rmpMakePrivate, snpRmptablePsmash } from '../snp/helpers';
import { rmpupdateInsn } from '../snp/instructions';
import { snpLaunchFinish } from '../snp/launch';
import { sevRegisterRegion, sevUnregisterRegion } from '../snp/regions';
import { rmpLevel, rmpOwnerAsid, RMP_PAGESIZE_2M, rmpSetRaw, rmpState } from '../snp/rmp';
import { guestRead, guestTag } from '../oracle/guest';
import { lockdepHeldNothing } from '../sync/lockdep';
import {
  setMemslot, sysDestroyVm, sysFileFallocate, sysFilePut, sysFileSetSize, sysMemoryFailure, sysSetMemoryAttributes,
} from '../syscall';

const PAGE_BYTES: f64 = 4096;
/** The bits of a token below its guest's tag. */
const VALUE_MASK: u32 = 0xfffff;
/** Bytes of an address_space that nobody uses. */
const EMPTY_MAPPING: usize = 16;

// @ts-ignore: decorator
@inline
function arg(call: usize, n: usize): f64 {
  return loadF64(call + CALL_ARGS + n * 8);
}

/** Makes the calls of the task's list. @context a scenario's thread, holding nothing; lists lie in TASK_PROGRAM. */
export function runOperations(): void {
  for (let call: usize = loadStatic32(current + TASK_PROGRAM); load32(call + CALL_CODE) != 0; call += CALL_SIZE) {
    store32(call + CALL_RESULT, <u32>make(call, load32(call + CALL_CODE)));
    lockdepHeldNothing();
  }
}

function make(call: usize, code: u32): i32 {
  const object = <usize>arg(call, 0);
  if (code == CALL_TOUCH) return touch(object, <u64>arg(call, 1), <u32>arg(call, 2), <u32>arg(call, 3));
  if (code == CALL_FALLOCATE) return sysFileFallocate(object, <i32>arg(call, 1), arg(call, 2) * PAGE_BYTES, arg(call, 3) * PAGE_BYTES);
  if (code == CALL_SET_MEMSLOT) return memslot(call);
  if (code == CALL_SET_ATTRIBUTES) return sysSetMemoryAttributes(object, arg(call, 1), arg(call, 2), <i32>arg(call, 3));
  if (code == CALL_MEMORY_FAILURE) return sysMemoryFailure(<u32>object);
  if (code == CALL_DISCARD_SHARED) {
    const start = <u64>arg(call, 1);
    return kvmDiscardShared(object, start << PAGE_SHIFT, (start + <u64>arg(call, 2)) << PAGE_SHIFT);
  }
  if (code == CALL_CREATE_VCPU) return <i32>vmIoctlCreateVcpu(object, arg(call, 1) != 0);
  if (code == CALL_SET_FILE_SIZE) return sysFileSetSize(object, arg(call, 1) * PAGE_BYTES);
  if (code == CALL_PSMASH) return snpRmptablePsmash(<u32>object);
  if (code == CALL_HOST_WRITE) return hostWritePfn(<u32>object);
  if (code == CALL_PVALIDATE) return vcpuPvalidate(object, <u64>arg(call, 1), arg(call, 2) != 0);
  if (code == CALL_INTERRUPT) return svmDeliverInterrupt(object, <u32>arg(call, 1));
  if (code == CALL_LAUNCH_FINISH) return snpLaunchFinish(object);
  if (code == CALL_GHCB_WRITE) return guestWriteGhcb(object, <u32>arg(call, 1), <u64>arg(call, 2));
  if (code == CALL_VMGEXIT) return vcpuVmgexit(object);
  if (code == CALL_LAUNCH_UPDATE) return snpLaunchUpdatePage(object, <u64>arg(call, 1), <u64>arg(call, 2));
  if (code == CALL_FAULT_FILE) return gmemFaultUserMapping(object, <usize>arg(call, 1), <u64>arg(call, 2));
  if (code == CALL_CACHE_GFN) return kvmGpcActivate(object, <u64>arg(call, 1));
  if (code == CALL_WRITE_USER) return hostWriteUser(object, <u64>arg(call, 1) << PAGE_SHIFT, <u32>arg(call, 2));
  if (code == CALL_WRITE_CACHED) return kvmGpcWrite(object, <u32>arg(call, 1));
  if (code == CALL_FIRMWARE_PAGE) return firmwarePage(object, <u64>arg(call, 1), <u32>arg(call, 2));
  if (code == CALL_GET_FILE) fgetFile(object);
  if (code == CALL_PUT_FILE) sysFilePut(object);
  if (code == CALL_DESTROY_VM) sysDestroyVm(object);
  return makeOther(call, object, code);
}

/** Calls that only scenarios make: parts of KVM beside its memory. */
function makeOther(call: usize, object: usize, code: u32): i32 {
  if (code == CALL_REGISTER_DEVICE) return kvmIoBusRegisterDev(object, <u64>arg(call, 1));
  if (code == CALL_UNREGISTER_DEVICE) return kvmIoBusUnregisterDev(object, <u64>arg(call, 1), arg(call, 2) != 0);
  if (code == CALL_REGISTER_REGION) return sevRegisterRegion(object, <u64>arg(call, 1), <u64>arg(call, 2));
  if (code == CALL_UNREGISTER_REGION) return sevUnregisterRegion(object, <u64>arg(call, 1));
  if (code == CALL_DEVICE_WORK) kvmDeviceWork(object);
  if (code == CALL_REAP_SHARED) return kvmReapShared(object, <u64>arg(call, 1), <u64>arg(call, 2));
  if (code == CALL_OWN_SLOT) return kvmSetOwnSlot(object, <u64>arg(call, 1), <u64>arg(call, 2), 1);
  if (code == CALL_PROCESS_DISCARD) return processDiscard(object, <u64>arg(call, 1), <u64>arg(call, 2));
  if (code == CALL_PROCESS_RECLAIM) return processReclaim(object, <u64>arg(call, 1), <u64>arg(call, 2));
  if (code == CALL_PROCESS_EXIT) processExit(object);
  if (code == CALL_SHADOW_ROOT) return kvmFirstShadowRoot(object);
  if (code == CALL_XA_STORE) return xaStoreRange(object, <u64>arg(call, 1), <u64>arg(call, 2), arg(call, 3) == 0 ? 0 : xaMkValue(<u32>arg(call, 3)));
  if (code == CALL_XA_LOAD) return loadChecked(object, <u64>arg(call, 1));
  if (code == CALL_RMPUPDATE) return rmpupdateOnce(<u32>object, <i32>arg(call, 1), <usize>arg(call, 2), <u64>arg(call, 3));
  if (code == CALL_RMP_ENTRY) return rmpSetRaw(<u32>object, <u64>arg(call, 1) | <u64>arg(call, 2) << 32, <u64>arg(call, 3));
  if (code == CALL_LOCK_WRITE) return lockedWrite(object, <u32>arg(call, 1));
  if (code == CALL_LOCK_READ) return lockedRead(object);
  if (code == CALL_AP_CREATE) return snpApCreate(object, <u64>arg(call, 1));
  if (code == CALL_AP_DESTROY) return snpApDestroy(object);
  // A VMRUN of whoever has the page.
  if (code == CALL_MARK_IN_USE) return rmpMarkInUse(<u32>object, rmpOwnerAsid(<u32>object));
  return 0;
}

/** RMPUPDATE as the hardware executes it, without the kernel's retries: the code that a log has. No guest: the page goes back to the hypervisor. */
function rmpupdateOnce(pfn: u32, level: i32, kvm: usize, gfn: u64): i32 {
  if (kvm == 0) return rmpupdateInsn(pfn, level == PG_LEVEL_2M ? RMP_PAGESIZE_2M : 0, false);
  return rmpupdateInsn(pfn, rmpState(gfn << PAGE_SHIFT, level, load32(kvm + KVM_ASID), false), false);
}

/** A look-up gives what somebody stored, or nothing. */
function loadChecked(xa: usize, index: u64): i32 {
  const entry = xaLoad(xa, index);
  if (entry != 0 && !xaIsValue(entry)) oops(ORACLE_KERNEL_BUG, OOPS_XA_INTERNAL, <f64>entry, <f64>index);
  return 0;
}

/** An empty XArray for a scenario, 0 when out of memory. */
export function createXarray(): usize {
  const xa = kzalloc(XARRAY_SIZE);
  if (xa != 0) xaInit(xa, LC_XA_LOCK);
  return xa;
}

/**
 * A guest access under the guest-data oracle: what a private write stores carries the tag of its guest and gfn, and a private read may only meet that
 * tag or 0. Which write was the last one is not checked: the threads of a scenario may share vCPUs and gfns.
 */
function touch(vcpu: usize, gfn: u64, flags: u32, value: u32): i32 {
  const isPrivate = (flags & ACCESS_PRIVATE) != 0;
  const write = (flags & ACCESS_WRITE) != 0;
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const ret = vcpuAccess(vcpu, gfn, flags, isPrivate && write ? guestTag(kvm, gfn) | (value & VALUE_MASK) : value);
  if (ret == 0 && isPrivate && !write) guestRead(kvm, gfn, load32(vcpu + VCPU_VALUE), 0, false);
  return ret;
}

/** The page is the firmware's to change for a while, as in SNP_LAUNCH_UPDATE: no RMPUPDATE of the host gets through. */
function firmwarePage(kvm: usize, gfn: u64, pfn: u32): i32 {
  return rmpMakePrivate(pfn, gfn << PAGE_SHIFT, rmpLevel(pfn), load32(kvm + KVM_ASID), true);
}

/** Gives the file's inode a mapping of its own, as a stacked file system does: `inode->i_mapping` is not `file->f_mapping` then. */
export function stackFile(file: usize): void {
  store32(<usize>load32(file + FILE_INODE) + INODE_I_MAPPING, <u32>kzalloc(EMPTY_MAPPING));
}

/** KVM_SET_USER_MEMORY_REGION of address space 0, with every length in pages. */
function memslot(call: usize): i32 {
  return setMemslot(
    <usize>arg(call, 0), 0, <u32>arg(call, 1), <u32>arg(call, 2), <u64>arg(call, 3) << PAGE_SHIFT, <u64>arg(call, 4) << PAGE_SHIFT,
    <u64>arg(call, 5) << PAGE_SHIFT, <usize>arg(call, 6), <u64>arg(call, 7) << PAGE_SHIFT,
  );
}
