// B08: an attribute update makes pages private again under an open invalidation.
import { allocate, punch, setPrivate, slot, SMALL, type Bug } from './bug.js';

export const B08: Bug = {
  id: 'B08',
  title: 'an attribute update makes pages private again under an open invalidation',
  source:
    'the patch calls the hook behind srcu_read_unlock and outside mmu_lock; sev_update_mem_attr() of patch 48/56 does not look at mmu_invalidate_in_progress',
  invariant: "a page on the host's free list is not assigned in the RMP",
  story:
    'A hole punch has zapped the page and its hook has taken it out of the RMP. Before the page is freed an update of the memory attributes assigns it to the guest once more. Faults are kept out by the raised count; this path does not look at it.',
  fix: 'assign under mmu_lock and only when no invalidation is open over the gfn (here); upstream resets the RMP when the folio is freed',
  variants: ['B08'],
  verdicts: ['host-page'],
  strategy: 'weighted',
  scenario: {
    ...SMALL,
    setup: [slot(0, 8, 4), allocate(0, 2)],
    threads: { convert: [setPrivate(8, 2)], punch: [punch(0, 2)] },
  },
};
