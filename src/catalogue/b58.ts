// B58: a queued writer takes the rwlock by a compare-and-exchange that does not acquire.
import type { Operation } from '../explore/scenario.js';
import type { Bug } from './bug.js';

const WRITE: Operation = { op: 'lock-write', lock: 'lock', value: 7 };
const READ: Operation = { op: 'lock-read', lock: 'lock' };
/** The moment that matters is short: a holder leaves, a reader comes and goes, all between two instructions of a writer. Several tries make it likely. */
const TIMES = 4;

export const B58: Bug = {
  id: 'B58',
  title: 'a queued rwlock writer takes the lock without ACQUIRE',
  source: 'locking/qrwlock: Fix ordering in queued_write_lock_slowpath() (Fixes b519b56e378e)',
  invariant: 'a writer comes after every reader that has left',
  story:
    'The writer at the head of the queue looks at the lock, with acquire: it is free. Another reader enters and leaves. Then the writer takes the lock by a relaxed compare-and-exchange, which succeeds, for the word has its old value again. Nothing orders the second reader before the writer: its reads may still be under way, and see what the writer stores.',
  fix: 'a relaxed look, and a compare-and-exchange that acquires',
  remark: 'As for B56: what shows is a data race, not a wrong value.',
  variants: ['B58'],
  verdicts: ['data-race'],
  strategy: 'random',
  scenario: {
    locks: { lock: 'rwlock' },
    races: true,
    threads: {
      writer: Array.from({ length: TIMES }, () => WRITE),
      first: Array.from({ length: TIMES }, () => READ),
      second: Array.from({ length: TIMES }, () => READ),
    },
  },
};
