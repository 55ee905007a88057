// B09: a page that the hook cannot reset is freed all the same.
import { FIRST_PFN, punch, SMALL, write, type Bug } from './bug.js';

export const B09: Bug = {
  id: 'B09',
  title: 'a page that the hook cannot reset is freed all the same',
  source: 'sev_invalidate_private_range() of RFC v8: a failure of snp_make_page_shared() is logged, nothing more',
  invariant: "a page on the host's free list is not assigned in the RMP",
  story:
    'RMPUPDATE refuses, because the entry is immutable while firmware works on the page. The hook goes on, and the hole punch frees a page that still belongs to the guest.',
  fix: 'put the page on the leak list: it is never given out again',
  variants: ['B09'],
  verdicts: ['host-page'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9), { op: 'firmware-page', vm: 'guest', gfn: 9, pfn: FIRST_PFN }],
    threads: { punch: [punch(1, 1)] },
  },
};
