// Misuse of memslots, of memory attributes and of encrypted regions.
import {
  CALL_ARGS,
  CALL_CODE,
  CALL_REGISTER_REGION,
  CALL_SIZE,
  CALL_UNREGISTER_REGION,
} from '#src/kernel/abi/calls.js';
import * as kvm from '#src/kernel/abi/kvm.js';
import { PROTOCOL_GUEST_MEMFD, TASK_PROGRAM } from '#src/kernel/abi/layout.js';
import * as codes from '#src/kernel/abi/oops.js';
import { PB_FAIL_CHANCE } from '#src/kernel/abi/perturb.js';
import { V_B53 } from '#src/kernel/abi/variants.js';
import type { TestKernel } from '../../kernel/harness.js';
import { until, waitersOf } from '../../kernel/sync/support.js';
import { PAGE, type TestGuest } from '../guest.js';
import type { Plant } from './plant.js';

/** First page of the VMM in an encrypted region. */
const REGION_PAGE = 8;
/** Where a region has its magic. */
const REGION_MAGIC = 8;

const slotOf = ({ k, vm }: TestGuest): number => k.x.gfnToMemslot(vm, 0, 0n) >>> 0;
const idOf = ({ k, vm }: TestGuest): number => k.x.sysVmId(vm);

/** A list of one call, as the threads of a scenario make them. */
function callList(k: TestKernel, code: number, args: readonly number[]): number {
  const list = k.alloc(2 * CALL_SIZE);
  const view = new DataView(k.buffer, list);
  view.setUint32(CALL_CODE, code, true);
  args.forEach((value, n) => view.setFloat64(CALL_ARGS + 8 * n, value, true));
  return list;
}

function call(k: TestKernel, code: number, args: readonly number[]): void {
  k.setU32(k.x.taskAddress(0) + TASK_PROGRAM, callList(k, code, args));
  k.x.runOperations();
}

/** Has another thread reserve and wait, takes the reservation away, and lets it go on without memory. */
async function unreserve({ k, vm }: TestGuest, gfn: number): Promise<void> {
  const lock = vm + kvm.KVM_MMU_LOCK;
  k.x.writeLock(lock);
  const update = k.threads(
    1,
    (t, _, [to, first, attribute]) => t.x.sysSetMemoryAttributes(to!, first!, 512, attribute!),
    [vm, gfn, kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE],
  );
  await until(() => waitersOf(k, lock) === 1);
  k.x.xaRelease(vm + kvm.KVM_MEM_ATTR, BigInt(gfn / 512));
  k.setU32(PB_FAIL_CHANCE, 0xffffffff); // of every task but this one
  try {
    k.x.writeUnlock(lock);
  } finally {
    await update; // fails, and may have stopped the call
  }
}

/**
 * Another thread registers a region that it will not be done with flushing; this one takes it away. Puts into `met` what the other one has to report: the
 * region, and the magic that it had.
 */
async function unregisterUnderFlush({ k, vm }: TestGuest, met: number[]): Promise<void> {
  const list = callList(k, CALL_REGISTER_REGION, [vm, REGION_PAGE, 2 ** 40]);
  const registers = k.threads(
    1,
    (t, _, [calls, program]) => {
      t.setU32(t.x.taskAddress(t.taskId) + program!, calls!);
      t.x.runOperations();
    },
    [list, TASK_PROGRAM],
  );
  const head = vm + kvm.KVM_ENC_REGIONS;
  await until(() => k.u32(head) !== head);
  const region = k.u32(head);
  met.push(region, k.u32(region + REGION_MAGIC));
  try {
    call(k, CALL_UNREGISTER_REGION, [vm, REGION_PAGE]);
  } finally {
    await registers; // fails, and may have stopped the call
  }
}

export const SLOTS: readonly Plant[] = [
  {
    code: codes.OOPS_GENERATION_BUSY,
    at: 'kvm/memslots-update.ts',
    title: 'a memslot update while another is open',
    prepare(guest) {
      const { k, vm } = guest;
      const update = (id: number): number => k.x.sysSetMemslot(vm, 0, id, 0, id * 2 ** 30, PAGE, id * 2 ** 30, 0, 0);
      update(1);
      return {
        values: [idOf(guest), 0],
        make() {
          k.setU32(k.x.kvmMemslots(vm, 0) + kvm.SLOTS_GENERATION + 4, 2 ** 31);
          update(2);
        },
      };
    },
  },
  {
    code: codes.OOPS_ATTRIBUTE_STORE,
    at: 'kvm/attributes.ts',
    title: 'an attribute whose reservation is gone, and no memory for another',
    prepare(guest) {
      const { k, vm } = guest;
      const gfn = 700 * 512; // its entry is alone in its node
      k.x.sysSetMemoryAttributes(vm, gfn, 512, kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE);
      k.x.sysSetMemoryAttributes(vm, gfn, 512, 0);
      // A slot there has the update wait for mmu_lock between the reservation and the store.
      k.x.sysSetMemslot(vm, 0, 1, 0, gfn * PAGE, 512 * PAGE, 0x7f8000000000, 0, 0);
      return { values: [idOf(guest), gfn], make: () => unreserve(guest, gfn) };
    },
  },
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: 'kvm/guest-memfd.ts',
    title: 'a guest_memfd that is released while a freed slot is bound to it',
    options: { protocol: PROTOCOL_GUEST_MEMFD },
    prepare(guest) {
      const { k } = guest;
      const slot = slotOf(guest);
      return {
        values: [slot, kvm.SLOT_MAGIC_VALUE],
        make() {
          k.setU32(slot + kvm.SLOT_MAGIC, kvm.SLOT_MAGIC_FREED);
          k.x.sysFilePut(guest.file);
        },
      };
    },
  },
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: 'snp/regions.ts',
    title: 'B53: a region that is unregistered while its pages are still being flushed',
    options: { variants: [V_B53] },
    prepare(guest) {
      call(guest.k, CALL_REGISTER_REGION, [guest.vm, REGION_PAGE, 2]);
      call(guest.k, CALL_UNREGISTER_REGION, [guest.vm, REGION_PAGE]);
      const values: number[] = [];
      return { values, make: () => unregisterUnderFlush(guest, values) };
    },
  },
];
