// B48: the last entry of a page state change is read twice.
import {
  GHCB_EXIT_CODE,
  GHCB_PSC_ENTRIES,
  GHCB_PSC_HEADER,
  PSC_END_SHIFT,
  PSC_GFN_SHIFT,
  PSC_MAX_ENTRIES,
  PSC_OP_PRIVATE,
  PSC_OP_SHIFT,
  SVM_VMGEXIT_PSC,
} from '../kernel/abi/kvm.js';
import { ghcbWrite, SMALL, type Bug } from './bug.js';

const LAST = PSC_MAX_ENTRIES - 1;

/** cur_page of an entry whose only page is done: the host goes on to the next. */
const ALREADY_DONE = 1;

/** cur_entry and end_entry. */
const header = (current: number, last: number): number => last * 2 ** PSC_END_SHIFT + current;

export const B48: Bug = {
  id: 'B48',
  title: 'the last entry of a page state change is read twice',
  source:
    '"KVM: SEV: Use READ_ONCE() when reading entries/indices from PSC buffer" and the check against the size of the buffer (2026), fix 9b54e248d264',
  invariant: 'the host reads no further than the buffer it has checked',
  story:
    "A page state change lists its pages in memory that guest and host share. The host checks that the last entry's number is one of the buffer's, and reads the number again for each round of its loop. Another vCPU has raised it meanwhile, and the host walks out of the buffer.",
  fix: 'read the number once, and use what was checked',
  variants: ['B48'],
  verdicts: ['kernel-bug'],
  strategy: 'surw',
  scenario: {
    ...SMALL,
    setup: [
      ...SMALL.setup,
      ghcbWrite(GHCB_EXIT_CODE, SVM_VMGEXIT_PSC),
      ghcbWrite(GHCB_PSC_HEADER, header(LAST, LAST)),
      ghcbWrite(
        GHCB_PSC_ENTRIES + LAST * 8,
        PSC_OP_PRIVATE * 2 ** PSC_OP_SHIFT + 9 * 2 ** PSC_GFN_SHIFT + ALREADY_DONE,
      ),
    ],
    threads: { exit: [{ op: 'vmgexit', vm: 'guest' }], rewrite: [ghcbWrite(GHCB_PSC_HEADER, header(LAST, LAST + 1))] },
  },
};
