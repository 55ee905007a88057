// B30: a sequence number that was kept in an int.
import { punch, SMALL, write, type Bug } from './bug.js';

export const B30: Bug = {
  id: 'B30',
  title: 'a sequence number that was kept in an int',
  source: '82d811ff5665 (stable 6.1, 5.15); the report has the value 0x8002dc25',
  invariant: 'a fault that is told to retry ends',
  story:
    'After 2^31 invalidations the number read back from the int is sign-extended and never equal to the counter again: no fault gets through any more.',
  fix: 'keep it in an unsigned long',
  remark: 'The variant sets bit 31 of the number as a fault reads it, instead of counting to 2^31.',
  variants: ['retry-forever'],
  verdicts: ['livelock', 'progress'],
  strategy: 'any',
  scenario: {
    ...SMALL,
    threads: { fault: [write(9)], punch: [punch(0, 2)] },
  },
};
