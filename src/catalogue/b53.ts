// B53: a region is flushed after the lock was dropped.
import type { Bug } from './bug.js';

export const B53: Bug = {
  id: 'B53',
  title: 'a region is flushed after the lock was dropped',
  source: 'commit 5ef1d8c1ddbf (KVM: SVM, the flush of a region under kvm->lock)',
  invariant: 'nothing is used after it was freed',
  story:
    'A new region is put on the list, the lock is dropped, and then its pages are flushed. It can be found from the moment it is listed: another thread unregisters and frees it under the flush.',
  fix: 'flush under the lock',
  variants: ['B53'],
  verdicts: ['kernel-bug'],
  strategy: 'delays',
  scenario: {
    vms: { guest: { vcpus: 1, gfns: 64 } },
    threads: {
      register: [{ op: 'register-region', vm: 'guest', hva: 520, pages: 2 }],
      unregister: [{ op: 'unregister-region', vm: 'guest', hva: 520 }],
    },
  },
};
