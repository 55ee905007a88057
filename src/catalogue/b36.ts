// B36: a gfn_to_pfn cache becomes valid behind the back of the notifier.
import { sharedSlot, type Bug } from './bug.js';

export const B36: Bug = {
  id: 'B36',
  title: 'a gfn_to_pfn cache becomes valid behind the back of the notifier',
  source: '58cd407ca4c6 ("KVM: Fix multiple races in gfn=>pfn cache refresh"), fixes 982ed0de4753',
  invariant: 'a valid cache leads to a page that is in use',
  story:
    'A refresh has found the page and is not done yet: the cache is still invalid. The host takes the page away: its notifier call passes the caches, finds none to invalidate, and goes on to mmu_lock. Before it gets there the refresh looks at mmu_invalidate_in_progress, sees nothing, and makes the cache valid. The page is freed, and the kernel writes to it.',
  fix: 'ask for the count of open notifier calls, which is raised before caches are looked at, and for the sequence number',
  variants: ['B36'],
  verdicts: ['stale-mapping'],
  strategy: 'surw',
  scenario: {
    vms: { guest: { vcpus: 1, gfns: 64 } },
    setup: [
      sharedSlot(0, 16, 4, 256),
      { op: 'cache-gfn', vm: 'guest', gfn: 16 },
      { op: 'discard-shared', vm: 'guest', hva: 256, pages: 1 },
    ],
    threads: {
      write: [{ op: 'write-cached', vm: 'guest', value: 7 }],
      discard: [{ op: 'discard-shared', vm: 'guest', hva: 256, pages: 1 }],
    },
  },
};
