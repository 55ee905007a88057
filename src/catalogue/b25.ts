// B25: range_end finds a memslot that range_start did not.
import { sharedSlot, type Bug } from './bug.js';

export const B25: Bug = {
  id: 'B25',
  title: 'range_end finds a memslot that range_start did not',
  source: '52ac8b358b0c ("KVM: Block memslot updates across range_start() and range_end()"), 071064f14d87',
  invariant: 'begin and end balance: mmu_invalidate_in_progress never falls below 0',
  story:
    'The host takes memory away that no memslot covers yet: range_start finds nothing to do. A memslot is installed over it. range_end finds the memslot and lowers a count that was never raised.',
  fix: 'count open calls, and let memslot updates wait until there are none',
  variants: ['B25'],
  verdicts: ['balance'],
  strategy: 'random',
  scenario: {
    vms: { guest: { vcpus: 1, gfns: 64 } },
    threads: {
      discard: [{ op: 'discard-shared', vm: 'guest', hva: 256, pages: 4 }],
      create: [sharedSlot(1, 16, 4, 256)],
    },
  },
};
