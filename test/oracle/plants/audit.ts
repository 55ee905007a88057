// What the audit looks for, once each: the state is made wrong by hand, at the one place that a check compares with another.
import { LC_USER } from '#src/kernel/abi/classes.js';
import * as kvm from '#src/kernel/abi/kvm.js';
import { NO_PFN, SH_PARTITIONS, TASK_PCP } from '#src/kernel/abi/layout.js';
import { FALLOC_FL_KEEP_SIZE, PCP_ALLOCATED, ZONE_BUMP_NEXT, ZONE_FREE_PAGES } from '#src/kernel/abi/mm.js';
import * as codes from '#src/kernel/abi/oops.js';
import { PG_LEVEL_2M, PG_LEVEL_4K, RMP_HI, RMP_LO_COUNT, RMP_USE_LOCK } from '#src/kernel/abi/snp.js';
import { V_B15 } from '#src/kernel/abi/variants.js';
import { ROOT_TABLE, VCPU_ROOT } from '#src/kernel/abi/vcpu.js';
import { bindSlot, createGuest, PAGE, touch, type TestGuest } from '../guest.js';
import type { Mistake, Plant } from './plant.js';

const AUDIT = 'oracle/audit.ts';
const BINDINGS = 'oracle/bindings.ts';

/** Neither a reference nor a bit of the RMP: the last page of the region that the guest's pages come from. */
const FREE_PFN = 1023;
/** RMP_USE_LOCK, in the upper half of the word. */
const LOCK_HIGH = 1 << (RMP_USE_LOCK - 32);
/** No VM has it. */
const DEAD_ASID = 77;

const pfnAt = ({ k, vm }: TestGuest, gfn: number): number => k.x.sysGfnToPfn(vm, gfn);
const slotOf = ({ k, vm }: TestGuest): number => k.x.gfnToMemslot(vm, 0, 0n) >>> 0;
const asidOf = ({ k, vm }: TestGuest): number => k.x.sysVmAsid(vm);
const idOf = ({ k, vm }: TestGuest): number => k.x.sysVmId(vm);

/** Puts a leaf into the page tables past the fault path. */
function map({ k, vm }: TestGuest, gfn: number, pfn: number, isPrivate: 0 | 1): void {
  const table = k.u32(k.u32(vm + kvm.KVM_TDP_ROOT) + ROOT_TABLE);
  k.x.tdpMap(vm, table, BigInt(gfn), k.x.makeSpte(pfn, PG_LEVEL_4K, 1, isPrivate), PG_LEVEL_4K);
}

/** PFNs of `count` pages in a file that no guest has. */
function hostPages({ k }: TestGuest, count: number): number[] {
  const file = k.x.sysCreateFile(0, 0, 0) >>> 0;
  k.x.sysFileSetSize(file, count * PAGE);
  k.x.sysFileFallocate(file, FALLOC_FL_KEEP_SIZE, 0, count * PAGE);
  return Array.from({ length: count }, (_, offset) => {
    const pfn = k.x.restrictedmemFindPage(file, BigInt(offset)) >>> 0;
    k.x.putPage(pfn);
    return pfn;
  });
}

/** One word is another than it was. */
function spoil(guest: TestGuest, address: number, value: number, values: readonly number[]): Mistake {
  return { values, make: () => guest.k.setU32(address, value >>> 0) };
}

