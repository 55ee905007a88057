// B06: the last aligned 2M chunk of a hook is done page by page.
import { HUGE, punch, setPrivate, slot, write, type Bug } from './bug.js';

export const B06: Bug = {
  id: 'B06',
  title: 'the last aligned 2M chunk of a hook is done page by page',
  source: 'SNP host RFC v8, patch 50: sev_invalidate_private_range()',
  invariant: 'a 2M page that goes as a whole is given back by one RMPUPDATE',
  story:
    'The hook gets an inclusive end and asks whether 2M more fit below it: the last aligned chunk of a range misses that by a page. It is split by PSMASH and given back page by page, 513 instructions instead of one, while faults of the guest wait.',
  fix: 'one convention for the end of a range, and that an exclusive one',
  remark: 'Nothing is left assigned: what the bug costs is time, which the expectation counts in split entries.',
  variants: ['B06'],
  verdicts: ['expectation'],
  strategy: 'any',
  scenario: {
    ...HUGE,
    setup: [slot(0, 512, 512), setPrivate(512, 512), write(600)],
    threads: { punch: [punch(0, 512)] },
    expect: [{ psmashes: 0 }],
  },
};
