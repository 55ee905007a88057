// B56: an rwsem reader finds the lock free and does not acquire.
import type { Bug } from './bug.js';

export const B56: Bug = {
  id: 'B56',
  title: 'an rwsem reader that finds the lock free without ACQUIRE',
  source: 'e1b98fa31664 and 99143f82a255 (locking/rwsem); litmus test C-JanStancek-rwsem',
  invariant: 'who holds a lock for read sees what was written under it before',
  story:
    'A reader is about to queue behind a writer. Under wait_lock it looks at the count once more: the writer has left, and the lock is its own. But the look orders nothing, and wait_lock was not taken by the writer: on a machine that reorders loads the reader may see data of before the write.',
  fix: 'a barrier behind the look: smp_acquire__after_ctrl_dep()',
  remark:
    'Under the scheduler every access is sequentially consistent, so that no stale value can be read. What shows is that nothing orders the write and the read: a data race.',
  variants: ['B56'],
  verdicts: ['data-race'],
  strategy: 'random',
  scenario: {
    locks: { sem: 'rwsem' },
    races: true,
    threads: {
      writer: [{ op: 'lock-write', lock: 'sem', value: 7 }],
      reader: [{ op: 'lock-read', lock: 'sem' }],
    },
  },
};
