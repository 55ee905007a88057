// Bugs of the catalogue that cannot be run here, each with the reason.
import type { OutOfReach } from './bug.js';

const WEAK_MEMORY = 'needs weaker ordering than the sequential consistency of WebAssembly atomics';
const ONLY_SLOWER = 'makes the kernel slower, not wrong: no invariant to break';

export const OUT_OF_REACH: readonly OutOfReach[] = [
  {
    id: 'B19',
    title: 'a hole punch against a fault that prepares the page again',
    why: 'accepted upstream, and in our guest-memfd too: the page stays in its file, and no mapping of it is made',
  },
  { id: 'B21', title: 'a grace period that protects nobody', why: 'superfluous code breaks no invariant' },
  { id: 'B34', title: 'a range flush begins at the wrong gfn', why: 'flushes are of whole TLBs here' },
  { id: 'B35', title: 'shadow pages are reclaimed under the read lock', why: 'shadow paging is not modelled' },
  { id: 'B37', title: 'expedited grace periods got slow', why: ONLY_SLOWER },
  { id: 'B38', title: 'an MMIO entry over a present one', why: 'MMIO leaves no page-table entries here' },
  {
    id: 'B42',
    title: 'no early look at the sequence number',
    why: `${ONLY_SLOWER}; a switch of the MMU turns the look off`,
  },
  {
    id: 'B47',
    title: 'the end of the RMP table shares a 2M region with memory',
    why: 'a matter of the memory map: layouts keep the region reserved',
  },
  { id: 'B50', title: 'a vCPU is destroyed inside VMRUN', why: 'guests cannot destroy vCPUs here' },
  {
    id: 'B51',
    title: 'encrypted cache lines are written back late',
    why: 'caches are not modelled; reclaims are counted',
  },
  { id: 'B56', title: 'an rwsem reader without ACQUIRE', why: WEAK_MEMORY },
  {
    id: 'B57',
    title: 'a waiter that is not the first spins for a hand-over',
    why: 'needs priorities of real-time threads',
  },
  { id: 'B58', title: 'a queued rwlock writer without ACQUIRE', why: WEAK_MEMORY },
];
