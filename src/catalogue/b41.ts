// B41: a bus is read before what announced it.
import { touchShared, type Bug } from './bug.js';

export const B41: Bug = {
  id: 'B41',
  title: 'a bus is read before what announced it',
  source: 'commits 7788255aba65 and 7d9a0273c459 (2025): kvm->buses and the order of its reads',
  invariant: 'who knows that a device was registered finds it',
  story:
    'Registering a device no longer waits for a grace period. A vCPU thread stays inside kvm->srcu from one exit to the next and may have read the pointer to the bus before its guest ran. The guest hears of the new device, touches it, and the exit is handled with the old bus: the access goes to user space, which knows nothing of it.',
  fix: 'read the pointer behind a barrier after the exit',
  remark: 'The variant reads the pointer where a CPU would be allowed to: before the guest runs.',
  variants: ['B41'],
  verdicts: ['kernel-bug'],
  strategy: 'weighted',
  scenario: {
    vms: { guest: { vcpus: 1, gfns: 64 } },
    setup: [{ op: 'register-device', vm: 'guest', gfn: 40 }],
    threads: {
      guest: [touchShared(41)],
      register: [{ op: 'register-device', vm: 'guest', gfn: 41 }],
    },
  },
};
