// B07: the hook looks pages up by a call that allocates them.
import { deleteSlot, SMALL, write, type Bug } from './bug.js';

export const B07: Bug = {
  id: 'B07',
  title: 'the hook looks pages up by a call that allocates them',
  source: 'sev_invalidate_private_range() of RFC v8, patch 50/56',
  invariant: 'unbinding does not make a file larger',
  story:
    'The hook gets every page of the range by restrictedmem_get_page(), which allocates where the file has a hole. Unbinding a sparse file leaves all of them allocated: at the end of a guest memory use rises to its full size.',
  fix: 'walk the pages that are there; upstream has its hook where folios are freed',
  variants: ['B07'],
  verdicts: ['expectation'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9)],
    threads: { unbind: [deleteSlot(0)] },
    expect: [{ file: 'memory', pages: 1 }],
  },
};
