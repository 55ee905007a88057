// B04: an exclusive end is taken for the last page.
import { punch, setPrivate, slot, SMALL, write, type Bug } from './bug.js';

export const B04: Bug = {
  id: 'B04',
  title: 'an exclusive end is taken for the last page',
  source: 'mails of 21 February 2023 on inclusive and exclusive ends in the restrictedmem callbacks',
  invariant: 'a hole is told to the slots it touches and to no other',
  story:
    'A hole of [0, 2) is passed on as [0, 2], so the memslot bound right behind it is told as well: its page is zapped, and the hook takes it out of the RMP although it stays in the file.',
  fix: 'pass the last page, (offset + len - 1) >> 12; later exclusive ends throughout',
  remark:
    'Nothing breaks in the model: the neighbour faults its page in again. On hardware its contents are lost with the RMP entry.',
  variants: ['B04'],
  verdicts: ['expectation'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [slot(0, 8, 2), slot(1, 16, 2, 2), setPrivate(8, 12), write(9), write(16)],
    threads: { punch: [punch(0, 2)] },
    expect: [{ vm: 'guest', gfn: 16, mapped: true }],
  },
};
