// B54: LAUNCH_FINISH can be repeated, and writes over the guest's own registers then.
import { SMALL, type Bug } from './bug.js';

export const B54: Bug = {
  id: 'B54',
  title: "LAUNCH_FINISH can be repeated, and writes over the guest's own registers then",
  source:
    '9b9f7962e3e8 ("KVM: SEV: Reject attempts to sync VMSA of an already-launched/encrypted vCPU"), mails of January to March 2026',
  invariant: 'a host write meets no RMP violation',
  story:
    "LAUNCH_FINISH writes each vCPU's registers into its VMSA page, which then is encrypted and the guest's. Two threads of the VMM ask for it. The second one writes the registers into pages that are assigned: the host dies of a mistake that any user of KVM can make.",
  fix: 'refuse when the state of the vCPU is protected already',
  remark: 'the page of a VMSA is allocated by LAUNCH_FINISH here, in the kernel with the vCPU',
  variants: ['B54'],
  verdicts: ['host-page'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    threads: {
      first: [{ op: 'launch-finish', vm: 'guest' }],
      second: [{ op: 'launch-finish', vm: 'guest' }],
    },
  },
};
