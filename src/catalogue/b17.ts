// B17: one large mapping over private and shared memory.
import { HUGE, setPrivate, setShared, slot, write, type Bug } from './bug.js';

export const B17: Bug = {
  id: 'B17',
  title: 'one large mapping over private and shared memory',
  source: 'report of 30 June 2022 against the private memory series: a guest died after it had shared 33 pages',
  invariant: 'what one mapping covers is all private or all shared',
  story:
    'Some pages of a 2M region become shared. A later fault beside them maps the whole region at once, the shared gfns included.',
  fix: 'remember for each 2M and 1G page whether its attributes are mixed, and map it in 4K pieces then',
  remark:
    'The report had a shared mapping swallow private pages. Here large mappings are private ones, so it is the other way round.',
  variants: ['B17'],
  verdicts: ['stale-mapping', 'one-owner'],
  strategy: 'any',
  scenario: {
    ...HUGE,
    setup: [slot(0, 512, 512), setPrivate(512, 512), setShared(530, 4)],
    threads: { fault: [write(600)] },
  },
};