const RMP: Plant[] = [
  {
    code: codes.OOPS_AUDIT_ASSIGNED_FREE,
    at: AUDIT,
    title: 'a free page that is assigned',
    prepare: ({ k }) => ({
      values: [FREE_PFN, 1, 0],
      make: () => k.x.rmpMakePrivate(FREE_PFN, 0n, PG_LEVEL_4K, 0, 0),
    }),
  },
  {
    code: codes.OOPS_AUDIT_DEAD_ASID,
    at: AUDIT,
    title: 'a page that is assigned to an ASID which no guest has',
    prepare(guest) {
      const [pfn] = hostPages(guest, 1) as [number];
      return {
        values: [pfn, DEAD_ASID],
        make: () => guest.k.x.rmpMakePrivate(pfn, 0n, PG_LEVEL_4K, DEAD_ASID, 0),
      };
    },
  },
  {
    code: codes.OOPS_AUDIT_ASSIGNED_ELSEWHERE,
    at: AUDIT,
    title: 'a page that is assigned to a guest which does not have it',
    prepare(guest) {
      const [pfn] = hostPages(guest, 1) as [number];
      const asid = asidOf(guest);
      return {
        values: [pfn, asid, 9, NO_PFN],
        make: () => guest.k.x.rmpMakePrivate(pfn, 9n << 12n, PG_LEVEL_4K, asid, 0),
      };
    },
  },
  {
    code: codes.OOPS_AUDIT_COUNT_BITS,
    at: AUDIT,
    title: 'a 2M head that counts one assigned page more than there are',
    prepare(guest) {
      const { k } = guest;
      const head = pfnAt(guest, 1) & ~511;
      const assigned = k.x.rmpRegionAssigned(head);
      return {
        values: [head, assigned + 1, assigned],
        make: () => k.x.rmpUncount(k.x.rmpEntry(head), -1),
      };
    },
  },
  {
    code: codes.OOPS_AUDIT_RMP_BUSY,
    at: AUDIT,
    title: 'an RMP entry that an instruction has locked',
    prepare: (guest) => spoil(guest, guest.k.x.rmpEntry(FREE_PFN) + RMP_HI + 4, LOCK_HIGH, [FREE_PFN]),
  },
  {
    code: codes.OOPS_AUDIT_RMP_BUSY,
    at: AUDIT,
    title: 'an RMP entry that a PSMASH has not finished',
    prepare: (guest) => spoil(guest, guest.k.x.rmpEntry(FREE_PFN), 1 << RMP_LO_COUNT, [FREE_PFN]),
  },
  {
    code: codes.OOPS_AUDIT_SPTE_RMP,
    at: AUDIT,
    title: 'a private page of the page tables that the RMP gives to nobody',
    prepare(guest) {
      const pfn = pfnAt(guest, 2);
      return { values: [idOf(guest), 2, pfn, 0], make: () => guest.k.x.rmpMakeShared(pfn, PG_LEVEL_4K) };
    },
  },
];

