// B13: a guest's ASID is given back before its pages.
import { SMALL, write, type Bug } from './bug.js';

export const B13: Bug = {
  id: 'B13',
  title: "a guest's ASID is given back before its pages",
  source:
    'kvm_destroy_vm() of the tree: kvm_arch_destroy_vm() comes before the memslots are freed, and unbinding calls the hook',
  invariant: "pages are given back while the guest's ASID is its own",
  story:
    "Destroying a guest decommissions its ASID first. Then the memslots are unbound, and the hook resets pages of an ASID that may already be another guest's.",
  fix: 'unbind the memslots before the ASID goes',
  variants: ['B13'],
  verdicts: ['callback', 'one-owner'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9)],
    threads: { destroy: [{ op: 'destroy-vm', vm: 'guest' }] },
  },
};
