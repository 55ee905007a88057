// What the host does with the memory of a VMM beside the guest: it writes there, also astray; swaps it out; takes it from a process that is to die; writes through a cached
// translation; registers it as encrypted.
import { EFAULT, ENOENT } from '../abi/errno';
import { KVM_GPC, KVM_PROCESS } from '../abi/kvm';
import { NO_PFN, PAGE_SHIFT } from '../abi/layout';
import {
  OP_CACHED_WRITE, OP_FILE_FAULT, OP_HOST_WRITE, OP_HOST_WRITE_PRIVATE, OP_REAP, OP_RECLAIM, OP_REGION_REGISTER, OP_REGION_UNREGISTER, PR_PRIVATE_FRACTION, TG_FILE,
  TG_FIRST_OFFSET, TG_HVA, TG_START_GFN, TG_VM,
} from '../abi/program';
import { gmemFaultUserMapping } from '../kvm/gmem-populate';
import { kvmGpcActivate, kvmGpcWrite } from '../kvm/pfncache';
import { kvmReapShared } from '../kvm/reap';
import { hostTryWrite, hostWriteUser } from '../kvm/shared';
import { processReclaim } from '../kvm/swap';
import { putPage } from '../mm/page';
import { restrictedmemFindPage } from '../mm/restrictedmem';
import { guestMemfd } from '../mm/restrictedmem-file';
import { load32, load64, nowNs } from '../point';
import { sevRegisterRegion, sevUnregisterRegion } from '../snp/regions';
import { ringBegin, stackPop, stackPush } from '../task';
import { finishOp } from './finish';
import { drawKey, drawRange, drawTarget } from './keys';
import { drawU32 } from './random';

/** Page of the VMM's address space behind page `key` of the target. */
// @ts-ignore: decorator
@inline
function userPage(target: usize, key: u64): u64 { return (load64(target + TG_HVA) >> PAGE_SHIFT) + key; }

/** The VMM writes to its own memory, which the RMP must let through; or, by the profile's share, somebody writes to what may be the guest's. */
export function hostWriteStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const key = drawKey(program, target);
  if (load32(target + TG_FILE) != 0 && drawU32(program) < load32(program + PR_PRIVATE_FRACTION)) return astray(program, target, key, startNs);
  ringBegin(OP_HOST_WRITE, target, 0, key, 1, startNs);
  finishOp(program, OP_HOST_WRITE, hostWriteUser(load32(target + TG_VM), userPage(target, key) << PAGE_SHIFT, drawU32(program)), 1, startNs);
  return 1;
}

/** Through the VMM's own mapping of a guest_memfd, where there are such; otherwise through the direct map. -ENOENT: the file has no page there. */
function astray(program: usize, target: usize, key: u64, startNs: f64): u32 {
  const file: usize = load32(target + TG_FILE);
  const offset = load64(target + TG_FIRST_OFFSET) + key;
  if (guestMemfd()) {
    ringBegin(OP_FILE_FAULT, target, 0, key, 1, startNs);
    finishOp(program, OP_FILE_FAULT, gmemFaultUserMapping(load32(target + TG_VM), file, offset), 1, startNs);
    return 1;
  }
  ringBegin(OP_HOST_WRITE_PRIVATE, target, 0, key, 1, startNs);
  const pfn = restrictedmemFindPage(file, offset);
  let ret: i32 = -ENOENT;
  if (pfn != <u32>NO_PFN) {
    ret = hostTryWrite(pfn);
    putPage(pfn);
  }
  finishOp(program, OP_HOST_WRITE_PRIVATE, ret, 1, startNs);
  return 1;
}

/** The host swaps a range out; pages that somebody uses stay. -ENOENT: the guest's VMM is no process of its own. */
export function reclaimStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const process: usize = load32(<usize>load32(target + TG_VM) + KVM_PROCESS);
  const keyp = stackPush(8);
  const pages = drawRange(program, target, keyp);
  const key = load64(keyp);
  stackPop(8);
  ringBegin(OP_RECLAIM, target, 0, key, pages, startNs);
  const freed = process == 0 ? -ENOENT : processReclaim(process, userPage(target, key), pages);
  finishOp(program, OP_RECLAIM, min<i32>(freed, 0), pages, startNs);
  return 1;
}

/** Takes a range away as the reaper of a process that is out of memory does. -EAGAIN: a notifier would have to sleep. */
export function reapStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const keyp = stackPush(8);
  const pages = drawRange(program, target, keyp);
  const key = load64(keyp);
  stackPop(8);
  ringBegin(OP_REAP, target, 0, key, pages, startNs);
  finishOp(program, OP_REAP, min<i32>(kvmReapShared(load32(target + TG_VM), userPage(target, key), pages), 0), pages, startNs);
  return 1;
}

/** The kernel writes to a page that the guest has named, as for steal time. The first thread points the guest's cache at it. -EFAULT: no memslot is there now. */
export function cachedWriteStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const kvm: usize = load32(target + TG_VM);
  const key = drawKey(program, target);
  ringBegin(OP_CACHED_WRITE, target, 0, key, 1, startNs);
  if (load32(kvm + KVM_GPC) == 0) kvmGpcActivate(kvm, load64(target + TG_START_GFN) + key);
  finishOp(program, OP_CACHED_WRITE, load32(kvm + KVM_GPC) == 0 ? -EFAULT : kvmGpcWrite(kvm, drawU32(program)), 1, startNs);
  return 1;
}

/** Registers a range as encrypted memory, and takes that back. Returns the operations done. */
export function regionStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const kvm: usize = load32(target + TG_VM);
  const keyp = stackPush(8);
  const pages = drawRange(program, target, keyp);
  const key = load64(keyp);
  stackPop(8);
  ringBegin(OP_REGION_REGISTER, target, 0, key, pages, startNs);
  const ret = sevRegisterRegion(kvm, userPage(target, key), pages);
  finishOp(program, OP_REGION_REGISTER, ret, pages, startNs);
  if (ret != 0) return 1;
  const beganNs = nowNs();
  ringBegin(OP_REGION_UNREGISTER, target, 0, key, pages, beganNs);
  finishOp(program, OP_REGION_UNREGISTER, sevUnregisterRegion(kvm, userPage(target, key)), pages, beganNs);
  return 2;
}
