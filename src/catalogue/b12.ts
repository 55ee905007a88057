// B12: of two ranges of an invalidation only the second is remembered.
import { setPrivate, setShared, slot, SMALL, write, type Bug } from './bug.js';

export const B12: Bug = {
  id: 'B12',
  title: 'of two ranges of an invalidation only the second is remembered',
  source:
    'kvm_mmu_invalidate_range_add() of the tree: its condition is in_progress == 1; later kernels test for an invalid start',
  invariant: 'the tracked range covers every range that is being invalidated',
  story:
    'One update of the attributes covers two memslots: one begin, two ranges. Only the second is remembered, so a fault in the first slot is let through with what it knew before.',
  fix: 'the union of both',
  variants: ['B12'],
  verdicts: ['balance', 'stale-mapping'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [slot(0, 8, 2), slot(1, 10, 2, 2)],
    threads: { convert: [setPrivate(8, 4), setShared(8, 4)], fault: [write(8)] },
  },
};
