// B14: the direct map is restored although the page was assigned.
import { FIRST_PFN, SMALL, write, type Bug } from './bug.js';

export const B14: Bug = {
  id: 'B14',
  title: 'the direct map is restored although the page was assigned',
  source:
    'reply of 1 March 2023 to RFC v8, patch 15/56: the cleanup label of invalidate_direct_map() is reached on success',
  invariant: 'a host write meets no RMP violation',
  story:
    "Assigning a page prepares the host's own mapping of its region. The path of success runs into the cleanup and gives the host its 2M mapping back: a write to a neighbour of the page goes through it and faults.",
  fix: 'undo only what failed; upstream no longer unmaps, and does not put 2M entries together again',
  variants: ['B14'],
  verdicts: ['host-page'],
  strategy: 'delays',
  scenario: {
    ...SMALL,
    threads: { fault: [write(9)], host: [{ op: 'host-write', pfn: FIRST_PFN + 32 }] },
  },
};
