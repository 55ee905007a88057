// The MMIO bus: which in-kernel device answers a guest's access to a gfn without memory. Readers look the bus up inside kvm->srcu; who changes it publishes a
// copy. A new device has no grace period to wait for: the old bus goes with the next removal's. kernel: virt/kvm/kvm_main.c kvm_io_bus_register_dev(),
// kvm_io_bus_unregister_dev(), kvm_io_bus_write() (6.8, with call_srcu as 7d9a0273c459 has it).
import { EEXIST, ENOENT, ENOMEM, ENOSPC } from '../abi/errno';
import {
  BUS_COUNT, BUS_DEVICES, BUS_MAGIC, BUS_MAGIC_VALUE, BUS_RANGES, BUS_RANGE_SIZE, BUS_RETIRED_NEXT, BUS_SIZE, DEVICE_ANNOUNCED, DEVICE_MAGIC, DEVICE_MAGIC_VALUE, DEVICE_SIZE,
  DEVICE_WRITES, KVM_BUS, KVM_BUS_REMOVALS, KVM_BUS_RETIRED, KVM_ID, KVM_SLOTS_LOCK, KVM_SRCU,
} from '../abi/kvm';
import { OOPS_DEVICE_MISSED, OOPS_USE_AFTER_FREE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { V_B40, V_B41 } from '../abi/variants';
import { VCPU_BUS, VCPU_BUS_EXPECTED, VCPU_KVM } from '../abi/vcpu';
import { kfree, kzalloc } from '../heap';
import { oops } from '../oops';
import { atomicAdd32, atomicLoad32, atomicStore32, load32, load64, oraclesOn, store32, store64, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { srcuReadLock, srcuReadUnlock, synchronizeSrcuExpedited } from '../sync/srcu';

/** Address of the bus's n-th range: {gfn u64, device u32}. */
// @ts-ignore: decorator
@inline
function rangeOf(bus: usize, n: u32): usize { return bus + BUS_RANGES + <usize>n * BUS_RANGE_SIZE; }

// @ts-ignore: decorator
@inline
function rangeDevice(bus: usize, n: u32): usize { return load32(rangeOf(bus, n) + 8); }

function setRange(bus: usize, n: u32, gfn: u64, device: usize): void {
  store64(rangeOf(bus, n), gfn);
  store32(rangeOf(bus, n) + 8, <u32>device);
}

/** The device at `gfn`, 0: none. @context the bus cannot go: kvm->srcu or slots_lock. kernel: kvm_io_bus_get_first_dev(). */
function deviceAt(bus: usize, gfn: u64): usize {
  if (bus == 0) return 0;
  if (oraclesOn() && load32(bus + BUS_MAGIC) != BUS_MAGIC_VALUE) oops(ORACLE_KERNEL_BUG, OOPS_USE_AFTER_FREE, <f64>bus, <f64>BUS_MAGIC_VALUE);
  const count = load32(bus + BUS_COUNT);
  for (let n: u32 = 0; n < count; n++) {
    if (load64(rangeOf(bus, n)) == gfn) return rangeDevice(bus, n);
  }
  return 0;
}

/** A copy of a bus (0: an empty one) without `left` (0: all of it). 0 when out of memory. */
function copyBus(bus: usize, left: usize): usize {
  const copy = kzalloc(BUS_SIZE);
  if (copy == 0) return 0;
  store32(copy + BUS_MAGIC, BUS_MAGIC_VALUE);
  let count: u32 = 0;
  for (let n: u32 = 0; bus != 0 && n < load32(bus + BUS_COUNT); n++) {
    const device = rangeDevice(bus, n);
    if (device != left) setRange(copy, count++, load64(rangeOf(bus, n)), device);
  }
  store32(copy + BUS_COUNT, count);
  return copy;
}

function freeBus(bus: usize): void {
  store32(bus + BUS_MAGIC, 0);
  kfree(bus, BUS_SIZE);
}

function destroyDevice(device: usize): void {
  store32(device + DEVICE_MAGIC, 0);
  kfree(device, DEVICE_SIZE);
}

/**
 * Puts a device at `gfn`: whoever knows that this call has returned finds it there. 0, -EEXIST, -ENOSPC, -ENOMEM.
 * @context sleeps; takes slots_lock. kernel: kvm_io_bus_register_dev().
 */
export function kvmIoBusRegisterDev(kvm: usize, gfn: u64): i32 {
  mutexLock(kvm + KVM_SLOTS_LOCK);
  const bus: usize = load32(kvm + KVM_BUS);
  let ret = deviceAt(bus, gfn) != 0 ? -EEXIST : bus != 0 && load32(bus + BUS_COUNT) >= <u32>BUS_DEVICES ? -ENOSPC : 0;
  const device = ret == 0 ? kzalloc(DEVICE_SIZE) : 0;
  const next = device != 0 ? copyBus(bus, 0) : 0;
  if (ret == 0 && next == 0) {
    kfree(device, DEVICE_SIZE);
    ret = -ENOMEM;
  }
  if (ret == 0) {
    store32(device + DEVICE_MAGIC, DEVICE_MAGIC_VALUE);
    const count = load32(next + BUS_COUNT);
    setRange(next, count, gfn, device);
    store32(next + BUS_COUNT, count + 1);
    atomicStore32(kvm + KVM_BUS, <u32>next);
    if (bus != 0) {
      store32(bus + BUS_RETIRED_NEXT, load32(kvm + KVM_BUS_RETIRED));
      store32(kvm + KVM_BUS_RETIRED, <u32>bus);
    }
  }
  mutexUnlock(kvm + KVM_SLOTS_LOCK);
  // The call has returned: from now on a guest may have heard of the device.
  if (ret == 0) atomicStore32(device + DEVICE_ANNOUNCED, 1);
  return ret;
}

/** @context slots_lock, a grace period has passed since the last of them was published. */
function freeRetired(kvm: usize): void {
  let bus: usize = load32(kvm + KVM_BUS_RETIRED);
  store32(kvm + KVM_BUS_RETIRED, 0);
  while (bus != 0) {
    const next = load32(bus + BUS_RETIRED_NEXT);
    freeBus(bus);
    bus = next;
  }
}

/** Destroys the devices of a bus but one. */
function destroyOthers(bus: usize, device: usize): void {
  for (let n: u32 = 0; n < load32(bus + BUS_COUNT); n++) {
    const other = rangeDevice(bus, n);
    if (other != device) destroyDevice(other);
  }
}

/**
 * Takes the device at `gfn` away. Without memory for the new bus (`noMemory` says so) all devices go, and the bus with them. 0, -ENOENT, -ENOMEM.
 * @context sleeps; takes slots_lock, waits for the readers of kvm->srcu. kernel: kvm_io_bus_unregister_dev().
 */
export function kvmIoBusUnregisterDev(kvm: usize, gfn: u64, noMemory: bool): i32 {
  mutexLock(kvm + KVM_SLOTS_LOCK);
  const bus: usize = load32(kvm + KVM_BUS);
  const device = deviceAt(bus, gfn);
  if (device == 0) {
    mutexUnlock(kvm + KVM_SLOTS_LOCK);
    return -ENOENT;
  }
  atomicAdd32(kvm + KVM_BUS_REMOVALS, 1);
  const next: usize = noMemory ? 0 : copyBus(bus, device);
  // V_B40: the other devices go while readers may still be inside the old bus.
  if (next == 0 && variant(V_B40)) destroyOthers(bus, device);
  atomicStore32(kvm + KVM_BUS, <u32>next);
  synchronizeSrcuExpedited(kvm + KVM_SRCU);
  if (next == 0 && !variant(V_B40)) destroyOthers(bus, device);
  destroyDevice(device);
  freeRetired(kvm);
  freeBus(bus);
  atomicAdd32(kvm + KVM_BUS_REMOVALS, 1);
  mutexUnlock(kvm + KVM_SLOTS_LOCK);
  return next == 0 ? -ENOMEM : 0;
}

/** @context the VM is being destroyed, nobody runs in it. kernel: kvm_io_bus_destroy(). */
export function kvmIoBusDestroy(kvm: usize): void {
  const bus: usize = load32(kvm + KVM_BUS);
  store32(kvm + KVM_BUS, 0);
  freeRetired(kvm);
  if (bus == 0) return;
  destroyOthers(bus, 0);
  freeBus(bus);
}

/**
 * A vCPU of a VM with devices is about to run the instruction that touches `gfn`: notes whether it can know of a device there.
 * @context vcpu->mutex, before the access; takes kvm->srcu. Builds with variants only.
 */
export function kvmIoBusNote(vcpu: usize, gfn: u64): void {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  // V_B41: the bus as it was before the guest ran, kept in a register across the exit.
  if (variant(V_B41)) store32(vcpu + VCPU_BUS, atomicLoad32(kvm + KVM_BUS));
  const removals = atomicLoad32(kvm + KVM_BUS_REMOVALS);
  const idx = srcuReadLock(kvm + KVM_SRCU);
  const device = deviceAt(atomicLoad32(kvm + KVM_BUS), gfn);
  const announced = device != 0 && atomicLoad32(device + DEVICE_ANNOUNCED) != 0;
  srcuReadUnlock(kvm + KVM_SRCU, idx);
  store32(vcpu + VCPU_BUS_EXPECTED, announced && (removals & 1) == 0 ? removals + 1 : 0);
}

/**
 * The exit of an access to a gfn without memory: true when a device of the kernel has answered, else it is user space's.
 * @context vcpu->mutex, outside guest mode; takes kvm->srcu. kernel: kvm_io_bus_write() by vcpu_mmio_write().
 */
export function kvmIoBusAccess(vcpu: usize, gfn: u64): bool {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const idx = srcuReadLock(kvm + KVM_SRCU);
  // Read here and not earlier: the guest may have run, and heard of a device, since any earlier look.
  const bus: usize = variant(V_B41) ? load32(vcpu + VCPU_BUS) : atomicLoad32(kvm + KVM_BUS);
  const device = deviceAt(bus, gfn);
  if (device != 0) {
    atomicAdd32(device + DEVICE_WRITES, 1);
    const magic = load32(device + DEVICE_MAGIC);
    if (oraclesOn() && magic != DEVICE_MAGIC_VALUE) oops(ORACLE_KERNEL_BUG, OOPS_USE_AFTER_FREE, <f64>device, <f64>DEVICE_MAGIC_VALUE);
  }
  srcuReadUnlock(kvm + KVM_SRCU, idx);
  const expected = load32(vcpu + VCPU_BUS_EXPECTED);
  if (device == 0 && expected != 0 && oraclesOn() && expected == atomicLoad32(kvm + KVM_BUS_REMOVALS) + 1) {
    oops(ORACLE_KERNEL_BUG, OOPS_DEVICE_MISSED, load32(kvm + KVM_ID), <f64>gfn);
  }
  return device != 0;
}
