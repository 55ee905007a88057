// B15: a leaked range puts one page on the list again and again.
import { HUGE, punch, setPrivate, slot, write, type Bug } from './bug.js';

export const B15: Bug = {
  id: 'B15',
  title: 'a leaked range puts one page on the list again and again',
  source: 'reply of 3 March 2023 to RFC v8, patch 23/56',
  invariant: 'a page that cannot be given back is leaked, and so never freed',
  story:
    'A 2M page cannot be taken out of the RMP. The loop that leaks its 512 pages adds the first one 512 times: the list leads back to itself, and the other 511 are freed while the guest still owns them.',
  fix: 'advance the page',
  variants: ['B15'],
  verdicts: ['host-page', 'conservation'],
  strategy: 'any',
  scenario: {
    ...HUGE,
    setup: [
      slot(0, 512, 512),
      setPrivate(512, 512),
      write(600),
      { op: 'firmware-page', vm: 'guest', gfn: 512, pfn: 512 },
    ],
    threads: { punch: [punch(0, 512)] },
  },
};
