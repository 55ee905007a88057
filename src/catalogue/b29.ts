// B29: a fault maps into a root that a memslot update has thrown away.
import { deleteSlot, sharedSlot, SMALL, write, type Bug } from './bug.js';

export const B29: Bug = {
  id: 'B29',
  title: 'a fault maps into a root that a memslot update has thrown away',
  source: 'a955cad84cda ("KVM: x86/mmu: Retry page fault if root is invalidated by memslot update")',
  invariant: 'a root stays empty once it was torn down',
  story:
    "A fault has its vCPU's root. An update of another memslot makes all roots obsolete and tears them down; nothing of that concerns the gfn of the fault, so the sequence number lets it pass, and it maps into a dead tree.",
  fix: 'a fault is stale, too, when its root is',
  variants: ['B29'],
  verdicts: ['stale-mapping'],
  strategy: 'surw',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, sharedSlot(1, 32, 2, 512)],
    threads: { fault: [write(9)], update: [deleteSlot(1)] },
  },
};
