// B32: the walk of roots goes on from one that was freed.
import { deleteSlot, sharedSlot, SMALL, write, type Bug } from './bug.js';

export const B32: Bug = {
  id: 'B32',
  title: 'the walk of roots goes on from one that was freed',
  source: '7533377215b6 (KVM: x86/mmu, the iterator over the roots of the TDP MMU), fixes e1eed5847b09',
  invariant: 'who reads a root has a reference to it',
  story:
    'A memslot update walks the list of roots and tears down those that are invalid. It lets go of the root that it is at before it has a reference to the next. That was the last one: the root is freed, and the way on is read from freed memory.',
  fix: 'hold the next root before the present one is let go of',
  remark: 'freed roots are marked, and who meets the mark without a reference is reported; RCU readers may still look',
  variants: ['B32'],
  verdicts: ['kernel-bug'],
  strategy: 'random',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9), sharedSlot(1, 32, 2, 512)],
    threads: { update: [deleteSlot(1)], guest: [write(10), write(9)] },
  },
};
