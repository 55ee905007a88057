// What makes a vCPU leave its guest besides its memory: interrupts of other CPUs, and VMGEXITs with page state changes.
import {
  GHCB_EXIT_CODE, GHCB_PSC_ENTRIES, GHCB_PSC_HEADER, PSC_END_SHIFT, PSC_GFN_SHIFT, PSC_MAX_ENTRIES, PSC_OP_PRIVATE, PSC_OP_SHARED, PSC_OP_SHIFT, SVM_VMGEXIT_PSC,
} from '../abi/kvm';
import { OP_INTERRUPT, OP_PAGE_STATE, TG_START_GFN, TG_VCPU } from '../abi/program';
import { svmDeliverInterrupt } from '../kvm/avic';
import { guestWriteGhcb, vcpuVmgexit } from '../kvm/ghcb';
import { load32, load64 } from '../point';
import { ringBegin, stackPop, stackPush } from '../task';
import { finishOp } from './finish';
import { drawRange, drawTarget } from './keys';
import { drawBelow, drawU32 } from './random';

const VECTORS: u32 = 256;

/** An interrupt for one of the vCPUs. -ENOENT: the guest has no interrupt controller in the kernel. */
export function interruptStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const vector = drawBelow(program, VECTORS);
  ringBegin(OP_INTERRUPT, target, vector, 0, 0, startNs);
  finishOp(program, OP_INTERRUPT, svmDeliverInterrupt(load32(target + TG_VCPU), vector), 0, startNs);
  return 1;
}

/** The guest asks for a range to be private or shared: one VMGEXIT with an entry for each page, which the host hands to user space one by one. */
export function pageStateStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const vcpu: usize = load32(target + TG_VCPU);
  const keyp = stackPush(8);
  const pages = <u32>min<u64>(drawRange(program, target, keyp), PSC_MAX_ENTRIES);
  const key = load64(keyp);
  stackPop(8);
  const op: u64 = (drawU32(program) & 1) != 0 ? PSC_OP_PRIVATE : PSC_OP_SHARED;
  ringBegin(OP_PAGE_STATE, target, <u32>op, key, pages, startNs);
  let ret = guestWriteGhcb(vcpu, GHCB_EXIT_CODE, <u64><u32>SVM_VMGEXIT_PSC);
  for (let n: u32 = 0; n < pages && ret == 0; n++) {
    ret = guestWriteGhcb(vcpu, GHCB_PSC_ENTRIES + n * 8, (load64(target + TG_START_GFN) + key + <u64>n) << PSC_GFN_SHIFT | op << PSC_OP_SHIFT);
  }
  if (ret == 0) ret = guestWriteGhcb(vcpu, GHCB_PSC_HEADER, <u64>(pages - 1) << PSC_END_SHIFT);
  if (ret == 0) ret = vcpuVmgexit(vcpu);
  finishOp(program, OP_PAGE_STATE, ret, pages, startNs);
  return 1;
}
