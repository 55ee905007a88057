// B20: a dying guest_memfd keeps its binding to a memslot that goes.
import { closeFile, deleteSlot, SMALL, type Bug } from './bug.js';

export const B20: Bug = {
  id: 'B20',
  title: 'a dying file keeps its binding to a memslot that goes',
  source: 'commit ae431059e75d (KVM: guest_memfd), found by syzbot',
  invariant: 'no binding leads to a freed memslot',
  story:
    'A guest_memfd is not kept alive by the memslots bound to it. Its last reference is dropped, but its release has not run yet. The memslot goes: it can get no reference any more, takes the file for gone and leaves the binding. The release then clears the pointer in a memslot that has been freed.',
  fix: "erase it all the same: the deletion holds slots_lock, so the file's release cannot run beside it",
  variants: ['B20'],
  verdicts: ['kernel-bug', 'callback'],
  strategy: 'random',
  scenario: {
    ...SMALL,
    protocol: 'guest-memfd',
    threads: { close: [closeFile()], unbind: [deleteSlot(0)] },
  },
};
