// Bugs of the catalogue that cannot be run here, each with the reason.
import type { OutOfReach } from './bug.js';

const ONLY_SLOWER = 'makes the kernel slower, not wrong: no invariant to break';

export const OUT_OF_REACH: readonly OutOfReach[] = [
  {
    id: 'B19',
    title: 'a hole punch against a fault that prepares the page again',
    why: 'accepted upstream, and so in our guest-memfd: at the end it is no different from a fault that comes after the punch, and nothing stale is mapped. Who clears the private attribute first is spared it, but for a fault that was under way',
  },
  { id: 'B21', title: 'a grace period that protects nobody', why: 'superfluous code breaks no invariant' },
  { id: 'B35', title: 'shadow pages are reclaimed under the read lock', why: 'shadow paging is not modelled' },
  { id: 'B37', title: 'expedited grace periods got slow', why: ONLY_SLOWER },
  {
    id: 'B38',
    title: 'an MMIO entry over a present one',
    why: 'MMIO leaves no page-table entries here: each access to a gfn without memory looks its memslot up',
  },
  {
    id: 'B42',
    title: 'no early look at the sequence number',
    why: `${ONLY_SLOWER}; a switch of the MMU turns the look off`,
  },
  {
    id: 'B51',
    title: 'encrypted cache lines are written back late',
    why: 'concerns SEV guests whose encrypted memory is the process of the VMM; here what is encrypted comes from files. Caches are not modelled, the WBINVDs are counted',
  },
  {
    id: 'B57',
    title: 'a waiter that is not the first spins for a hand-over',
    why: 'needs priorities of real-time threads',
  },
];
