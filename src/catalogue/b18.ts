// B18: a hole punch that punches no hole.
import { punch, SMALL, write, type Bug } from './bug.js';

export const B18: Bug = {
  id: 'B18',
  title: 'a hole punch that punches no hole',
  source: 'review of guest_memfd v12, September 2023',
  invariant: 'pages of a punched hole are gone',
  story:
    'Begin and end are called, but the line that truncates the page cache was lost in a rebase: the pages stay until the guest ends, with their contents.',
  fix: 'truncate between begin and end',
  variants: ['B18'],
  verdicts: ['expectation', 'host-page', 'stale-mapping'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9)],
    threads: { punch: [punch(0, 2)] },
    expect: [{ file: 'memory', pages: 0 }],
  },
};
