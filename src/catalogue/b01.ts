// B01: unbinding without invalidation gives assigned pages back.
import { closeFile, deleteSlot, SMALL, write, type Bug } from './bug.js';

export const B01: Bug = {
  id: 'B01',
  title: 'unbinding without invalidation gives assigned pages back',
  source:
    '"KVM: x86: Add platform hooks for private memory invalidations" (SEV-SNP RFC v8, 03/56): the commit text; question and answer of 18 and 20 March 2023',
  invariant: "a page on the host's free list is not assigned in the RMP",
  story:
    'Unbinding only erases the bindings. When the last reference to the file goes, its pages go back to the host, while the RMP still gives them to the guest: the next host write to one is a fatal RMP fault.',
  fix: 'the patch: unbind calls start and end for every notifier in the range before it erases it',
  variants: ['B01'],
  verdicts: ['host-page'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9)],
    threads: { unbind: [deleteSlot(0)], close: [closeFile()] },
  },
};
