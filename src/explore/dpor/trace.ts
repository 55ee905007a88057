// One execution as a partial order: the happens-before clock of each event, and the races of events that could also have come the other way round.
// After Abdulla, Aronis, Jonsson, Sagonas, "Optimal Dynamic Partial Order Reduction", POPL 2014, section 4; locks as in Nidhugg: two acquisitions
// race from lock to lock, while unlock to lock is order that cannot be reversed.
import { conflict, type Operation } from './dependence.js';

export interface Event {
  thread: number;
  operation: Operation;
  /** Index of the event that made this thread run again (a wake-up), -1 for none: order, not a race. */
  after: number;
}

/** Two events in conflict, next to each other in the partial order: `later` could come first. */
export interface ReversibleRace {
  earlier: number;
  later: number;
}

/** Of one word or lock: the events that a next one must be ordered behind. */
interface History {
  write: number;
  reads: number[];
  lock: number;
  unlock: number;
}

const NONE = -1;

/** The partial order of a sequence of events. Clocks count, for each thread, how many events of it happened before or are the event itself. */
export class TraceOrder {
  readonly #events: readonly Event[];
  /** Events that were executed; the pending ones are behind them. */
  readonly #executed: number;
  readonly #threads: number;
  readonly #clocks: Int32Array;
  /** Number of each event among its thread's, from 1. */
  readonly #ordinal: Int32Array;
  readonly races: ReversibleRace[] = [];

  /** Orders `events`, `pending` being locks for which threads wait at the end (a deadlock): they count as events for races only. */
  constructor(events: readonly Event[], threads: number, pending: readonly Event[] = []) {
    this.#events = [...events, ...pending];
    this.#executed = events.length;
    this.#threads = threads;
    this.#clocks = new Int32Array(this.#events.length * threads);
    this.#ordinal = new Int32Array(this.#events.length);
    this.#order();
  }

  /** Whether event `a` happened before event `b` (or is it). */
  before(a: number, b: number): boolean {
    return this.#ordinal[a]! <= this.#clocks[b * this.#threads + this.#events[a]!.thread]!;
  }

  /** A form that two executions share exactly if they are the same trace. */
  canonical(): string {
    const events = this.#events.map((event, n) => {
      const clock = this.#clocks.subarray(n * this.#threads, (n + 1) * this.#threads);
      return `${event.thread}:${clock.join('.')}`;
    });
    return events.toSorted().join(' ');
  }

  #order(): void {
    const histories = new Map<string, History>();
    const last = Array.from({ length: this.#threads }, () => NONE);
    for (let n = 0; n < this.#events.length; n++) {
      const { thread, operation, after } = this.#events[n]!;
      const previous = last[thread]!;
      if (previous !== NONE) this.#join(n, previous);
      this.#ordinal[n] = (previous === NONE ? 0 : this.#ordinal[previous]!) + 1;
      this.#clocks[n * this.#threads + thread] = this.#ordinal[n]!;
      if (after !== NONE) this.#join(n, after);
      const places = placesOf(operation).map(([key, write]) => {
        const history = histories.get(key) ?? { write: NONE, reads: [], lock: NONE, unlock: NONE };
        histories.set(key, history);
        return { history, write };
      });
      const candidates = places.flatMap(({ history, write }) => raceCandidates(operation, history, write));
      this.#collect(n, [...new Set(candidates)]);
      if (n >= this.#executed) continue;
      for (const { history, write } of places) {
        for (const event of orderedBehind(operation, history, write)) this.#join(n, event);
      }
      for (const { history, write } of places) note(operation, history, write, n);
      last[thread] = n;
    }
  }

  #join(n: number, earlier: number): void {
    for (let thread = 0; thread < this.#threads; thread++) {
      const clock = this.#clocks[earlier * this.#threads + thread]!;
      if (clock > this.#clocks[n * this.#threads + thread]!) this.#clocks[n * this.#threads + thread] = clock;
    }
  }

  /** Keeps those that no order says anything of yet, and that no other candidate comes behind. */
  #collect(n: number, candidates: number[]): void {
    const unordered = candidates.filter(
      (event) => this.#events[event]!.thread !== this.#events[n]!.thread && !this.before(event, n),
    );
    for (const event of unordered) {
      if (unordered.some((other) => other !== event && this.before(event, other))) continue;
      this.races.push({ earlier: event, later: n });
    }
  }

  /**
   * Threads one of which must run first, where the race's earlier event ran, for the race to come the other way round: the initials of what does not
   * depend on the earlier event, up to the later one. The first is the later event's own thread, if it is among them.
   */
  initials({ earlier, later }: ReversibleRace): number[] {
    const between: number[] = [];
    for (let n = earlier + 1; n < Math.min(later, this.#executed); n++) {
      if (!this.before(earlier, n)) between.push(n);
    }
    const found: number[] = [];
    for (const [at, n] of between.entries()) {
      const { thread } = this.#events[n]!;
      if (between.slice(0, at).every((other) => this.#events[other]!.thread !== thread && !this.before(other, n))) {
        found.push(thread);
      }
    }
    const { thread, operation, after } = this.#events[later]!;
    const depends = between.some((n) => {
      const event = this.#events[n]!;
      return (
        event.thread === thread || conflict(event.operation, operation) || (after !== NONE && this.before(n, after))
      );
    });
    if (!depends) found.unshift(thread);
    return found;
  }
}

/** The words and locks an operation is about, by name, and whether it writes them. */
function placesOf({ touches, lock }: Operation): [key: string, write: boolean][] {
  const places = new Map<string, boolean>();
  for (const { first, end, write } of touches) {
    for (let word = first; word < end; word++) places.set(`w${word}`, write || (places.get(`w${word}`) ?? false));
  }
  if (lock !== undefined) places.set(`l${lock}`, true);
  return [...places];
}

function raceCandidates({ kind }: Operation, history: History, write: boolean): number[] {
  if (kind === 'lock' && history.lock !== NONE) return [history.lock];
  if (kind === 'unlock' && history.lock !== NONE) return [];
  return (write ? [history.write, ...history.reads] : [history.write]).filter((event) => event !== NONE);
}

function orderedBehind(operation: Operation, history: History, write: boolean): number[] {
  return [...raceCandidates(operation, history, write), history.unlock].filter((event) => event !== NONE);
}

function note({ kind }: Operation, history: History, write: boolean, n: number): void {
  if (kind === 'lock') history.lock = n;
  else if (kind === 'unlock') history.unlock = n;
  else if (write) {
    history.write = n;
    history.reads = [];
  } else history.reads.push(n);
}
