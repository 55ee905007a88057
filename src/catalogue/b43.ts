// B43: an entry that the fast page fault may change is cleared by a plain store.
import type { Bug } from './bug.js';

export const B43: Bug = {
  id: 'B43',
  title: 'a dirty bit is lost between the fast page fault and a plain store',
  source: 'Documentation/virt/kvm/locking.rst, "Dirty bit tracking" (with the lock-free fast page fault, 3.5)',
  invariant: 'what a guest has written is there when it reads again',
  story:
    'A page was read from swap and is mapped read-only, so that its first write is logged. The host reclaims it: the entry is read, the page is clean. Now the guest writes. The fast page fault makes the entry writable and dirty without mmu_lock, the write is done. Then the entry is cleared by a plain store over all that. Nobody knows of the write: swap has the page already, it is dropped, and the guest finds the old contents.',
  fix: 'exchange entries that others may change without the lock, and look at what was there',
  remark:
    'The other half of the number, an entry that comes back with another meaning, cannot happen here: a gfn keeps its entry.',
  variants: ['B43'],
  verdicts: ['expectation'],
  strategy: 'delays',
  scenario: {
    vms: { guest: { vcpus: 1, process: true, gfns: 64 } },
    setup: [
      { op: 'set-slot', vm: 'guest', slot: 0, gfn: 8, pages: 4, hva: 512, flags: 1 },
      { op: 'touch', vm: 'guest', gfn: 9, private: false, write: true, value: 7 },
      { op: 'reclaim', vm: 'guest', hva: 513, pages: 1 },
      { op: 'touch', vm: 'guest', gfn: 9, private: false },
    ],
    threads: {
      reclaim: [{ op: 'reclaim', vm: 'guest', hva: 513, pages: 1 }],
      guest: [{ op: 'touch', vm: 'guest', gfn: 9, private: false, write: true, value: 8 }],
    },
    expect: [{ vm: 'guest', hva: 513, value: 8 }],
  },
};
