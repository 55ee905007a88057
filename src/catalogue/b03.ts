// B03: the lock is dropped between invalidate_start and invalidate_end.
import { allocate, punch, slot, SMALL, type Bug } from './bug.js';

export const B03: Bug = {
  id: 'B03',
  title: 'the lock is dropped between invalidate_start and invalidate_end',
  source: 'review of the restrictedmem series (v10): the lock has to cover the whole hole punch',
  invariant: 'begin and end balance: mmu_invalidate_in_progress never falls below 0',
  story:
    'A hole punch lets go of the lock after the start callbacks. A memslot is bound over the range meanwhile; the end callbacks then reach a notifier that had no start.',
  fix: 'hold the lock for read from before the first start to after the last end; bind and unbind take it for write',
  variants: ['B03'],
  verdicts: ['balance', 'callback'],
  strategy: 'random',
  scenario: {
    ...SMALL,
    setup: [allocate(0, 2)],
    threads: { punch: [punch(0, 2)], bind: [slot(0, 8, 4)] },
  },
};
