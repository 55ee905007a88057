// B49: the exit code of a GHCB is read twice.
import { GHCB_EXIT_CODE, SVM_EXIT_CPUID, SVM_EXIT_VMGEXIT } from '../kernel/abi/kvm.js';
import { ghcbWrite, SMALL, type Bug } from './bug.js';

export const B49: Bug = {
  id: 'B49',
  title: 'the exit code of a GHCB is read twice',
  source: '7588dbcebcbf ("KVM: SEV: only access GHCB fields once"), CVE-2023-4155',
  invariant: 'the handler of an exit does not call itself',
  story:
    'A vCPU exits with VMGEXIT; why, its GHCB says, which other vCPUs can write. The host checks the exit code and reads it again to choose the handler. By then it names VMGEXIT itself: the handler calls itself, as often as the guest likes, until the stack of the kernel is used up.',
  fix: 'read the exit code once',
  remark: 'the first call of the handler out of itself is reported, not the end of a stack',
  variants: ['B49'],
  verdicts: ['kernel-bug'],
  strategy: 'surw',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, ghcbWrite(GHCB_EXIT_CODE, SVM_EXIT_CPUID)],
    threads: { exit: [{ op: 'vmgexit', vm: 'guest' }], rewrite: [ghcbWrite(GHCB_EXIT_CODE, SVM_EXIT_VMGEXIT)] },
  },
};
