// B45: an RMP fault that another vCPU has cured kills the guest.
import { HUGE, setPrivate, slot, write, type Bug } from './bug.js';

export const B45: Bug = {
  id: 'B45',
  title: 'an RMP fault that another vCPU has cured kills the guest',
  source:
    'comments of sev_handle_rmp_fault() and psmash retry in arch/x86/kvm/svm/sev.c; RFC v8, patch 44/56 took the failure for an error',
  invariant: 'PVALIDATE of 4K of its own page, 2M in the RMP, succeeds',
  story:
    'Two vCPUs validate 4K each inside one page that the RMP holds as 2M. Both fault. The first PSMASH splits the entry; the second finds 4K entries and fails, and the host gives the guest up although nothing is wrong.',
  fix: 'look at the entry again after a failed PSMASH: 4K is what was wanted; drop the 2M mapping in any case',
  remark: 'to give the guest up is KVM_REQ_VM_DEAD here: KVM_RUN fails with -EIO from then on',
  variants: ['B45'],
  verdicts: ['expectation'],
  strategy: 'random',
  scenario: {
    ...HUGE,
    setup: [slot(0, 512, 512), setPrivate(512, 512), write(512)],
    threads: {
      first: [{ op: 'pvalidate', vm: 'guest', vcpu: 0, gfn: 513 }],
      second: [{ op: 'pvalidate', vm: 'guest', vcpu: 1, gfn: 514 }],
    },
    expect: [
      { thread: 'first', call: 0, result: 0 },
      { thread: 'second', call: 0, result: 0 },
    ],
  },
};
