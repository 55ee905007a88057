// Every oracle fires: each case brings one mistake back by name and shows the violation that it causes, and that the same steps pass without it.
import { describe, expect, it } from 'vitest';
import * as variants from '#src/kernel/abi/variants.js';
import { readViolations } from '#src/host/oops.js';
import { bindSlot, bootHost, createGuest, punch, runGuest, touch, type TestGuest } from './guest.js';

interface Case {
  oracle: string;
  variant: number;
  title: string;
  steps(guest: TestGuest): void;
}

const CASES: Case[] = [
  {
    oracle: 'host-page',
    variant: variants.V_B01,
    title: 'B01: unbind without invalidation lets assigned pages go back to the host with the file',
    steps(guest) {
      touch(guest, 5);
      bindSlot(guest, 0);
      guest.k.x.sysFilePut(guest.file);
    },
  },
  {
    oracle: 'stale-mapping',
    variant: variants.V_PLANT_SKIP_ZAP,
    title: 'a begin that does not zap leaves a page-table entry to a free page',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
    },
  },
  {
    oracle: 'stale-mapping',
    variant: variants.V_PLANT_NO_FLUSH,
    title: 'a begin that does not flush leaves a TLB entry to a free page',
    steps(guest) {
      touch(guest, 5);
      punch(guest, 5, 1);
    },
  },
  {
    oracle: 'stale-mapping',
    variant: variants.V_B05,
    title: 'B05: an inclusive end in an exclusive field leaves the last page mapped',
    steps(guest) {
      touch(guest, 7);
      punch(guest, 4, 4);
    },
  },
  {
    oracle: 'balance',
    variant: variants.V_PLANT_LOST_END,
    title: 'a lost end leaves the invalidation open',
    steps() {
      // Making the slot private is an invalidation already: its end is the one that gets lost.
    },
  },
  {
    oracle: 'callback',
    variant: variants.V_PLANT_STALE_SLOT,
    title: 'a slot freed without unbind is called back',
    steps(guest) {
      bindSlot(guest, 0);
      punch(guest, 5, 1);
    },
  },
  {
    oracle: 'one-owner',
    variant: variants.V_PLANT_DOUBLE_ASSIGN,
    title: 'a fault that takes a page another guest frame owns',
    steps(guest) {
      for (let gfn = 0; gfn < 1024; gfn++) touch(guest, gfn);
    },
  },
  {
    oracle: 'guest-data',
    variant: variants.V_PLANT_NO_ZERO,
    title: "a page that is not cleared shows one guest's data to another",
    steps(guest) {
      runGuest(guest, 1);
      punch(guest, 0, guest.pages);
      runGuest(createGuest(guest.k), 0);
    },
  },
  {
    oracle: 'locking',
    variant: variants.V_PLANT_LOCK_ORDER,
    title: 'slots_lock inside kvm->srcu, though synchronize_srcu runs under slots_lock (B60)',
    steps(guest) {
      punch(guest, 5, 1);
    },
  },
  {
    oracle: 'locking',
    variant: variants.V_PLANT_SLEEP_ATOMIC,
    title: 'a sleeping lock taken under mmu_lock',
    steps(guest) {
      punch(guest, 5, 1);
    },
  },
  {
    oracle: 'conservation',
    variant: variants.V_PLANT_LOSE_PAGE,
    title: 'an allocator that forgets a page',
    steps(guest) {
      for (let gfn = 0; gfn < 128; gfn++) touch(guest, gfn);
      punch(guest, 0, 128);
    },
  },
  {
    oracle: 'stale-mapping',
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
    oracle: 'host-page',
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
    oracle: 'kernel-bug',
    variant: variants.V_PLANT_READ_FREED,
    title: 'a memslot that is read after it was freed',
    steps(guest) {
      bindSlot(guest, 0);
    },
  },
  {
    oracle: 'progress',
    variant: variants.V_PLANT_RETRY_FOREVER,
    title: 'a fault that is told to retry for ever although nothing changes',
    steps(guest) {
      punch(guest, 5, 1);
      touch(guest, 5);
    },
  },
];

/** Runs the steps and an audit; returns the oracles that fired. */
function fired(steps: Case['steps'], variantBits: number[]): string[] {
  const k = bootHost({ variants: variantBits });
  const guest = createGuest(k);
  try {
    steps(guest);
    k.x.sysAudit();
  } catch (error) {
    expect((error as Error).name).toBe('KernelOops');
  }
  return readViolations(k.buffer).map((violation) => violation.oracle);
}

describe.each(CASES)('$oracle: $title', ({ oracle, variant, steps }) => {
  it('is found', () => {
    expect(fired(steps, [variant])).toContain(oracle);
  });

  it('does not happen without the mistake', () => {
    expect(fired(steps, [])).toEqual([]);
  });
});
