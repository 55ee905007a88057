// Looks for happens-before races in every execution it watches (races.ts has the algorithm), and keeps the first of each pair of places.
import { POINT_FUTEX_WAIT, POINT_FUTEX_WAKE, POINT_ATOMIC_LOAD } from '../kernel/abi/point.js';
import type { Machine, Observer } from './machine.js';
import { type Race, RaceDetector } from './races.js';
import type { View } from './strategy.js';

/** The detector's thread 0 is the set-up. */
const FIRST_THREAD = 1;

export class RaceWatch implements Observer {
  readonly #detector: RaceDetector;
  /** The first race of each word. */
  readonly races = new Map<number, Race>();

  readonly #threads: number;

  constructor({ memory: { stateStart, stateEnd }, threadCount }: Machine) {
    this.#threads = FIRST_THREAD + threadCount;
    this.#detector = new RaceDetector(stateStart, stateEnd);
  }

  begin(): void {
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
    if (race !== undefined && !this.races.has(race.address)) this.races.set(race.address, race);
  }

  woke(waker: number, waiter: number): void {
    this.#detector.wake(waker + FIRST_THREAD, waiter + FIRST_THREAD);
  }
}
