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
    published: { surw: 3.75, surwDeviation: 2.17, pct3: 4, pos: 3, rw: 5 },
  },
  {
    name: 'cve_2011_2183',
    about: 'KSM scans a slot that an exiting process takes off the list',
    verdict: 'assertion',
    // Words: the lock, the list's first slot (0: none), where the scan stands (0: at the head), whether the slot is still hashed.
    setup: 'words(4); set(1, 1); set(3, 1);',
    bodies: [
      `if (get(1) == 0 || get(2) != 0) return;
       lock(0); const slot = get(1); set(2, slot); unlock(0);
       check(slot != 0, 1);
       lock(0); set(2, 0); set(3, 0); set(1, 0); unlock(0);`,
      'lock(0); if (get(3) != 0 && get(2) == 0) { set(3, 0); set(1, 0); } unlock(0);',
    ],
    published: { surw: 3.15, surwDeviation: 2.01, pct3: 5, pos: 2, rw: 2 },
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
    published: { surw: 5.7, surwDeviation: 6.37, pct3: 9, pos: 6, rw: 1 },
  },
  {
    name: 'cve_2016_1973',
    about:
      "a counted singleton of WebRTC: counted before it is there, and freed while another one's count is in flight",
    verdict: 'assertion',
    // Words: the count, the instance (0: none), and of each instance whether it is freed.
    setup: 'words(5);',
    functions: `
      function getDatabase(me: i32): i32 {
        let creates = atomicLoad32(at(0)) == 0;
        if (!creates && atomicAdd32(at(0), 1) == 0) { atomicSub32(at(0), 1); creates = true; }
        if (creates) {
          if (atomicAdd32(at(0), 1) == 0) atomicXchg32(at(1), me);
          else { atomicSub32(at(0), 1); set(2 + me, 1); }
        }
        return <i32>atomicLoad32(at(1));
      }
      function useDatabase(database: i32): void { check(database != 0, 1); check(get(2 + database) == 0, 2); }
      function returnDatabase(): void {
        if (atomicSub32(at(0), 1) != 1) return;
        const last = <i32>atomicXchg32(at(1), 0);
        if (last != 0) set(2 + last, 1);
      }`,
    bodies: ['useDatabase(getDatabase(1));', 'useDatabase(getDatabase(2)); returnDatabase();'],
    published: { surw: 4.8, surwDeviation: 3.3, pct3: 10, pos: 5, rw: 308 },
  },
  {
    name: 'cve_2016_7911',
    about: "a task's I/O context goes between the check and the use",
    verdict: 'assertion',
    setup: 'words(2); set(1, 1);',
    bodies: ['if (get(1) != 0) check(get(1) != 0, 1);', 'lock(0); const context = get(1); set(1, 0); unlock(0);'],
    published: { surw: 7.7, surwDeviation: 9.1, pct3: 20, pos: 11, rw: 3 },
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
