// B55: guest_memfd with the reset where RFC v8 has it.
import { allocate, punch, SMALL, write, type Bug } from './bug.js';

export const B55: Bug = {
  id: 'B55',
  title: 'the RMP is reset as the invalidation begins',
  source: 'design of commit a90764f0e4ed (KVM: guest_memfd: Add hook for invalidating memory)',
  invariant: 'a page has no owner in the RMP when the host gets it back',
  story:
    'guest_memfd assigns a page as it gives it out, under the folio lock and without a look at the invalidation. If the reset ran at the beginning, as the hook of RFC v8 does, a fault that comes before the truncation would assign the page again, and it would be freed so. The fault itself is told to retry, too late.',
  fix: 'reset the page in free_folio: it has left the file, and the folio lock keeps faults out',
  remark: 'never merged so: the reason for the place that was chosen',
  variants: ['B55'],
  verdicts: ['host-page', 'stale-mapping'],
  strategy: 'surw',
  scenario: {
    ...SMALL,
    protocol: 'guest-memfd',
    setup: [...SMALL.setup, allocate(0, 2)],
    threads: { fault: [write(9)], punch: [punch(0, 2)] },
  },
};
