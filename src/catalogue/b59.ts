// B59: a sibling entry of a sibling entry.
import type { Bug } from './bug.js';

export const B59: Bug = {
  id: 'B59',
  title: 'a sibling entry of a sibling entry',
  source: 'commit cbc02854331e (XArray: Do not return sibling entries from xa_load())',
  invariant: 'xa_load() returns what was stored, or nothing',
  story:
    'A reader of index 191 meets a sibling entry that leads to slot 60. Before it gets there, a store over a wider range makes 56 the canonical slot and 60 a sibling itself. The reader takes what it finds for the entry and hands an internal value out.',
  fix: 'follow siblings until there is none',
  variants: ['B59'],
  verdicts: ['kernel-bug'],
  strategy: 'random',
  scenario: {
    xarrays: ['array'],
    setup: [{ op: 'xa-store', xarray: 'array', first: 188, last: 191, value: 1 }],
    threads: {
      load: [{ op: 'xa-load', xarray: 'array', index: 191 }],
      store: [{ op: 'xa-store', xarray: 'array', first: 184, last: 191, value: 2 }],
    },
  },
};
