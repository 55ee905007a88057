// Mistakes that the kernel itself has as variants: named switches that bring each back at the one place where the code differs.
import * as codes from '#src/kernel/abi/oops.js';
import * as variants from '#src/kernel/abi/variants.js';
import { bindSlot, createGuest, PAGE, punch, runGuest, touch, type TestGuest } from '../guest.js';
import type { Proof } from './plant.js';

/** Steps that end in a violation with the variant, and in none without it. */
export interface VariantPlant extends Proof {
  variant: number;
  title: string;
  steps(guest: TestGuest): void;
}

const MEMORY: VariantPlant[] = [
  {
    code: codes.OOPS_FREE_ASSIGNED,
    at: 'mm/page.ts',
    variant: variants.V_B01,
    title: 'B01: unbind without invalidation lets assigned pages go back to the host with the file',
    steps(guest) {
      touch(guest, 5);
      bindSlot(guest, 0);
      guest.k.x.sysFilePut(guest.file);
    },
  },
  {
    code: codes.OOPS_STALE_DMA,
    at: 'kvm/vfio.ts',
    variant: variants.V_PLANT_UNPINNED_DMA,
    title: 'a device that writes to a page which was discarded, because it was not pinned',
    steps(guest) {
      const { x } = guest.k;
      const dma = x.vfioDmaMap(guest.vm, 5n, 1);
      x.kvmDiscardShared(guest.vm, 5n << 12n, 6n << 12n);
      x.vfioDmaWrite(dma, 0, 7);
      x.vfioDmaUnmap(dma);
    },
  },
  {
    code: codes.OOPS_HOST_WRITE_RMP,
    at: 'kvm/vfio.ts',
    variant: variants.V_PLANT_UNPINNED_DMA,
    title: "a device that writes to a page which has become a guest's, because it was not pinned",
    steps(guest) {
      const { x } = guest.k;
      const dma = x.vfioDmaMap(guest.vm, 0n, 1);
      x.kvmDiscardShared(guest.vm, 0n, 1n << 12n);
      for (let gfn = 0; gfn < 256; gfn++) touch(guest, gfn);
      x.vfioDmaWrite(dma, 0, 7);
      x.vfioDmaUnmap(dma);
    },
  },
  {
    code: codes.OOPS_DOUBLE_ASSIGN,
    at: 'snp/convert.ts',
    variant: variants.V_PLANT_DOUBLE_ASSIGN,
    title: 'a fault that takes a page another guest frame owns',
    steps(guest) {
      for (let gfn = 0; gfn < 1024; gfn++) touch(guest, gfn);
    },
  },
  {
    code: codes.OOPS_GUEST_FOREIGN_DATA,
    at: 'oracle/guest.ts',
    variant: variants.V_PLANT_NO_ZERO,
    title: "a page that is not cleared shows one guest's data to another",
    steps(guest) {
      runGuest(guest, 1);
      punch(guest, 0, guest.pages);
      runGuest(createGuest(guest.k), 0);
    },
  },
  {
    code: codes.OOPS_AUDIT_LOST_PAGES,
    at: 'oracle/audit.ts',
    variant: variants.V_PLANT_LOSE_PAGE,
    title: 'an allocator that forgets a page',
    steps(guest) {
      for (let gfn = 0; gfn < 128; gfn++) touch(guest, gfn);
      punch(guest, 0, 128);
    },
  },
  {
    code: codes.OOPS_FREED_ACCESS,
    at: 'freed.ts',
    variant: variants.V_PLANT_READ_FREED,
    title: 'a memslot that is read after it was freed',
    steps(guest) {
      bindSlot(guest, 0);
    },
  },
];

