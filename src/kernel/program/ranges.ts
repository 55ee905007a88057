// Range actors: hole punching, allocation, conversion, discarding of shared memory, and memory failures.
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_PROCESS } from '../abi/kvm';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../abi/mm';
import { ENOENT } from '../abi/errno';
import { NO_PFN, PAGE_SHIFT } from '../abi/layout';
import {
  OP_ALLOCATE, OP_DISCARD, OP_MEMORY_FAILURE, OP_PUNCH_HOLE, OP_TO_PRIVATE, OP_TO_SHARED, TG_FILE, TG_FIRST_OFFSET, TG_HVA,
  TG_START_GFN, TG_VM,
} from '../abi/program';
import { load32, load64 } from '../point';
import { ringBegin, stackPop, stackPush } from '../task';
import { kvmSetMemoryAttributes } from '../kvm/attributes';
import { processDiscard } from '../kvm/process';
import { kvmDiscardShared } from '../kvm/shared';
import { putPage } from '../mm/page';
import { restrictedmemErrorPage, restrictedmemFallocate } from '../mm/restrictedmem';
import { restrictedmemFindPage } from '../mm/restrictedmem';
import { drawKey, drawRange, drawTarget } from './keys';
import { finishOp } from './finish';
import { drawU32 } from './random';

/** Punches a hole under the guest: what a balloon or a teardown does. */
export function invalidateStep(program: usize, startNs: f64): u32 {
  return fallocateStep(program, startNs, OP_PUNCH_HOLE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

/** Allocates a range ahead of the guest. */
export function populateStep(program: usize, startNs: f64): u32 {
  return fallocateStep(program, startNs, OP_ALLOCATE, FALLOC_FL_KEEP_SIZE);
}

function fallocateStep(program: usize, startNs: f64, op: u32, mode: i32): u32 {
  const target = drawTarget(program);
  const keyp = stackPush(8);
  const pages = drawRange(program, target, keyp);
  const key = load64(keyp);
  stackPop(8);
  const offset = load64(target + TG_FIRST_OFFSET) + key;
  ringBegin(op, target, 0, key, pages, startNs);
  const ret = restrictedmemFallocate(load32(target + TG_FILE), mode, <i64>(offset << PAGE_SHIFT), <i64>(pages << PAGE_SHIFT));
  finishOp(program, op, ret, pages, startNs);
  return 1;
}

/** Converts a range to private or back to shared, as a guest's page-state changes make the VMM do. */
export function convertStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const keyp = stackPush(8);
  const pages = drawRange(program, target, keyp);
  const key = load64(keyp);
  stackPop(8);
  const gfn = load64(target + TG_START_GFN) + key;
  const toPrivate = (drawU32(program) & 1) != 0;
  const op: u32 = toPrivate ? OP_TO_PRIVATE : OP_TO_SHARED;
  ringBegin(op, target, 0, key, pages, startNs);
  const ret = kvmSetMemoryAttributes(load32(target + TG_VM), gfn, gfn + pages, toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
  finishOp(program, op, ret, pages, startNs);
  return 1;
}

/** Gives shared memory back through the primary MMU: range_start, the pages go, range_end. */
export function discardStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const keyp = stackPush(8);
  const pages = drawRange(program, target, keyp);
  const key = load64(keyp);
  stackPop(8);
  const hva = load64(target + TG_HVA) + (key << PAGE_SHIFT);
  ringBegin(OP_DISCARD, target, 0, key, pages, startNs);
  const kvm: usize = load32(target + TG_VM);
  const process: usize = load32(kvm + KVM_PROCESS);
  const freed = process != 0 ? processDiscard(process, hva >> PAGE_SHIFT, pages) : kvmDiscardShared(kvm, hva, hva + (pages << PAGE_SHIFT));
  const ret = min<i32>(freed, 0);
  finishOp(program, OP_DISCARD, ret, pages, startNs);
  return 1;
}

/** Reports a hardware memory error on a page of the guest, if the drawn offset has one. */
export function memoryFailureStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const key = drawKey(program, target);
  const offset = load64(target + TG_FIRST_OFFSET) + key;
  ringBegin(OP_MEMORY_FAILURE, target, 0, key, 1, startNs);
  const pfn = restrictedmemFindPage(load32(target + TG_FILE), offset);
  let ret: i32 = -ENOENT;
  if (pfn != <u32>NO_PFN) {
    ret = restrictedmemErrorPage(pfn);
    putPage(pfn);
  }
  finishOp(program, OP_MEMORY_FAILURE, ret, 1, startNs);
  return 1;
}
