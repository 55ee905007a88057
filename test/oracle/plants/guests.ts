// Misuse of the invalidation protocol and its callbacks, and what the access of a guest meets.
import * as kvm from '#src/kernel/abi/kvm.js';
import * as codes from '#src/kernel/abi/oops.js';
import { PG_LEVEL_4K } from '#src/kernel/abi/snp.js';
import { ROOT_TABLE, VCPU_ROOT } from '#src/kernel/abi/vcpu.js';
import { bindSlot, punch, runGuest, touch, WRITE, type TestGuest } from '../guest.js';
import type { Mistake, Plant } from './plant.js';

const INVALIDATE = 'kvm/invalidate.ts';
const CALLBACKS = 'kvm/restrictedmem_kvm.ts';
const BUS = 'kvm/bus.ts';
/** A gfn without memory, where a device is. */
const DEVICE_GFN = 5000;

const slotOf = ({ k, vm }: TestGuest): number => k.x.gfnToMemslot(vm, 0, 0n) >>> 0;
const idOf = ({ k, vm }: TestGuest): number => k.x.sysVmId(vm);

/** Inside mmu_lock, as every part of the protocol is. */
function underMmuLock({ k: { x }, vm }: TestGuest, body: () => void): void {
  x.writeLock(vm + kvm.KVM_MMU_LOCK);
  body();
  x.writeUnlock(vm + kvm.KVM_MMU_LOCK);
}

/** A whole section over gfns [10, 20). */
function section(guest: TestGuest): void {
  const { x } = guest.k;
  underMmuLock(guest, () => {
    x.kvmMmuInvalidateBegin(guest.vm);
    x.kvmMmuInvalidateRangeAdd(guest.vm, 10n, 20n);
    x.kvmMmuInvalidateEnd(guest.vm);
  });
}

/** A word is made wrong between two calls that are the same. */
function spoilBetween(
  { k }: TestGuest,
  address: number,
  value: number,
  values: readonly number[],
  call: () => unknown,
): Mistake {
  call();
  return {
    values,
    make() {
      k.setU32(address, value >>> 0);
      call();
    },
  };
}

const PROTOCOL: Plant[] = [
  {
    code: codes.OOPS_BALANCE_NEGATIVE,
    at: INVALIDATE,
    title: 'an end without a begin',
    prepare(guest) {
      section(guest);
      return {
        values: [idOf(guest), -1],
        make: () => underMmuLock(guest, () => guest.k.x.kvmMmuInvalidateEnd(guest.vm)),
      };
    },
  },
  {
    code: codes.OOPS_END_WITHOUT_RANGE,
    at: INVALIDATE,
    title: 'a section that ends without a range',
    prepare(guest) {
      const { x } = guest.k;
      section(guest);
      return {
        values: [idOf(guest)],
        make: () =>
          underMmuLock(guest, () => {
            x.kvmMmuInvalidateBegin(guest.vm);
            x.kvmMmuInvalidateEnd(guest.vm);
          }),
      };
    },
  },
  {
    code: codes.OOPS_RANGE_WITHOUT_BEGIN,
    at: INVALIDATE,
    title: 'a range outside of a section',
    prepare(guest) {
      section(guest);
      return {
        values: [idOf(guest), 10, 20],
        make: () => underMmuLock(guest, () => guest.k.x.kvmMmuInvalidateRangeAdd(guest.vm, 10n, 20n)),
      };
    },
  },
  {
    code: codes.OOPS_CALLBACK_UNBALANCED,
    at: CALLBACKS,
    title: 'a begin whose end never came, when the slot is unbound',
    prepare(guest) {
      const { x } = guest.k;
      punch(guest, 5, 1);
      const begins = guest.k.u32(slotOf(guest) + kvm.SLOT_BEGINS);
      return {
        values: [idOf(guest), 0, begins + 2, begins + 1], // the unbind is a section, too
        make() {
          x.kvmRestrictedmemInvalidateBegin(slotOf(guest), 5n, 6n);
          bindSlot(guest, 0);
        },
      };
    },
  },
  {
    code: codes.OOPS_CALLBACK_UNBOUND_SLOT,
    at: CALLBACKS,
    title: 'a callback on a slot that is not bound',
    prepare: (guest) =>
      spoilBetween(guest, slotOf(guest) + kvm.SLOT_BOUND, 0, [idOf(guest), 0], () => punch(guest, 5, 1)),
  },
  {
    code: codes.OOPS_CALLBACK_INVALID_SLOT,
    at: CALLBACKS,
    title: 'a callback on a slot that is being deleted',
    prepare(guest) {
      const flags = kvm.KVM_MEM_PRIVATE | kvm.KVM_MEMSLOT_INVALID;
      return spoilBetween(guest, slotOf(guest) + kvm.SLOT_FLAGS, flags, [idOf(guest), 0], () => punch(guest, 5, 1));
    },
  },
  {
    code: codes.OOPS_CALLBACK_FREED_SLOT,
    at: CALLBACKS,
    title: 'a callback on a slot whose VM is gone',
    prepare: (guest) => spoilBetween(guest, guest.vm + kvm.KVM_MAGIC, 0, [guest.vm, 0], () => punch(guest, 5, 1)),
  },
];

