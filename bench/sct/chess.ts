// CHESS's own small programs about fairness: loops that wait for another thread, politely or not, and philosophers who give way to one another for ever. Most must
// end under a fair schedule and are no failure; the others must be told to go round for ever, and not be taken for long executions.
import { type Program, times } from './source.js';

/** Forks of the philosophers: word n. How often each has eaten lies behind them. */
const eat = (left: number, right: number): string => `
  while (true) {
    while (atomicXchg32(at(${left}), 1) != 0) cpuRelax();
    if (atomicXchg32(at(${right}), 1) == 0) break;
    atomicStore32(at(${left}), 0);
    cpuRelax();
  }
  atomicStore32(at(${right}), 0); atomicStore32(at(${left}), 0);`;

const SET_DONE = 'atomicStore32(at(0), 1);';

export const CHESS: readonly Program[] = [
  {
    name: 'fairness1',
    about: 'a thread waits politely for a word that nobody writes',
    verdict: 'livelock',
    setup: 'words(1);',
    bodies: ['while (atomicLoad32(at(0)) == 0) cpuRelax();'],
    published: {},
    always: true,
  },
  {
    name: 'fairness2',
    about: 'the same, and main writes it: it ends',
    verdict: 'none',
    setup: 'words(1);',
    main: SET_DONE,
    bodies: times(2, 'while (atomicLoad32(at(0)) == 0) cpuRelax();'),
    published: {},
  },
  {
    name: 'fairness3',
    about:
      'the same without giving way, which CHESS reports as bad manners: here it gets a fair schedule in the end, and ends',
    verdict: 'none',
    setup: 'words(1);',
    main: SET_DONE,
    bodies: times(2, 'while (atomicLoad32(at(0)) == 0) {}'),
    published: {},
  },
  {
    name: 'fairness4',
    about: 'a thread gives its lock back and takes it again until another one has had it',
    verdict: 'none',
    setup: 'words(2);',
    main: 'lock(1); atomicStore32(at(0), 1); unlock(1);',
    bodies: ['lock(1); while (atomicLoad32(at(0)) == 0) { unlock(1); cpuRelax(); lock(1); } unlock(1);'],
    published: {},
  },
  {
    name: 'try_philosophers',
    about: 'two philosophers who put the first fork down when the second is taken, both at once, again and again',
    verdict: 'livelock',
    setup: 'words(2);',
    bodies: [eat(0, 1), eat(1, 0)],
    published: {},
  },
  {
    name: 'dekker',
    about: "Dekker's algorithm: correct where memory is sequentially consistent",
    verdict: 'none',
    setup: 'words(4);',
    functions: `function dekker(me: i32): void {
      atomicStore32(at(me), 1);
      while (atomicLoad32(at(1 - me)) != 0) {
        if (atomicLoad32(at(2)) == me) { cpuRelax(); continue; }
        atomicStore32(at(me), 0);
        while (atomicLoad32(at(2)) != me) cpuRelax();
        atomicStore32(at(me), 1);
      }
      check(get(3) == 0, 1); set(3, 1); set(3, 0);
      atomicStore32(at(2), 1 - me);
      atomicStore32(at(me), 0);
    }`,
    bodies: ['dekker(0);', 'dekker(1);'],
    published: {},
  },
  {
    name: 'lazy_init',
    about: 'two threads find that nothing is there yet, and make it twice',
    verdict: 'assertion',
    setup: 'words(2);',
    bodies: times(2, 'if (get(0) == 0) { set(0, 1); check(atomicAdd32(at(1), 1) == 0, 1); }'),
    published: {},
  },
];
