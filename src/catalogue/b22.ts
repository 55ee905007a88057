// B22: user pages are got under the invalidate lock.
import { SMALL, type Bug } from './bug.js';

export const B22: Bug = {
  id: 'B22',
  title: 'user pages are got under the invalidate lock',
  source: '2a62345b3052 (KVM: guest_memfd, the source pages of kvm_gmem_populate())',
  invariant: 'mmap_lock and the invalidate lock are taken in one order',
  story:
    "To populate the file KVM holds its invalidate lock and gets the VMM's source page, which takes mmap_lock. A thread of the VMM that touches its own mapping of the file has mmap_lock and waits for the invalidate lock. With somebody who waits to write to mmap_lock between them, neither gets on.",
  fix: 'have the source page before the invalidate lock is taken',
  variants: ['B22'],
  verdicts: ['locking', 'deadlock'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    protocol: 'guest-memfd',
    threads: {
      launch: [{ op: 'launch-update', vm: 'guest', gfn: 9, hva: 512 }],
      vmm: [{ op: 'fault-file', vm: 'guest', file: 'memory', page: 2 }],
    },
  },
};
