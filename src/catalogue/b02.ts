// B02: release looks the object up through the wrong mapping.
import { closeFile, deleteSlot, SMALL, type Bug } from './bug.js';

export const B02: Bug = {
  id: 'B02',
  title: 'release looks the object up through the wrong mapping',
  source: 'the first hunk of the same patch',
  invariant: 'what creation made is what release frees',
  story:
    "release() follows inode->i_mapping; creation attached the object to file->f_mapping. Where the two differ it finds nothing, or somebody else's object.",
  fix: 'take it from file->f_mapping: all other methods do',
  remark:
    'In the tree that was read both mappings are the same; the scenario gives the inode one of its own, as a stacked file system would.',
  variants: ['B02'],
  verdicts: ['kernel-bug'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    files: { memory: { pages: 4, stacked: true } },
    threads: { release: [deleteSlot(0), closeFile()] },
  },
};
