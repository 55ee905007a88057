// The small programs of SCTBench's "CS" suite (ESBMC's examples), written anew: same threads, same locks, same order of accesses, and the same order in
// which main creates them. What it does once it has joined them is left out, or done by the last of them.
import { type Program, times } from './source.js';

const reorder = (setters: number, checkers: number, published: Program['published']): Program => ({
  name: `reorder_${setters + checkers}`,
  about: `${setters} write a and then b without a lock, ${checkers} must see both or none: fails when all that have begun stand between the two`,
  verdict: 'assertion',
  setup: 'words(2);',
  bodies: [
    ...times(setters, 'set(0, 1); set(1, -1);'),
    ...times(checkers, 'if (get(0) == 0) { if (get(1) == 0) return; } check(get(0) == 1 && get(1) == -1, 1);'),
  ],
  published,
});

const twostage = (writers: number, readers: number, published: Program['published']): Program => ({
  name: writers + readers === 2 ? 'twostage' : `twostage_${writers + readers}`,
  about: `${writers} set one value under one lock and the next under another; ${readers} must not see the first without the second`,
  verdict: 'assertion',
  setup: 'words(4);',
  bodies: [
    ...times(writers, 'lock(0); set(2, 1); unlock(0); lock(1); set(3, get(2) + 1); unlock(1);'),
    ...times(
      readers,
      `lock(0); if (get(2) == 0) { unlock(0); return; } const a = get(2); unlock(0);
       lock(1); const b = get(3); unlock(1); check(b == a + 1, 1);`,
    ),
  ],
  published,
});

const wronglock = (others: number, published: Program['published']): Program => ({
  name: others === 7 ? 'wronglock' : `wronglock_${others}`,
  about: `one increments under its lock, ${others} under another lock`,
  verdict: 'assertion',
  setup: 'words(3);',
  bodies: [
    'lock(0); const x = get(2); set(2, get(2) + 1); check(get(2) == x + 1, 1); unlock(0);',
    ...times(others, 'lock(1); set(2, get(2) + 1); unlock(1);'),
  ],
  published,
});

/** Philosophers behind one lock: none ever waits for a fork, and that all of them have eaten is the bug. Words: forks, that lock, how many have eaten. */
const philosophers = (count: number): Program => ({
  name: `din_phil${count}`,
  about: `${count} philosophers who eat one after another: fails when all have`,
  verdict: 'assertion',
  setup: `words(${count + 2});`,
  bodies: Array.from({ length: count }, (_, id) => {
    const [left, right] = [id, (id + 1) % count];
    const eat = `lock(${count}); lock(${right}); lock(${left}); unlock(${left}); unlock(${right}); unlock(${count});`;
    const [enter, leave] = count === 2 ? ['', ''] : [`lock(${count});`, `unlock(${count});`];
    const eaten = `set(${count + 1}, get(${count + 1}) + 1);`;
    return `${eat} ${enter} ${eaten} ${leave} ${enter} check(get(${count + 1}) != ${count}, 1); ${leave}`;
  }),
  published: {},
  always: true,
});

const FILESYSTEM_THREADS = 27;
const FILESYSTEM_BLOCKS = 26;

