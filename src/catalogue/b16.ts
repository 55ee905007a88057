// B16: RMPUPDATE fails for a neighbour that is being updated.
import { HUGE, punch, setPrivate, slot, write, type Bug } from './bug.js';

export const B16: Bug = {
  id: 'B16',
  title: 'RMPUPDATE fails for a neighbour that is being updated',
  source: 'AMDESE/AMDSEV issue 143; comment in rmpupdate(), arch/x86/virt/svm/sev.c',
  invariant: 'a page that can be given back is given back',
  story:
    'The instruction locks RMP entries while it works. Another CPU in the same 2M region is refused although nothing is wrong: the refusal says only that somebody is there. Taken for an answer it costs a page: what cannot be given back is leaked.',
  fix: 'try again while the refusal is of the kind that passes, and only then',
  remark: 'The variant does not try again at all. RFC v8 tried a fixed number of times, whatever the error.',
  variants: ['B16'],
  verdicts: ['expectation'],
  strategy: 'random',
  scenario: {
    ...HUGE,
    setup: [slot(0, 512, 512), setPrivate(512, 512), write(600)],
    threads: { punch: [punch(0, 1)], smash: [{ op: 'psmash', pfn: 512 }] },
    expect: [{ leaked: 0 }],
  },
};
