// The vCPU actor: a guest that reads and writes its memory, checked by the guest-data oracle.
import {
  OP_PVALIDATE, OP_TOUCH, PR_RECORDING, PR_VALIDATE_FRACTION, PR_WRITE_FRACTION, TG_START_GFN, TG_VCPU, TG_VCPU_COUNT, TG_VCPU_INDEX, TG_VM,
} from '../abi/program';
import { ACCESS_PRIVATE, ACCESS_WRITE, VCPU_VALUE } from '../abi/vcpu';
import { vcpuAccess } from '../kvm/access';
import { kvmMemIsPrivate } from '../kvm/attributes';
import { vcpuPvalidate } from '../kvm/validate';
import { guestEpoch, guestRead, guestTag, guestWrote } from '../oracle/guest';
import { load32, load64, nowNs, oraclesOn } from '../point';
import { lockdepHeldNothing } from '../sync/lockdep';
import { ringBegin, ringEnd } from '../task';
import { batchOf } from './budget';
import { finishOp } from './finish';
import { drawKey, drawTarget } from './keys';
import { opCount, opLatency, opService } from './opstat';
import { drawU32 } from './random';

/** One batch of touches of one area; the first of each batch is timed (reading the clock costs more than a TLB hit). */
export function vcpuStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const recording = load32(program + PR_RECORDING) != 0;
  const batch = batchOf(program);
  for (let n: u32 = 0; n < batch; n++) {
    const key = drawKey(program, target);
    if (load32(program + PR_VALIDATE_FRACTION) != 0 && validated(program, target, key)) continue;
    const ret = touchPage(program, target, key, load32(program + PR_WRITE_FRACTION), startNs);
    if (recording) opCount(program, OP_TOUCH, ret, 1);
    if (n == 0) {
      const endNs = nowNs();
      if (recording) {
        opLatency(program, OP_TOUCH, endNs - startNs);
        opService(program, OP_TOUCH, startNs, endNs);
      }
    }
  }
  lockdepHeldNothing();
  return batch;
}

/** A PVALIDATE instead of the touch, by the profile's share: the guest accepts the page, or takes its acceptance back. */
function validated(program: usize, target: usize, key: u64): bool {
  if (drawU32(program) >= load32(program + PR_VALIDATE_FRACTION)) return false;
  const gfn = load64(target + TG_START_GFN) + key;
  if (!kvmMemIsPrivate(load32(target + TG_VM), gfn)) return false;
  const beganNs = nowNs();
  ringBegin(OP_PVALIDATE, target, 0, key, 1, beganNs);
  finishOp(program, OP_PVALIDATE, vcpuPvalidate(load32(target + TG_VCPU), gfn, (drawU32(program) & 1) != 0), 1, beganNs);
  return true;
}

/** Page `key` of the target is written with a chance of `writeShare` in 2^32, else read. Returns what KVM_RUN did. */
export function touchPage(program: usize, target: usize, key: u64, writeShare: u32, startNs: f64): i32 {
  const kvm: usize = load32(target + TG_VM);
  const vcpu: usize = load32(target + TG_VCPU);
  const gfn = load64(target + TG_START_GFN) + key;
  const isPrivate = kvmMemIsPrivate(kvm, gfn);
  const owner = gfn % load32(target + TG_VCPU_COUNT) == load32(target + TG_VCPU_INDEX);
  // Private pages are written by their owner only, so that the oracle knows the last write.
  const write = drawU32(program) < writeShare && (owner || !isPrivate);
  const flags = (write ? ACCESS_WRITE : 0) | (isPrivate ? ACCESS_PRIVATE : 0);
  const checked = oraclesOn() && isPrivate;
  const epoch = checked ? guestEpoch(kvm, gfn) : 0;
  const token = write ? guestTag(kvm, gfn) | (drawU32(program) & 0xfffff) : 0;
  ringBegin(OP_TOUCH, target, flags, key, 1, startNs);
  const ret = vcpuAccess(vcpu, gfn, flags, token);
  ringEnd(ret);
  if (checked && ret == 0) {
    if (write) guestWrote(kvm, gfn, token, epoch);
    else guestRead(kvm, gfn, load32(vcpu + VCPU_VALUE), epoch, owner);
  }
  return ret;
}
