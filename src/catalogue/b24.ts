// B24: a page is measured although its gfn is shared.
import { setShared, SMALL, type Bug } from './bug.js';

export const B24: Bug = {
  id: 'B24',
  title: 'a page is measured although its gfn is shared',
  source: 'series "KVM: guest_memfd" of July 2024, patch 12/12: kvm_gmem_populate() verifies that gfns are private',
  invariant: 'what LAUNCH_UPDATE measures for a gfn is what the guest finds there',
  story:
    'One thread of the VMM converts a gfn to shared, another one populates it. The page is copied, assigned and measured, but the gfn is no private one: the guest is mapped other memory there than its launch digest vouches for.',
  fix: 'look at the attributes where they cannot change, and refuse what is not private',
  variants: ['B24'],
  verdicts: ['kernel-bug'],
  strategy: 'surw',
  scenario: {
    ...SMALL,
    protocol: 'guest-memfd',
    threads: {
      launch: [{ op: 'launch-update', vm: 'guest', gfn: 9, hva: 512 }],
      convert: [setShared(9, 1)],
    },
  },
};
