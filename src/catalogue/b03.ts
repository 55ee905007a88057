// B03: a hole punch lets go of the lock half-way.
import { allocate, punch, slot, SMALL, type Bug } from './bug.js';

export const B03: Bug = {
  id: 'B03',
  title: 'a hole punch lets go of the lock half-way',
  source: 'review of the restrictedmem series (v10): the lock has to cover the whole hole punch',
  invariant: 'begin and end balance: mmu_invalidate_in_progress never falls below 0',
  story:
    'A hole punch lets go of the lock after the start callbacks. A memslot is bound over the range meanwhile; the end callbacks then reach a notifier that had no start.',
  fix: 'keep the lock for read over the whole of the hole punch, so that those who bind and unbind, for write, wait for its end',
  variants: ['B03'],
  verdicts: ['balance', 'callback'],
  strategy: 'random',
  scenario: {
    ...SMALL,
    setup: [allocate(0, 2)],
    threads: { punch: [punch(0, 2)], bind: [slot(0, 8, 4)] },
  },
};
