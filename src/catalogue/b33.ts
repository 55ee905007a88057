// B33: the flush of one root is forgotten at the next.
import { deleteSlot, punch, sharedSlot, SMALL, write, type Bug } from './bug.js';

export const B33: Bug = {
  id: 'B33',
  title: 'the flush of one root is forgotten at the next',
  source: 'a835429cda91 (fixes 1af4a96025b3)',
  invariant: 'no TLB entry maps a page that is free',
  story:
    'Two roots are unmapped one after another. The first had entries, the second none, and its result replaces "flush" by "no flush": the guest goes on through its TLB to a page that is freed.',
  fix: 'or the results together',
  variants: ['B33'],
  verdicts: ['stale-mapping', 'host-page'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    vms: { guest: { vcpus: 2, gfns: 64 } },
    // vCPU 1 keeps the old root alive; the new one has the only mapping.
    setup: [...SMALL.setup, sharedSlot(1, 32, 2, 512), write(9), write(9, 7, 1), deleteSlot(1), write(9)],
    threads: { guest: [write(9, 8)], punch: [punch(0, 2)] },
  },
};
