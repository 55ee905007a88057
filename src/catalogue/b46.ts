// B46: the host writes to a page that VMRUN uses.
import { SMALL, write, type Bug } from './bug.js';

export const B46: Bug = {
  id: 'B46',
  title: 'the host writes to a page that VMRUN uses',
  source: 'd81cadbe1642 ("KVM: SVM: Disable AVIC on SNP-enabled system without HvInUseWrAllowed feature")',
  invariant: 'a host write meets no RMP violation',
  story:
    "With AVIC the hardware reads a vCPU's APIC page while the guest runs, so VMRUN marks the page as in use. Another CPU has an interrupt for the vCPU and sets its bit in that page: the RMP refuses a write of the host to a page in use, though it is assigned to nobody.",
  fix: 'no AVIC on an SNP host whose CPU lacks HvInUseWrAllowed',
  variants: ['B46'],
  verdicts: ['host-page'],
  strategy: 'surw',
  scenario: {
    ...SMALL,
    vms: { guest: { vcpus: 1, gfns: 64, irqchip: true } },
    threads: { run: [write(9)], device: [{ op: 'interrupt', vm: 'guest' }] },
  },
};
