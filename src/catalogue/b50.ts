// B50: a vCPU is stopped while VMRUN uses its VMSA.
import { setPrivate, slot, write, type Bug } from './bug.js';

export const B50: Bug = {
  id: 'B50',
  title: 'a vCPU is stopped while it runs on its VMSA',
  source: '309d28576f0a',
  invariant: 'a vCPU that its guest has stopped does not run on the VMSA any more',
  story:
    'A guest has started a vCPU with a page of its own as the VMSA. It stops the vCPU and makes an ordinary page of the VMSA again. The host has told the vCPU to leave and not waited: VMRUN still has the page in use, and RMPADJUST refuses. The guest cannot reuse the page, and leaks it.',
  fix: 'a request that waits: the guest goes on when the vCPU is out, and only the vCPU itself changes its VMSA',
  variants: ['B50'],
  verdicts: ['expectation'],
  strategy: 'delays',
  scenario: {
    files: { memory: { pages: 4 } },
    vms: { guest: { vcpus: 2, gfns: 64 } },
    setup: [slot(0, 8, 4), setPrivate(8, 4), write(9), { op: 'ap-create', vm: 'guest', vcpu: 1, gfn: 9 }],
    threads: { ap: [write(10, 7, 1)], guest: [{ op: 'ap-destroy', vm: 'guest', vcpu: 1 }] },
    expect: [{ thread: 'guest', call: 0, result: 0 }],
  },
};
