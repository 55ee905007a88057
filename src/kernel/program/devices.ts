// Devices of a guest: one that is assigned to it and writes by DMA to memory of the VMM, and ones of the kernel that come to the MMIO bus and go while the guest uses them.
import { PAGE_SHIFT } from '../abi/layout';
import { OP_DEVICE_REGISTER, OP_DEVICE_UNREGISTER, OP_DMA_MAP, OP_DMA_UNMAP, OP_DMA_WRITE, OP_MMIO_WRITE, PR_BATCH, TG_HVA, TG_VCPU, TG_VM } from '../abi/program';
import { ACCESS_WRITE } from '../abi/vcpu';
import { vcpuAccess } from '../kvm/access';
import { kvmIoBusRegisterDev, kvmIoBusUnregisterDev } from '../kvm/bus';
import { kvmDeviceWork } from '../kvm/reap';
import { DMA_MAX_PAGES, vfioDmaMap, vfioDmaUnmap, vfioDmaWrite } from '../kvm/vfio';
import { load32, load64, nowNs } from '../point';
import { ringBegin, stackPop, stackPush } from '../task';
import { finishOp } from './finish';
import { drawRange, drawTarget } from './keys';
import { drawBelow, drawU32 } from './random';

/** Where devices are: far above all memory. */
const MMIO_GFN: u64 = 0x400000000;
const MMIO_PLACES: u32 = 4;

/** Maps a range for the device, lets it write to it, unmaps it. Returns the operations done. */
export function deviceStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const kvm: usize = load32(target + TG_VM);
  const keyp = stackPush(8);
  const pages = <u32>min<u64>(drawRange(program, target, keyp), DMA_MAX_PAGES);
  const key = load64(keyp);
  stackPop(8);
  ringBegin(OP_DMA_MAP, target, 0, key, pages, startNs);
  kvmDeviceWork(kvm);
  const dma = vfioDmaMap(kvm, (load64(target + TG_HVA) >> PAGE_SHIFT) + key, pages);
  const failed = <u32>dma >= 0xfffff000;
  finishOp(program, OP_DMA_MAP, failed ? <i32>dma : 0, pages, startNs);
  if (failed) return 1;
  const writes = load32(program + PR_BATCH);
  for (let n: u32 = 0; n < writes; n++) {
    const page = drawBelow(program, pages);
    const beganNs = nowNs();
    ringBegin(OP_DMA_WRITE, target, 0, key + <u64>page, 1, beganNs);
    vfioDmaWrite(dma, page, drawU32(program));
    finishOp(program, OP_DMA_WRITE, 0, 1, beganNs);
  }
  const beganNs = nowNs();
  ringBegin(OP_DMA_UNMAP, target, 0, key, pages, beganNs);
  vfioDmaUnmap(dma);
  finishOp(program, OP_DMA_UNMAP, 0, pages, beganNs);
  return writes + 2;
}

/** Puts a device on the bus, lets the guest write to it, takes it away. Another thread may do the same at the same place. Returns the operations done. */
export function mmioDeviceStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const kvm: usize = load32(target + TG_VM);
  const place = drawBelow(program, MMIO_PLACES);
  const gfn = MMIO_GFN + <u64>place;
  ringBegin(OP_DEVICE_REGISTER, target, 0, place, 1, startNs);
  finishOp(program, OP_DEVICE_REGISTER, kvmIoBusRegisterDev(kvm, gfn), 1, startNs);
  const writes = load32(program + PR_BATCH);
  for (let n: u32 = 0; n < writes; n++) {
    const beganNs = nowNs();
    ringBegin(OP_MMIO_WRITE, target, ACCESS_WRITE, place, 1, beganNs);
    // A write only: what a read finds lies in the vCPU, whose own thread looks for it there.
    finishOp(program, OP_MMIO_WRITE, vcpuAccess(load32(target + TG_VCPU), gfn, ACCESS_WRITE, drawU32(program)), 1, beganNs);
  }
  const beganNs = nowNs();
  ringBegin(OP_DEVICE_UNREGISTER, target, 0, place, 1, beganNs);
  finishOp(program, OP_DEVICE_UNREGISTER, kvmIoBusUnregisterDev(kvm, gfn, false), 1, beganNs);
  return writes + 2;
}
