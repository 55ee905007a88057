// B26: range_end without the range_start of a notifier that refused.
import { sharedSlot, touchShared, type Bug } from './bug.js';

export const B26: Bug = {
  id: 'B26',
  title: 'range_end without the range_start of a notifier that refused',
  source: 'commit c2655835fd8c (mm/mmu_notifiers: ensure range_end() is paired with range_start())',
  invariant: 'every range_start is followed by its range_end',
  story:
    'The reaper takes memory away and must not sleep. KVM is asked first and raises its count; the next notifier would have to wait for a lock and refuses. The reaper gives up, and nobody tells KVM: faults in the range retry for ever, and memslots can never change again.',
  fix: 'on a refusal, end for those that had been asked',
  variants: ['B26'],
  verdicts: ['balance', 'progress', 'livelock'],
  strategy: 'surw',
  scenario: {
    vms: { guest: { vcpus: 1, gfns: 64 } },
    setup: [sharedSlot(0, 8, 4, 512), touchShared(9)],
    threads: {
      reaper: [{ op: 'reap-shared', vm: 'guest', hva: 512, pages: 4 }],
      driver: [{ op: 'device-work', vm: 'guest' }],
    },
  },
};
