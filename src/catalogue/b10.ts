// B10: a second binding of a page overwrites the first.
import { punch, slot, SMALL, write, type Bug } from './bug.js';

export const B10: Bug = {
  id: 'B10',
  title: 'a second binding of a page overwrites the first',
  source: "restrictedmem_bind() with its check made a warning, for QEMU's SMRAM alias over low memory",
  invariant: 'a slot finds itself at every offset that it has bound',
  story:
    "A memslot is bound to pages that another one has. What is stored takes the place of a multi-index entry, all of it: a hole punch in the first slot tells the second one only, and the first one's mappings stay.",
  fix: 'refuse with -EINVAL, as upstream does: private memory has one place in a guest',
  variants: ['B10'],
  verdicts: ['callback', 'stale-mapping', 'host-page', 'balance'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(8)],
    threads: { alias: [slot(3, 40, 1, 1)], punch: [punch(0, 1)] },
  },
};
