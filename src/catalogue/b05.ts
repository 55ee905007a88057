// B05: an invalidation leaves its last page mapped.
import { punch, SMALL, write, type Bug } from './bug.js';

export const B05: Bug = {
  id: 'B05',
  title: 'an invalidation leaves its last page mapped',
  source: 'restrictedmem_get_gfn_range() of the tree that the patch was made for, against its consumers',
  invariant: 'no page-table entry maps a page that is free',
  story:
    'gfn_range.end is the last gfn, and is used as if it were the one behind. Of a hole of one page nothing is zapped, nothing is flushed, and no concurrent fault is kept out; the guest goes on using a page that the host gives to somebody else.',
  fix: 'gfn_range.end = last gfn + 1',
  variants: ['B05'],
  verdicts: ['stale-mapping', 'host-page', 'one-owner'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9)],
    threads: { guest: [write(9, 8)], punch: [punch(0, 2)] },
  },
};
