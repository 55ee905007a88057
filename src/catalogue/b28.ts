// B28: a notifier is unregistered between start and end.
import { sharedSlot, type Bug } from './bug.js';

export const B28: Bug = {
  id: 'B28',
  title: 'a notifier is unregistered between start and end',
  source: 'the comment in kvm_destroy_vm() (virt/kvm/kvm_main.c, with 52ac8b358b0c)',
  invariant: 'nobody waits for a range_end that cannot come',
  story:
    "Somebody takes memory of the VMM's process away: range_start has raised mn_active_invalidate_count. The VM is destroyed, its notifier unregistered, and range_end no longer reaches it. Destroying the VM deletes KVM's own memslot, which waits for the count to reach 0: for ever.",
  fix: 'with the notifier gone, set the count to 0',
  variants: ['B28'],
  verdicts: ['lost-wakeup', 'deadlock'],
  strategy: 'random',
  scenario: {
    vms: { guest: { vcpus: 1, process: true, gfns: 64 } },
    setup: [sharedSlot(0, 8, 4, 512), { op: 'own-slot', vm: 'guest', gfn: 40, hva: 600 }],
    threads: {
      discard: [{ op: 'discard-shared', vm: 'guest', hva: 512, pages: 4 }],
      destroy: [{ op: 'destroy-vm', vm: 'guest' }],
    },
  },
};
