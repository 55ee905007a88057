// B23: a new memslot does not know the attributes that exist.
import { HUGE, setPrivate, setShared, slot, write, type Bug } from './bug.js';

export const B23: Bug = {
  id: 'B23',
  title: 'a new memslot does not know the attributes that exist',
  source: '9129633d568e ("KVM: x86/mmu", fixes 8dd2eee9d526): large page tracking and memory attributes out of step',
  invariant: 'a large page counts as mixed when the attributes of its gfns differ, and only then',
  story:
    'Attributes change while no memslot covers the gfns. The memslot that comes later starts with no large page marked as mixed, and a fault maps 2M over both kinds of memory.',
  fix: 'initialise the flags of a new memslot from the attributes',
  variants: ['B23'],
  verdicts: ['stale-mapping', 'one-owner'],
  strategy: 'any',
  scenario: {
    ...HUGE,
    setup: [setPrivate(512, 512), setShared(530, 4), slot(0, 512, 512)],
    threads: { fault: [write(600)] },
  },
};
