// B34: a flush leaves out what was zapped before a pause.
import { punch, setPrivate, slot, write, type Bug } from './bug.js';

const REGION = 512;
/** Enough 2M regions for the zap to look at who waits for mmu_lock. */
const REGIONS = 17;

export const B34: Bug = {
  id: 'B34',
  title: 'a flush leaves out what was zapped before a pause',
  source: '574c3c55e969 (Fixes a066e61f13cf)',
  invariant: 'no TLB entry maps a page that went back to the host',
  story:
    'A large hole is punched. Half-way through, the zap lets go of mmu_lock for a vCPU that waits for it, and goes on from there. In the end it flushes the range that it remembers, which begins where it went on: what it had zapped before stays in the TLBs, and the pages are freed.',
  fix: 'flush what has been zapped before the lock is let go of, or remember where the whole range began',
  remark: 'KVM on SNP flushes whole TLBs, and so does the kernel here; with the variant it flushes ranges.',
  variants: ['B34'],
  verdicts: ['stale-mapping', 'guest-data'],
  strategy: 'pos',
  scenario: {
    files: { memory: { pages: REGIONS * REGION }, other: { pages: 4 } },
    vms: { guest: { vcpus: 1, gfns: (REGIONS + 1) * REGION } },
    setup: [
      slot(0, 0, REGIONS * REGION),
      { op: 'set-slot', vm: 'guest', slot: 1, gfn: REGIONS * REGION, pages: 4, flags: 4, file: 'other', start: 0 },
      setPrivate(0, REGIONS * REGION + 4),
      write(9),
    ],
    threads: {
      punch: [punch(0, REGIONS * REGION)],
      guest: [write(REGIONS * REGION + 1), write(9)],
    },
  },
};
