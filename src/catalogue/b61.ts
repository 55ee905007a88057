// B61: a folio's order is trusted wherever gfn and file offset lie.
import { HUGE, setPrivate, slot, write, type Bug } from './bug.js';

export const B61: Bug = {
  id: 'B61',
  title: "a folio's order is trusted wherever gfn and file offset lie",
  source: 'review of RFC v8, patch 48/56 (1 March and 5 April 2023); QEMU binds memslots at page offsets such as 0x100',
  invariant: 'a physical page has one owner, and the owner has it there',
  story:
    'The gfn is 2M aligned and the folio has 512 pages, but the memslot begins in the middle of it. A 2M assignment and mapping then cover pages of other gfns.',
  fix: 'trust the order only where gfn, page and file offset are aligned alike',
  variants: ['B61'],
  verdicts: ['one-owner', 'stale-mapping', 'guest-data', 'host-page'],
  strategy: 'any',
  scenario: {
    ...HUGE,
    setup: [slot(0, 512, 512, 256), setPrivate(512, 512)],
    threads: { fault: [write(600)] },
  },
};
