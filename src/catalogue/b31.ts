// B31: unmapping leaves invalid roots out.
import { deleteSlot, punch, sharedSlot, SMALL, write, type Bug } from './bug.js';

export const B31: Bug = {
  id: 'B31',
  title: 'unmapping leaves invalid roots out',
  source: 'd62007edf01f ("KVM: x86/mmu: Zap _all_ roots when unmapping gfn range in TDP MMU")',
  invariant: 'no page-table entry maps a page that is free',
  story:
    'A memslot update has marked a root invalid and is about to tear it down. A hole punch visits valid roots only and frees the page. The teardown then meets an entry of a page that belongs to somebody else by now.',
  fix: 'unmap in invalid roots, too',
  variants: ['B31'],
  verdicts: ['stale-mapping'],
  strategy: 'pos',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9), sharedSlot(1, 32, 2, 512)],
    threads: { update: [deleteSlot(1)], punch: [punch(0, 2)] },
  },
};
