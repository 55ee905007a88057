// Races of the kernel from the ConVul suite, two threads each, reduced to what they share: a pointer that one thread checks or fetches while the other takes
// it away. Freed memory is a flag.
import type { Program } from './source.js';

export const CONVUL: readonly Program[] = [
  {
    name: 'cve_2009_3547',
    about: 'a pipe is opened while its last user leaves: the inode has no pipe any more',
    verdict: 'assertion',
    setup: 'words(3); set(1, 1);',
    bodies: ['lock(0); check(get(1) != 0, 1); set(2, get(2) + 1); unlock(0);', 'lock(0); set(1, 0); unlock(0);'],
    published: { surw: 4, surwDeviation: 2, pct3: 4, pos: 3, rw: 5 },
  },
  {
    name: 'cve_2011_2183',
    about: 'KSM scans a slot that an exiting process takes off the list',
    verdict: 'assertion',
    setup: 'words(3); set(1, 1);',
    bodies: [
      'const slot = get(1); if (slot == 0) return; lock(0); check(get(2) == 0, 1); unlock(0);',
      'lock(0); set(1, 0); set(2, 1); unlock(0);',
    ],
    published: { surw: 3, surwDeviation: 2, pct3: 5, pos: 2, rw: 2 },
  },
  {
    name: 'cve_2015_7550',
    about: 'a key is checked before its lock is taken, and revoked in between',
    verdict: 'assertion',
    setup: 'words(3); set(2, 1);',
    bodies: [
      'if ((get(1) & 1) == 0) { lock(0); check(get(2) != 0, 1); unlock(0); }',
      'lock(0); set(1, 1); set(2, 0); unlock(0);',
    ],
    published: { surw: 6, surwDeviation: 6, pct3: 9, pos: 6, rw: 1 },
  },
  {
    name: 'cve_2016_7911',
    about: "a task's I/O context goes between the check and the use",
    verdict: 'assertion',
    setup: 'words(2); set(1, 1);',
    bodies: ['if (get(1) != 0) check(get(1) != 0, 1);', 'lock(0); const context = get(1); set(1, 0); unlock(0);'],
    published: { surw: 8, surwDeviation: 9, pct3: 20, pos: 11, rw: 3 },
  },
  {
    name: 'cve_2017_15265',
    about: 'a new port is used after the lock was dropped, without a reference: another thread has deleted it',
    verdict: 'assertion',
    setup: 'words(3);',
    bodies: [
      'lock(0); set(1, 1); unlock(0); check(get(2) == 0, 1);',
      'lock(0); const port = get(1); set(1, 0); unlock(0); if (port != 0) set(2, 1);',
    ],
    published: {},
  },
];
