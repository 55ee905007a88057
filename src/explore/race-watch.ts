// Looks for happens-before races in every execution it watches (races.ts has the algorithm), and keeps the first one of the execution.
import { POINT_FUTEX_WAIT, POINT_FUTEX_WAKE, POINT_ATOMIC_LOAD } from '../kernel/abi/point.js';
import { MAX_THREADS } from './clocks.js';
import type { Machine, Observer } from './machine.js';
import { type Race, RaceDetector, type RaceSide } from './races.js';
import type { View } from './strategy.js';

/** The detector's thread 0 is the set-up. */
const FIRST_THREAD = 1;

export class RaceWatch implements Observer {
  readonly #detector: RaceDetector;
  readonly #threads: number;
  /** The first race of the execution that is watched, or was watched last. */
  race: Race | undefined;

  readonly #found: ((race: Race) => void) | undefined;

  /** `found` is told of every race, not only of the first one. */
  constructor({ memory: { stateStart, stateEnd }, threadCount }: Machine, found?: (race: Race) => void) {
    this.#found = found;
    this.#threads = FIRST_THREAD + threadCount;
    this.#detector = new RaceDetector(stateStart, stateEnd);
  }

  begin(): void {
    this.race = undefined;
    this.#detector.restart(this.#threads);
  }

  performed(thread: number, view: View): void {
    const kind = view.kind(thread);
    if (kind === 0 || kind === POINT_FUTEX_WAKE) return;
    const access = kind === POINT_FUTEX_WAIT ? POINT_ATOMIC_LOAD : kind;
    const race = this.#detector.access(
      thread + FIRST_THREAD,
      access,
      view.address(thread),
      view.bytes(thread),
      view.low(thread) >>> 0,
    );
    if (race === undefined) return;
    this.race ??= race;
    this.#found?.(race);
  }

  woke(waker: number, waiter: number): void {
    this.#detector.wake(waker + FIRST_THREAD, waiter + FIRST_THREAD);
  }
}

/** Whether the machine's threads are few enough for the detector's clocks. */
export function canWatch({ threadCount }: Machine): boolean {
  return FIRST_THREAD + threadCount <= MAX_THREADS;
}

/** The race in words: who did what to what. */
export function raceText(race: Race, threadNames: readonly string[], nameOf: (address: number) => string): string {
  const side = ({ thread, write, atomic }: RaceSide): string => {
    const name = threadNames[thread - FIRST_THREAD] ?? 'the set-up';
    return `the ${atomic ? 'atomic' : 'plain'} ${write ? 'write' : 'read'} by ${name}`;
  };
  return `${nameOf(race.address)}: nothing orders ${side(race.second)} after ${side(race.first)}`;
}