const ACCESSES: Plant[] = [
  {
    code: codes.OOPS_FAULT_LOOP,
    at: 'kvm/access.ts',
    title: 'a shared page that is assigned: each write faults again, and no fault can cure it',
    prepare(guest) {
      const { x } = guest.k;
      x.sysSetMemoryAttributes(guest.vm, 9, 1, 0);
      x.sysTouch(guest.vcpu, 9, 0, 0); // read only: no write has been let through yet
      const sequence = Number(guest.k.u64(guest.vm + kvm.KVM_INVALIDATE_SEQ));
      return {
        values: [idOf(guest), 9, sequence],
        make() {
          x.rmpMakePrivate(x.sysGfnToPfn(guest.vm, 9), 9n << 12n, PG_LEVEL_4K, x.sysVmAsid(guest.vm), 0);
          x.sysTouch(guest.vcpu, 9, WRITE, 7);
        },
      };
    },
  },
  {
    code: codes.OOPS_DEAD_ROOT,
    at: 'kvm/tdp-root.ts',
    title: 'a mapping in a root that was torn down, when its last vCPU lets go of it',
    prepare(guest) {
      const { k, vcpu } = guest;
      bindSlot(guest, 0);
      bindSlot(guest);
      touch(guest, 1);
      bindSlot(guest, 0);
      const table = k.u32(k.u32(vcpu + VCPU_ROOT) + ROOT_TABLE);
      return {
        values: [idOf(guest), 3 * 2 ** 27],
        make() {
          k.setU64(table + 3 * 8, 1n);
          touch(guest, 1);
        },
      };
    },
  },
  {
    code: codes.OOPS_GUEST_LOST_WRITE,
    at: 'oracle/guest.ts',
    title: 'a page that has lost what the guest last wrote to it',
    prepare(guest) {
      const { k, vm } = guest;
      runGuest(guest, 1);
      runGuest(guest, 0);
      const pfn = k.x.sysGfnToPfn(vm, 9);
      return {
        values: [idOf(guest), 9, 0, k.x.pageContent(pfn) >>> 0],
        make() {
          k.x.setPageContent(pfn, 0);
          runGuest(guest, 0);
        },
      };
    },
  },
];

const DEVICES: Plant[] = [
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: BUS,
    title: 'a bus that is gone',
    prepare(guest) {
      const { k, vm, vcpu } = guest;
      k.x.kvmIoBusRegisterDev(vm, BigInt(DEVICE_GFN));
      const bus = k.u32(vm + kvm.KVM_BUS);
      const call = (): number => k.x.sysTouch(vcpu, DEVICE_GFN, WRITE, 7);
      return spoilBetween(guest, bus + kvm.BUS_MAGIC, 0, [bus, kvm.BUS_MAGIC_VALUE], call);
    },
  },
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: BUS,
    title: 'a device that is gone',
    prepare(guest) {
      const { k, vm, vcpu } = guest;
      k.x.kvmIoBusRegisterDev(vm, BigInt(DEVICE_GFN));
      const device = k.u32(k.u32(vm + kvm.KVM_BUS) + kvm.BUS_RANGES + 8);
      const call = (): number => k.x.sysTouch(vcpu, DEVICE_GFN, WRITE, 7);
      return spoilBetween(guest, device + kvm.DEVICE_MAGIC, 0, [device, kvm.DEVICE_MAGIC_VALUE], call);
    },
  },
];

export const GUESTS: readonly Plant[] = [...PROTOCOL, ...ACCESSES, ...DEVICES];
