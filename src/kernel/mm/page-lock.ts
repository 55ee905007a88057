// The folio lock: one bit of the first page's word, with a second one for sleepers. guest_memfd holds it over "is the page still in the file, then
// prepare it" and over "out of the file, then give it back", so that neither comes between the other's halves. kernel: mm/filemap.c folio_lock.
//
//   PG_LOCKED  PG_WAITERS
//       0          0        free
//       1          0        held
//       1          1        held, somebody sleeps on the word
//       0          1        does not occur: the unlock clears both and wakes all
import { PG_LOCKED, PG_WAITERS } from '../abi/mm';
import { atomicAnd32, atomicCas32, atomicLoadStatic32, cpuRelax, futexWait, futexWake } from '../point';
import { pageAddress } from './page';

const SPINS: u32 = 64;
const EVERYBODY: u32 = 0x7fffffff;

/** Locks the folio whose first page is `head`. @context the caller holds a reference; sleeps, so not under mmu_lock or xa_lock. kernel: folio_lock. */
export function folioLock(head: u32): void {
  const p = pageAddress(head);
  for (let tries: u32 = 0; ; tries++) {
    const word = atomicLoadStatic32(p);
    if ((word & PG_LOCKED) == 0) {
      if (atomicCas32(p, word, word | PG_LOCKED) == word) return;
      continue;
    }
    if (tries < SPINS) {
      cpuRelax();
      continue;
    }
    // A reference that comes or goes changes the word too: then this was no sleep, and the lock is looked at again.
    if ((word & PG_WAITERS) == 0 && atomicCas32(p, word, word | PG_WAITERS) != word) continue;
    futexWait(p, word | PG_WAITERS, -1);
  }
}

/** @context the folio is locked by this task. kernel: folio_unlock. */
export function folioUnlock(head: u32): void {
  const p = pageAddress(head);
  const old = atomicAnd32(p, ~<u32>(PG_LOCKED | PG_WAITERS));
  if ((old & PG_WAITERS) != 0) futexWake(p, EVERYBODY);
}