const MAPPINGS: VariantPlant[] = [
  {
    code: codes.OOPS_AUDIT_SPTE_FREE,
    at: 'oracle/audit.ts',
    variant: variants.V_PLANT_SKIP_ZAP,
    title: 'a begin that does not zap leaves a page-table entry to a free page',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
    },
  },
  {
    code: codes.OOPS_AUDIT_SPTE_FREE,
    at: 'oracle/audit.ts',
    variant: variants.V_B05,
    title: 'B05: an inclusive end in an exclusive field leaves the last page mapped',
    steps(guest) {
      touch(guest, 7);
      punch(guest, 4, 4);
    },
  },
  {
    code: codes.OOPS_LEAF_OF_FREE_PAGE,
    at: 'kvm/tdp-remove.ts',
    variant: variants.V_PLANT_SKIP_ZAP,
    title: 'a begin that does not zap, seen when the page table goes with its VM',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
      guest.k.x.sysDestroyVm(guest.vm);
    },
  },
  {
    code: codes.OOPS_SPTE_PFN_CHANGED,
    at: 'kvm/tdp-map.ts',
    variant: variants.V_PLANT_SKIP_ZAP,
    title: 'a begin that does not zap, seen when another vCPU has the next page mapped at the gfn',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
      touch(guest, 6); // takes the page that was freed
      touch({ ...guest, vcpu: guest.k.x.sysCreateVcpu(guest.vm) }, 5);
    },
  },
  {
    code: codes.OOPS_AUDIT_TLB_STALE,
    at: 'oracle/audit.ts',
    variant: variants.V_PLANT_NO_FLUSH,
    title: 'a begin that does not flush leaves a TLB entry to a free page',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
    },
  },
  {
    code: codes.OOPS_STALE_TRANSLATION,
    at: 'kvm/access.ts',
    variant: variants.V_PLANT_NO_FLUSH,
    title: 'a begin that does not flush, seen when the guest uses the translation to the free page',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
      touch(guest, 5);
    },
  },
  {
    code: codes.OOPS_STALE_OWNER,
    at: 'kvm/access.ts',
    variant: variants.V_PLANT_NO_FLUSH,
    title:
      'a begin that does not flush, seen when the guest uses the translation to a page that has become that of another gfn',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
      touch(guest, 6); // takes the page that was freed
      touch(guest, 5);
    },
  },
];

const PROTOCOL: VariantPlant[] = [
  {
    code: codes.OOPS_AUDIT_BALANCE,
    at: 'oracle/audit.ts',
    variant: variants.V_PLANT_LOST_END,
    title: 'a lost end leaves the invalidation open',
    steps() {
      // Making the slot private is an invalidation already: its end is the one that gets lost.
    },
  },
  {
    code: codes.OOPS_INVALIDATE_LEFT_OPEN,
    at: 'kvm/vm.ts',
    variant: variants.V_PLANT_LOST_END,
    title: 'a lost end, seen when the VM goes',
    steps(guest) {
      guest.k.x.sysDestroyVm(guest.vm);
    },
  },
  {
    code: codes.OOPS_RANGE_SHRANK,
    at: 'kvm/invalidate.ts',
    variant: variants.V_B12,
    title: 'B12: the second range of a section overwrites the first',
    steps({ k, vm, pages }) {
      k.x.sysSetMemslot(vm, 0, 1, 0, 2 * pages * PAGE, 4 * PAGE, 0x7f8000000000, 0, 0);
      k.x.sysSetMemoryAttributes(vm, pages - 1, pages + 5, 0); // the last page of one slot, all of the other
    },
  },
  {
    code: codes.OOPS_CALLBACK_FREED_SLOT,
    at: 'kvm/restrictedmem_kvm.ts',
    variant: variants.V_PLANT_STALE_SLOT,
    title: 'a slot freed without unbind is called back',
    steps(guest) {
      bindSlot(guest, 0);
      punch(guest, 5, 1);
    },
  },
  {
    code: codes.OOPS_HOOK_WITHOUT_ASID,
    at: 'kvm/restrictedmem_kvm.ts',
    variant: variants.V_B13,
    title: 'B13: a VM that gives its ASID back before its slots are unbound',
    steps(guest) {
      guest.k.x.sysDestroyVm(guest.vm);
    },
  },
  {
    code: codes.OOPS_LOCK_ORDER,
    at: 'sync/lockdep.ts',
    variant: variants.V_PLANT_LOCK_ORDER,
    title: 'slots_lock inside kvm->srcu, though synchronize_srcu runs under slots_lock (B60)',
    steps(guest) {
      punch(guest, 5, 1);
    },
  },
  {
    code: codes.OOPS_SLEEP_IN_ATOMIC,
    at: 'sync/lockdep.ts',
    variant: variants.V_PLANT_SLEEP_ATOMIC,
    title: 'a sleeping lock taken under mmu_lock',
    steps(guest) {
      punch(guest, 5, 1);
    },
  },
  {
    code: codes.OOPS_RETRY_FOREVER,
    at: 'kvm/access.ts',
    variant: variants.V_PLANT_RETRY_FOREVER,
    title: 'a fault that is told to retry for ever although nothing changes',
    steps(guest) {
      punch(guest, 5, 1);
      touch(guest, 5);
    },
  },
];

export const VARIANTS: readonly VariantPlant[] = [...MEMORY, ...MAPPINGS, ...PROTOCOL];
