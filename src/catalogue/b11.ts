// B11: the walk of memory failure finds no file.
import { FIRST_PFN, SMALL, write, type Bug } from './bug.js';

export const B11: Bug = {
  id: 'B11',
  title: 'the walk of memory failure finds no file',
  source: 'mm/restrictedmem.c of the RFC, restricted_error_remove_page(); fs/libfs.c',
  invariant: 'whoever has a failed page mapped is told of it',
  story:
    'The walk over the inodes of the superblock is to find the file of a failed page. Inodes of restrictedmem are anonymous and never put on that list: the loop has nothing to go over, nobody is told, and the guest goes on with a page that has failed.',
  fix: 'let the mapping itself be asked (error_folio of its address_space operations), under the invalidate lock',
  variants: ['B11'],
  verdicts: ['expectation'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    setup: [...SMALL.setup, write(9)],
    threads: { failure: [{ op: 'memory-failure', pfn: FIRST_PFN }], guest: [write(10)] },
    expect: [{ vm: 'guest', memoryErrors: 1 }],
  },
};
