// B52: encrypted regions are registered without the lock.
import type { Bug } from './bug.js';

export const B52: Bug = {
  id: 'B52',
  title: 'encrypted regions are registered without the lock',
  source: 'commit b6408b6cec5d (fixes 1e80fdc09d12)',
  invariant: 'a list has one writer at a time',
  story:
    'Two threads of the VMM register regions at once, and kvm->lock is taken for other things only. Both find the same last entry; the list leads past one of the two, whose removal finds neighbours that do not know it.',
  fix: 'take kvm->lock for the list',
  variants: ['B52'],
  verdicts: ['kernel-bug'],
  strategy: 'delays',
  scenario: {
    vms: { guest: { vcpus: 1, gfns: 64 } },
    setup: [{ op: 'register-region', vm: 'guest', hva: 512, pages: 1 }],
    threads: {
      first: [
        { op: 'register-region', vm: 'guest', hva: 520, pages: 1 },
        { op: 'unregister-region', vm: 'guest', hva: 520 },
      ],
      second: [
        { op: 'register-region', vm: 'guest', hva: 530, pages: 1 },
        { op: 'unregister-region', vm: 'guest', hva: 530 },
      ],
    },
  },
};
