// B40: devices are destroyed before their readers have left.
import { touchShared, type Bug } from './bug.js';

export const B40: Bug = {
  id: 'B40',
  title: 'devices are destroyed before their readers have left',
  source: 'CVE-2021-47061, commit 2ee3757424be (KVM: Destroy I/O bus devices on unregister failure after sync)',
  invariant: 'what a reader of kvm->srcu has found is not freed before it leaves',
  story:
    'A device is removed, and there is no memory for a bus without it: the bus goes as a whole. The other devices are destroyed at once, the grace period comes after. A vCPU that has looked the old bus up calls into a device that is freed.',
  fix: 'publish, wait for the readers, destroy',
  variants: ['B40'],
  verdicts: ['kernel-bug'],
  strategy: 'random',
  scenario: {
    vms: { guest: { vcpus: 1, gfns: 64 } },
    setup: [
      { op: 'register-device', vm: 'guest', gfn: 40 },
      { op: 'register-device', vm: 'guest', gfn: 41 },
    ],
    threads: {
      guest: [touchShared(41)],
      remove: [{ op: 'unregister-device', vm: 'guest', gfn: 40, noMemory: true }],
    },
  },
};
