// Locks as one step, for explorations of what they protect (`--locks abstract`): a thread takes a lock that is free, and otherwise stands still until somebody
// has written to its word. Nobody queues, sleeps or hands over, so that of a lock only its promise is left: who may hold it together with whom, in any order
// of arrival; a holder sees nobody wait (rwlockNeedbreak). The fast paths are those of the lock itself; here are its slow ones. What they leave out is
// explored with the locks' own programs.
import { CONTROL_LOCKS, LOCKS_ABSTRACT } from '../abi/control';
import { WAIT_READ_LOCK, WAIT_RWSEM_READ, WAIT_RWSEM_WRITE, WAIT_WRITE_LOCK } from '../abi/layout';
import { atomicCas32, atomicSub32, peek32, relaxOn } from '../point';
import { waitBegin, waitEnd } from '../task';
import { RWLOCK_WRITER, rwlockReadTake } from './rwlock';
import { RWSEM_READER_BIAS, RWSEM_WRITER_LOCKED, rwsemReadTake, rwsemSetReaderOwned } from './rwsem';

/** Whether locks are one step. @context any. */
// @ts-ignore: decorator
@inline
export function locksAreAbstract(): bool {
  return CONTROLLED ? peek32(CONTROL_LOCKS) == LOCKS_ABSTRACT : false;
}

/** Waits until the compare-and-exchange of a word from 0 succeeds. @context returns with the lock held. */
export function abstractTake(l: usize, locked: u32, kind: u32): void {
  waitBegin(l, kind);
  while (atomicCas32(l, 0, locked) != 0) relaxOn(l);
  waitEnd();
}

/** @context the caller has taken its bias back; returns with the lock held for read. */
export function abstractReadLock(l: usize): void {
  waitBegin(l, WAIT_READ_LOCK);
  while (!rwlockReadTake(l)) relaxOn(l);
  waitEnd();
}

/** @context returns with the rwlock held for write. */
export function abstractWriteLock(l: usize): void { abstractTake(l, RWLOCK_WRITER, WAIT_WRITE_LOCK); }

/** @context the caller has added its bias and found the semaphore closed; returns with it held for read. */
export function abstractDownRead(l: usize): void {
  atomicSub32(l, RWSEM_READER_BIAS);
  waitBegin(l, WAIT_RWSEM_READ);
  while (!rwsemReadTake(l)) relaxOn(l);
  waitEnd();
  rwsemSetReaderOwned(l);
}

/** @context returns with the semaphore held for write. */
export function abstractDownWrite(l: usize): void { abstractTake(l, RWSEM_WRITER_LOCKED, WAIT_RWSEM_WRITE); }
