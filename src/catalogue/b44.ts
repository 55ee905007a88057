// B44: a leaked page is put on the leak list once more.
import { FIRST_PFN, punch, SMALL, write, type Bug } from './bug.js';

export const B44: Bug = {
  id: 'B44',
  title: 'a leaked page is put on the leak list once more',
  source: '5c52607c43c3 (fixes 551120148b67)',
  invariant: 'every page is free, in use, or leaked, once',
  story:
    'Two hole punches meet the same page, whose RMP entry neither can reset. Both put it on the leak list: the list leads back to itself and the count is wrong.',
  fix: 'leave out what is on the list already',
  variants: ['B44'],
  verdicts: ['conservation'],
  strategy: 'random',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9), { op: 'firmware-page', vm: 'guest', gfn: 9, pfn: FIRST_PFN }],
    threads: { first: [punch(1, 1)], second: [punch(1, 1)] },
  },
};
