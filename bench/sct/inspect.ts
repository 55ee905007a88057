// Programs of the "Inspect" suite and of SPLASH-2, as far as they are small: a bounded buffer as PERIOD has it (two producers, two consumers, four items each,
// and a consumer that gives its lock back between waiting and taking), a trace that two threads end, workers that are counted without waiting for them. And of
// JaConTeBe's kinds of bugs the one that the other programs do not have.
import { type Program, times } from './source.js';

const [MUTEX, NOT_FULL, NOT_EMPTY, HEAD, REAR, PRODUCERS, CONSUMERS, RING] = [0, 1, 2, 3, 4, 5, 6, 7];
const PLACES = 3;
const ITEMS = 4;

export const INSPECT: readonly Program[] = [
  {
    name: 'bounded_buffer',
    about: 'a consumer that has waited for an item gives the lock back, and finds that another one has taken it',
    verdict: 'assertion',
    setup: `words(${RING + PLACES});`,
    functions: `
      function put(item: i32): void {
        lock(${MUTEX});
        if ((get(${REAR}) + 1) % ${PLACES} == get(${HEAD})) {
          set(${PRODUCERS}, get(${PRODUCERS}) + 1);
          while ((get(${REAR}) + 1) % ${PLACES} == get(${HEAD})) wait(${NOT_FULL}, ${MUTEX});
          set(${PRODUCERS}, get(${PRODUCERS}) - 1);
        }
        set(${RING} + get(${REAR}), item);
        set(${REAR}, (get(${REAR}) + 1) % ${PLACES});
        if (get(${CONSUMERS}) > 0) signal(${NOT_EMPTY});
        unlock(${MUTEX});
      }
      function take(): i32 {
        lock(${MUTEX});
        if (get(${HEAD}) == get(${REAR})) {
          set(${CONSUMERS}, get(${CONSUMERS}) + 1);
          while (get(${HEAD}) == get(${REAR})) wait(${NOT_EMPTY}, ${MUTEX});
          set(${CONSUMERS}, get(${CONSUMERS}) - 1);
        }
        unlock(${MUTEX});
        lock(${MUTEX});
        check(get(${HEAD}) != get(${REAR}), 1);
        const item = get(${RING} + get(${HEAD}));
        set(${HEAD}, (get(${HEAD}) + 1) % ${PLACES});
        if (get(${PRODUCERS}) > 0) signal(${NOT_FULL});
        unlock(${MUTEX});
        return item;
      }`,
    bodies: [
      ...times(2, `for (let n = 0; n < ${ITEMS}; n++) put(n);`),
      ...times(2, `for (let n = 0; n < ${ITEMS}; n++) take();`),
    ],
    published: { surw: 8.7, surwDeviation: 7, pct3: 20, pos: 5, rw: 7 },
  },
  {
    name: 'ctrace',
    about: 'two threads end the trace, and both destroy it',
    verdict: 'assertion',
    setup: 'words(2); set(0, 1);',
    bodies: times(2, 'if (get(0) != 0) { check(get(1) == 0, 1); set(1, 1); set(0, 0); }'),
    published: { pct3: 2, pos: 1, rw: 1 },
  },
  {
    name: 'splash',
    about: 'main counts the workers that have finished, and does not wait for the last one',
    verdict: 'assertion',
    setup: 'words(2);',
    main: 'lock(0); set(1, get(1) + 1); unlock(0); check(get(1) == 2, 1);',
    bodies: ['lock(0); set(1, get(1) + 1); unlock(0);'],
    published: { surw: 3.1, surwDeviation: 1.68, pct3: 4, pos: 3, rw: 43 },
    always: true,
  },
  {
    name: 'lost_notify',
    about: 'a thread looks whether it has to wait before it takes the lock, and is notified in between',
    verdict: 'deadlock',
    setup: 'words(3);',
    bodies: ['if (get(1) == 0) { lock(0); wait(2, 0); unlock(0); }', 'lock(0); set(1, 1); signal(2); unlock(0);'],
    published: {},
  },
];