export const CS: readonly Program[] = [
  {
    name: 'account',
    about: 'a check of the balance that is wrong once deposit and withdrawal are both done',
    verdict: 'assertion',
    setup: 'words(4); set(1, 1);',
    bodies: [
      'lock(0); if (get(2) != 0 && get(3) != 0) check(get(1) == 1 - 2 - 4, 1); unlock(0);',
      'lock(0); set(1, get(1) + 2); set(2, 1); unlock(0);',
      'lock(0); set(1, get(1) - 4); set(3, 1); unlock(0);',
    ],
    published: { surw: 5.85, surwDeviation: 5.04, pct3: 4, pos: 4, rw: 18 },
  },
  {
    name: 'arithmetic_prog',
    about: 'producer and consumer over two conditions whose sum is always the one that must not be',
    verdict: 'assertion',
    setup: 'words(6);',
    bodies: [
      'for (let n = 0; n < 3; n++) { lock(0); while (get(1) > 0) wait(2, 0); set(1, get(1) + 1); unlock(0); signal(3); }',
      `let j = 0;
       while (j < 3) { lock(0); while (get(1) == 0) wait(3, 0); set(4, get(4) + j); set(1, get(1) - 1); unlock(0); signal(2); j++; }
       set(4, get(4) + j); check(get(4) != 6, 1);`,
    ],
    published: {},
    always: true,
  },
  {
    name: 'bluetooth_driver',
    about: 'a driver that is stopped between the look at its flag and its use',
    verdict: 'assertion',
    setup: 'words(5); set(1, 1);',
    functions:
      'function ioDecrement(): void { lock(0); set(1, get(1) - 1); const pending = get(1); unlock(0); if (pending == 0) set(3, 1); }',
    main: 'if (get(2) == 0) { lock(0); set(1, get(1) + 1); unlock(0); check(get(4) == 0, 1); } ioDecrement();',
    bodies: ['set(2, 1); ioDecrement(); if (get(3) != 0) set(4, 1);'],
    published: { surw: 70.2, surwDeviation: 54.86, pct3: 112, pos: 36, rw: 215 },
  },
  {
    name: 'carter01',
    about: 'the first of each kind takes the second lock while it holds the first',
    verdict: 'deadlock',
    setup: 'words(4);',
    functions: `function carter(own: i32): void {
      lock(0); set(own, get(own) + 1); if (get(own) == 1) lock(1); unlock(0);
      lock(0); set(own, get(own) - 1); if (get(own) == 0) unlock(1); unlock(0);
    }`,
    bodies: ['carter(2);', 'carter(3);', '', ''],
    published: { pct3: 5, pos: 2, rw: 1 },
  },
  {
    name: 'circular_buffer',
    about: 'a consumer that counts rounds in which nothing was received',
    verdict: 'assertion',
    setup: 'words(16); set(1, 1);',
    functions: `
      function insert(value: i32): void { const next = get(4); if (next < 10) { set(5 + next, value); set(4, (next + 1) % 10); } }
      function remove(): i32 { const first = get(3); if (get(4) > 0 && first < 10) { set(3, first + 1); return get(5 + first); } return -1; }`,
    bodies: [
      'for (let n = 0; n < 7; n++) { lock(0); if (get(1) != 0) { insert(n); set(1, 0); set(2, 1); } unlock(0); }',
      'for (let n = 0; n < 7; n++) { lock(0); if (get(2) != 0) { check(remove() == n, 1); set(2, 0); set(1, 1); } unlock(0); }',
    ],
    published: { surw: 2.8, surwDeviation: 0.83, pct3: 9, pos: 2, rw: 4 },
  },
  {
    name: 'deadlock01',
    about: 'two locks in two orders',
    verdict: 'deadlock',
    setup: 'words(3);',
    bodies: [
      'lock(0); lock(1); set(2, get(2) + 1); unlock(1); unlock(0);',
      'lock(1); lock(0); set(2, get(2) - 1); unlock(0); unlock(1);',
    ],
    published: { surw: 1.8, isVoid: true, pct3: 13, pos: 4, rw: 3 },
  },
  ...[2, 3, 4, 5, 6, 7].map(philosophers),
  {
    name: 'fsbench',
    about: `${FILESYSTEM_THREADS} threads that each take a block for an inode of theirs, one of which is out of range`,
    verdict: 'assertion',
    setup: `words(${3 * FILESYSTEM_BLOCKS + 32});`,
    functions: `function allocateBlock(i: i32): void {
      check(i < ${FILESYSTEM_BLOCKS}, 1);
      lock(i);
      if (get(${3 * FILESYSTEM_BLOCKS} + i) == 0) {
        let b = (i * 2) % ${FILESYSTEM_BLOCKS};
        for (let tries = 0; tries < 13; tries++) {
          lock(${FILESYSTEM_BLOCKS} + b);
          if (get(${2 * FILESYSTEM_BLOCKS} + b) == 0) {
            set(${2 * FILESYSTEM_BLOCKS} + b, 1);
            set(${3 * FILESYSTEM_BLOCKS} + i, b + 1);
            unlock(${FILESYSTEM_BLOCKS} + b);
            break;
          }
          unlock(${FILESYSTEM_BLOCKS} + b);
          b = (b + 1) % ${FILESYSTEM_BLOCKS};
        }
      }
      unlock(i);
    }`,
    bodies: Array.from({ length: FILESYSTEM_THREADS }, (_, thread) => `allocateBlock(${thread % 32});`),
    published: {},
    always: true,
  },
  {
    name: 'lazy01',
    about: 'a look that must not come last comes last',
    verdict: 'assertion',
    setup: 'words(2);',
    bodies: [
      'lock(0); check(get(1) < 3, 1); unlock(0);',
      'lock(0); set(1, get(1) + 2); unlock(0);',
      'lock(0); set(1, get(1) + 1); unlock(0);',
    ],
    published: { surw: 2, isVoid: true, pct3: 5, pos: 5, rw: 21 },
  },
  {
    name: 'phase01',
    about: 'a lock that is never given back',
    verdict: 'deadlock',
    setup: 'words(2);',
    bodies: times(2, 'lock(0); unlock(0); lock(0); lock(1); unlock(1); lock(1); unlock(1);'),
    published: {},
    always: true,
  },
  {
    name: 'queue',
    about: 'a consumer that counts rounds in which nothing was there',
    verdict: 'assertion',
    setup: 'words(48); set(4, 1);',
    functions: `
      function enqueue(x: i32): void { const tail = get(2); set(6 + tail, x); set(3, get(3) + 1); set(2, tail == 20 ? 1 : tail + 1); }
      function dequeue(): i32 { const head = get(1); const x = get(6 + head); set(3, get(3) - 1); set(1, head == 20 ? 1 : head + 1); return x; }`,
    bodies: [
      `let value = 0; lock(0); enqueue(value); set(27, value); unlock(0);
       for (let n = 0; n < 19; n++) { lock(0); if (get(4) != 0) { value++; enqueue(value); set(28 + n, value); set(4, 0); set(5, 1); } unlock(0); }`,
      'for (let n = 0; n < 20; n++) { lock(0); if (get(5) != 0) { check(dequeue() == get(27 + n), 1); set(5, 0); set(4, 1); } unlock(0); }',
    ],
    published: { surw: 2.15, surwDeviation: 0.49, pct3: 3, pos: 1, rw: 1 },
  },
  reorder(2, 1, { surw: 7.3, surwDeviation: 6.59, pct3: 185, pos: 86 }),
  reorder(3, 1, { surw: 7.35, surwDeviation: 6.14, pct3: 554, pos: 533 }),
  reorder(4, 1, { surw: 10.45, surwDeviation: 8.9, pct3: 647, pos: 2169 }),
  reorder(9, 1, { surw: 17.2, surwDeviation: 10.84, pct3: 3225 }),
  reorder(10, 10, { surw: 5.95, surwDeviation: 4.14, pct3: 3005 }),
  reorder(40, 10, { surw: 13, surwDeviation: 11.55, pct3: 3304 }),
  reorder(99, 1, { surw: 194.2, surwDeviation: 213.85 }),
  {
    name: 'stack',
    about: 'a flag that is never taken back lets more be popped than was pushed',
    verdict: 'assertion',
    setup: 'words(13);',
    bodies: [
      `for (let n = 0; n < 10; n++) { lock(0); const top = get(1); check(top < 10, 1); set(3 + top, n); set(1, top + 1); set(2, 1); unlock(0); }`,
      'for (let n = 0; n < 10; n++) { lock(0); if (get(2) != 0) { const top = get(1); check(top > 0, 2); set(1, top - 1); } unlock(0); }',
    ],
    published: { surw: 4.6, surwDeviation: 3.05, pct3: 3, pos: 2, rw: 176 },
  },
  {
    name: 'sync01',
    about: 'a producer waits for a consumer that takes nothing',
    verdict: 'deadlock',
    setup: 'words(4); set(1, 1);',
    bodies: [
      'lock(0); while (get(1) > 0) wait(2, 0); set(1, get(1) + 1); unlock(0); signal(3);',
      'lock(0); while (get(1) == 0) wait(3, 0); unlock(0); signal(2);',
    ],
    published: {},
    always: true,
  },
  {
    name: 'sync02',
    about: 'a producer who waits for an empty store twice, and a consumer who empties it once',
    verdict: 'deadlock',
    setup: 'words(4); set(1, 2);',
    bodies: [
      'for (let n = 0; n < 2; n++) { lock(0); while (get(1) > 0) wait(2, 0); set(1, get(1) + 1); unlock(0); signal(3); }',
      'for (let n = 0; n < 2; n++) { lock(0); while (get(1) == 0) wait(3, 0); set(1, get(1) - 1); unlock(0); signal(2); }',
    ],
    published: {},
    always: true,
  },
  {
    name: 'token_ring',
    about: 'three that pass a number on, and one that looks when all have, in the wrong order',
    verdict: 'assertion',
    setup: 'words(7); set(1, 1); set(2, 2); set(3, 1);',
    bodies: [
      'lock(0); set(1, (get(3) + 1) % 4); set(4, 1); unlock(0);',
      'lock(0); set(2, get(1)); set(5, 1); unlock(0);',
      'lock(0); set(3, get(2)); set(6, 1); unlock(0);',
      'lock(0); if (get(4) != 0 && get(5) != 0 && get(6) != 0) check(get(1) == get(2) && get(2) == get(3), 1); unlock(0);',
    ],
    published: { surw: 8.15, surwDeviation: 5.79, pct3: 8, pos: 9, rw: 13 },
  },
  twostage(1, 1, { surw: 7.5, surwDeviation: 4.31, pct3: 13, pos: 15, rw: 464 }),
  twostage(10, 10, { surw: 5.65, surwDeviation: 3.34, pct3: 159, pos: 156 }),
  twostage(40, 10, { surw: 20.5, surwDeviation: 16.91, pct3: 1676, pos: 1637 }),
  twostage(99, 1, { surw: 453.85, surwDeviation: 444.2, pct3: 7466, pos: 6674 }),
  wronglock(7, { surw: 7.45, surwDeviation: 7.04, pct3: 51, pos: 10, rw: 36 }),
  wronglock(3, { surw: 8.8, surwDeviation: 8.63, pct3: 58, pos: 11, rw: 36 }),
];
