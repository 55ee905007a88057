// B60: a lock is held across the grace period of its readers.
import { deleteSlot, SMALL, type Bug } from './bug.js';

export const B60: Bug = {
  id: 'B60',
  title: 'a lock is held across the grace period of its readers',
  source: 'Documentation/virt/kvm/locking.rst: slots_arch_lock',
  invariant: 'nobody waits for a grace period with a lock that its readers take',
  story:
    'The first shadow root of a guest gives each memslot its reverse maps. It happens in KVM_RUN, inside kvm->srcu, under slots_arch_lock. A memslot update that kept this lock while it waits for the readers of kvm->srcu waits for the vCPU, and the vCPU for the lock.',
  fix: 'let go of slots_arch_lock, which was made for this, before the wait for the readers',
  variants: ['B60'],
  verdicts: ['deadlock', 'locking'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    threads: { guest: [{ op: 'shadow-root', vm: 'guest' }], update: [deleteSlot(0)] },
  },
};
