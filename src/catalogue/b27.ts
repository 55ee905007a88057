// B27: a notifier leaves the list before it has forgotten its pages.
import { sharedSlot, touchShared, type Bug } from './bug.js';

export const B27: Bug = {
  id: 'B27',
  title: 'a notifier is off the list before it has forgotten its pages',
  source:
    'commits d34883d4e35c and 3ad3d901bbcf (mm: mmu_notifier: fix freed page still mapped in secondary MMU), 751efd8610d3',
  invariant: 'no page table of a guest leads to a page that was freed',
  story:
    "The VMM's process ends. KVM's notifier is taken off the list, and only then told to forget every page. In between the reaper takes memory of the same process away: there is nobody to tell, it frees the pages. KVM's page tables still map them.",
  fix: 'call ->release first and empty the list afterwards, both inside one SRCU section; whoever unregisters meanwhile does the same and waits',
  remark:
    "The other half of these commits, the owner's structure freed under a callback, is kept out by the grace period at the end of the unregistration, which the variant leaves in place.",
  variants: ['B27'],
  verdicts: ['stale-mapping'],
  strategy: 'pos',
  scenario: {
    vms: { guest: { vcpus: 1, process: true, gfns: 64 } },
    setup: [sharedSlot(0, 8, 4, 512), touchShared(9)],
    threads: {
      exit: [
        { op: 'exit-process', vm: 'guest' },
        { op: 'destroy-vm', vm: 'guest' },
      ],
      reaper: [{ op: 'discard-shared', vm: 'guest', hva: 512, pages: 4 }],
    },
  },
};