const MAPPINGS: Plant[] = [
  {
    code: codes.OOPS_AUDIT_SPTE_FREE,
    at: AUDIT,
    title: 'a page-table entry to a free page',
    prepare: (guest) => ({ values: [idOf(guest), 9, FREE_PFN], make: () => map(guest, 9, FREE_PFN, 1) }),
  },
  {
    code: codes.OOPS_AUDIT_SPTE_NO_SLOT,
    at: AUDIT,
    title: 'a page-table entry behind the last memslot',
    prepare(guest) {
      const pfn = pfnAt(guest, 1);
      return { values: [idOf(guest), guest.pages, pfn], make: () => map(guest, guest.pages, pfn, 1) };
    },
  },
  {
    code: codes.OOPS_AUDIT_SPTE_ATTRIBUTE,
    at: AUDIT,
    title: "a private gfn that is mapped to the VMM's page",
    prepare(guest) {
      const pfn = guest.k.x.sharedGetPfn(slotOf(guest), 9n) >>> 0;
      guest.k.x.putPage(pfn);
      return { values: [idOf(guest), 9, pfn], make: () => map(guest, 9, pfn, 0) };
    },
  },
  {
    code: codes.OOPS_AUDIT_SPTE_NOT_IN_FILE,
    at: AUDIT,
    title: 'a page-table entry to a page that the file has elsewhere, of a guest without an RMP',
    prepare({ k }) {
      const guest = createGuest(k, 64, 0, 0);
      touch(guest, 1);
      const pfn = pfnAt(guest, 1);
      return { values: [idOf(guest), 9, pfn, NO_PFN], make: () => map(guest, 9, pfn, 1) };
    },
  },
  {
    code: codes.OOPS_AUDIT_TLB_STALE,
    at: AUDIT,
    title: 'a TLB entry that no page-table entry stands behind',
    prepare(guest) {
      const pfn = pfnAt(guest, 1);
      return {
        values: [idOf(guest), 0, 9, pfn, 0],
        make: () => guest.k.x.tlbFill(guest.vcpu, 9n, 1, pfn, PG_LEVEL_4K, 0n),
      };
    },
  },
  {
    code: codes.OOPS_AUDIT_TLB_STALE,
    at: AUDIT,
    title: 'a 2M TLB entry of which the page tables have the first page only',
    prepare(guest) {
      touch(guest, 512);
      const pfn = pfnAt(guest, 512);
      return {
        values: [idOf(guest), 0, 513, pfn + 1, 0],
        make: () => guest.k.x.tlbFill(guest.vcpu, 512n, 1, pfn, PG_LEVEL_2M, 0n),
      };
    },
  },
  {
    code: codes.OOPS_AUDIT_SPTE_NOT_SHARED,
    at: AUDIT,
    title: 'a shared gfn that is mapped to a page which the VMM does not have there',
    prepare(guest) {
      const [pfn] = hostPages(guest, 1) as [number];
      guest.k.x.sysSetMemoryAttributes(guest.vm, 9, 10, 0);
      return { values: [idOf(guest), 9, pfn, NO_PFN], make: () => map(guest, 9, pfn, 0) };
    },
  },
  {
    code: codes.OOPS_DEAD_ROOT,
    at: AUDIT,
    title: 'a mapping in a root that was torn down and that a vCPU still holds',
    prepare(guest) {
      const { k, vcpu } = guest;
      bindSlot(guest, 0);
      const table = k.u32(k.u32(vcpu + VCPU_ROOT) + ROOT_TABLE);
      return { values: [idOf(guest), 3 * 2 ** 27], make: () => k.setU64(table + 3 * 8, 1n) };
    },
  },
];

const PROTOCOL: Plant[] = [
  {
    code: codes.OOPS_AUDIT_BALANCE,
    at: AUDIT,
    title: 'an invalidation that is open at rest',
    prepare: (guest) => spoil(guest, guest.vm + kvm.KVM_INVALIDATE_IN_PROGRESS, 1, [idOf(guest), 1]),
  },
  {
    code: codes.OOPS_AUDIT_SEQUENCE,
    at: AUDIT,
    title: 'a sequence that has not risen once an end',
    prepare(guest) {
      const ends = guest.k.u32(guest.vm + kvm.KVM_COUNTERS + 4 * kvm.KC_ENDS);
      return spoil(guest, guest.vm + kvm.KVM_INVALIDATE_SEQ, ends + 1, [idOf(guest), ends + 1, ends]);
    },
  },
  {
    code: codes.OOPS_AUDIT_MN_ACTIVE,
    at: AUDIT,
    title: 'an mmu_notifier section that is open at rest',
    prepare: (guest) => spoil(guest, guest.vm + kvm.KVM_MN_ACTIVE, 1, [idOf(guest), 1]),
  },
  {
    code: codes.OOPS_AUDIT_CALLBACKS,
    at: BINDINGS,
    title: 'a slot that was told of one begin more than of ends',
    prepare(guest) {
      const slot = slotOf(guest);
      const ends = guest.k.u32(slot + kvm.SLOT_ENDS);
      return spoil(guest, slot + kvm.SLOT_BEGINS, ends + 1, [idOf(guest), 0, ends + 1, ends]);
    },
  },
  {
    code: codes.OOPS_AUDIT_BINDING,
    at: BINDINGS,
    title: 'a page of a bound slot to which nothing is bound in the file',
    prepare(guest) {
      // Three pages of which the first is the last of an XArray node: the binding is two entries.
      const { x } = guest.k;
      const file = x.sysCreateFile(0, 0, 0) >>> 0;
      const gfn = 2 * guest.pages;
      x.sysFileSetSize(file, 128 * PAGE);
      x.sysSetMemslot(guest.vm, 0, 5, kvm.KVM_MEM_PRIVATE, gfn * PAGE, 3 * PAGE, 0x7f8000000000, file, 63 * PAGE);
      const slot = x.gfnToMemslot(guest.vm, 0, BigInt(gfn));
      return { values: [idOf(guest), 5, 63, 0], make: () => x.restrictedmemUnbind(file, 63n, 64n, slot) };
    },
  },
  {
    code: codes.OOPS_AUDIT_GENERATION,
    at: BINDINGS,
    title: 'a memslot update that is open at rest',
    prepare(guest) {
      const high = guest.k.x.kvmMemslots(guest.vm, 1) + kvm.SLOTS_GENERATION + 4;
      return spoil(guest, high, 2 ** 31, [idOf(guest), 1]);
    },
  },
  {
    code: codes.OOPS_AUDIT_SLOT_FREED,
    at: BINDINGS,
    title: 'a freed slot that is still in the set',
    prepare(guest) {
      const slot = slotOf(guest);
      return spoil(guest, slot + kvm.SLOT_MAGIC, kvm.SLOT_MAGIC_FREED, [idOf(guest), slot]);
    },
  },
];

