// B39: a vCPU can be found before its creation has succeeded.
import { deleteSlot, sharedSlot, type Bug } from './bug.js';

export const B39: Bug = {
  id: 'B39',
  title: 'a vCPU can be found before its creation has succeeded',
  source: 'afb2acb2e3a3 ("KVM: Fix vcpu_array[0] races"), fixes c5b077549136',
  invariant: 'no freed memory is used',
  story:
    'The first vCPU is put into the array, then it gets its file descriptor. The process has none left: the vCPU is taken out again and freed. But while no vCPU is counted, a loop over the vCPUs goes over the whole array: a memslot update has found the vCPU and makes a request of it that is no more.',
  fix: 'put it into the array when nothing can fail any more',
  variants: ['B39'],
  verdicts: ['kernel-bug'],
  strategy: 'surw',
  scenario: {
    vms: { guest: { vcpus: 0, gfns: 64 } },
    setup: [sharedSlot(0, 16, 4, 256)],
    threads: {
      create: [{ op: 'create-vcpu', vm: 'guest', noDescriptor: true }],
      update: [deleteSlot(0)],
    },
  },
};