const REST: Plant[] = [
  {
    code: codes.OOPS_AUDIT_LOCK_HELD,
    at: AUDIT,
    title: 'a lock that a task holds at rest',
    prepare({ k }) {
      const lock = k.alloc(64);
      k.x.mutexInit(lock, LC_USER);
      k.x.mutexLock(lock);
      k.x.mutexUnlock(lock);
      return { values: [0, lock, LC_USER], make: () => k.x.mutexLock(lock) };
    },
  },
  {
    code: codes.OOPS_AUDIT_ZONE,
    at: AUDIT,
    title: 'a free page with a reference',
    prepare: (guest) => spoil(guest, guest.k.x.pageAddress(FREE_PFN) >>> 0, 1, [0, FREE_PFN & ~511]),
  },
  {
    code: codes.OOPS_AUDIT_ZONE,
    at: AUDIT,
    title: 'a partition that counts a free page which none of its lists has',
    prepare({ k }) {
      const zone = k.u32(SH_PARTITIONS);
      const allocated = k.u32(k.x.taskAddress(0) + TASK_PCP) + PCP_ALLOCATED;
      return {
        values: [0, k.u32(zone + ZONE_BUMP_NEXT) << 9],
        make() {
          k.setU32(zone + ZONE_FREE_PAGES, k.u32(zone + ZONE_FREE_PAGES) + 1);
          k.setU32(allocated, k.u32(allocated) - 1); // no page is lost by it
        },
      };
    },
  },
  {
    code: codes.OOPS_AUDIT_LOST_PAGES,
    at: AUDIT,
    title: 'a page that its task has not counted as allocated',
    prepare(guest) {
      const allocated = guest.k.u32(guest.k.x.taskAddress(0) + TASK_PCP) + PCP_ALLOCATED;
      return spoil(guest, allocated, guest.k.u32(allocated) - 1, [1]);
    },
  },
  {
    code: codes.OOPS_AUDIT_LEAK_LIST,
    at: AUDIT,
    title: 'a leak list that leads back to itself (B15)',
    options: { variants: [V_B15] },
    prepare(guest) {
      const [first, second] = hostPages(guest, 2) as [number, number];
      guest.k.x.snpLeakPages(first, 1);
      return { values: [-1, 2], make: () => guest.k.x.snpLeakPages(second, 3) };
    },
  },
];

export const AUDITS: readonly Plant[] = [...RMP, ...MAPPINGS, ...PROTOCOL, ...REST];
