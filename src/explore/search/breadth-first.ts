// Breadth-first search over states: the first violation it meets has the fewest steps of all. It keeps the states of the frontier, and for every state
// two words that lead back to the start.
import { Seen, type VisitedSet } from '../visited.js';
import { lowest, type Failure, type SearchLimits, type SearchMachine, type SearchResult } from './machine.js';

/** How often the caller is asked whether to stop. */
const STATES_BETWEEN_LOOKS = 256;
const THREAD_BITS = 5;

interface Waiting<S> {
  saved: S;
  /** Index of the state's entry in the way back. */
  entry: number;
}

/** Searches from the machine's present state. */
export function breadthFirst<S>(machine: SearchMachine<S>, visited: VisitedSet, limits: SearchLimits): SearchResult {
  return new BreadthFirst(machine, visited, limits).run();
}

class BreadthFirst<S> {
  readonly #machine: SearchMachine<S>;
  readonly #visited: VisitedSet;
  readonly #options: SearchLimits;
  readonly #limits = new Set<SearchResult['limits'][number]>();
  /** By entry: the entry the state was reached from, and the thread that ran. */
  #from = new Float64Array(1024);
  #entries = 0;
  /** By entry: what the choices within its step were answered, where there were any. */
  readonly #answers = new Map<number, readonly number[]>();
  #transitions = 0;
  #executions = 0;
  #next: Waiting<S>[] = [];

  constructor(machine: SearchMachine<S>, visited: VisitedSet, options: SearchLimits) {
    this.#machine = machine;
    this.#visited = visited;
    this.#options = options;
  }

  run(): SearchResult {
    let failure = this.#enter(-1, -1);
    let depth = 0;
    while (failure === undefined && this.#next.length > 0 && this.#limits.size === 0) {
      if (depth >= this.#options.depth) {
        this.#limits.add('depth');
        break;
      }
      depth++;
      const frontier = this.#next;
      this.#next = [];
      failure = this.#expandAll(frontier);
    }
    if (this.#visited.bitStates > 0) this.#limits.add('bits');
    return {
      complete: failure === undefined && this.#limits.size === 0,
      limits: [...this.#limits],
      states: this.#visited.states + this.#visited.bitStates,
      transitions: this.#transitions,
      executions: this.#executions,
      deepest: depth,
      ...(failure === undefined ? {} : { violation: failure }),
    };
  }

  #expandAll(frontier: Waiting<S>[]): SearchResult['violation'] {
    for (const [n, { saved, entry }] of frontier.entries()) {
      if (this.#visited.states + this.#visited.bitStates > this.#options.states) this.#limits.add('states');
      if (n % STATES_BETWEEN_LOOKS === 0 && this.#options.stop()) this.#limits.add('stop');
      if (this.#limits.size > 0) return undefined;
      this.#machine.restore(saved);
      for (let left = this.#machine.enabled(); left !== 0; left &= left - 1) {
        const failure = this.#allWays(saved, entry, lowest(left));
        if (failure !== undefined) return failure;
        this.#machine.restore(saved);
      }
    }
    return undefined;
  }

  /** A thread's step from a state that the machine is in, once for each answer to the choices within it. */
  #allWays(saved: S, entry: number, thread: number): SearchResult['violation'] {
    for (let next: readonly number[] | undefined = []; next !== undefined; next = this.#machine.nextAnswers()) {
      if (next.length > 0) this.#machine.restore(saved);
      this.#transitions++;
      const failed = this.#machine.step(thread, next);
      if (failed !== undefined) return this.#failing(failed, entry, thread);
      const failure = this.#enter(entry, thread);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  #enter(from: number, thread: number): SearchResult['violation'] {
    const machine = this.#machine;
    if (machine.enabled() === 0) {
      const stuck = machine.unfinished() !== 0;
      if (!stuck) this.#executions++;
      const failed = stuck
        ? { kind: 'deadlock', message: 'threads are left and none of them can go on' }
        : machine.atRest();
      return failed && this.#failing(failed, from, thread);
    }
    const seen = this.#visited.insert(machine.hashLow, machine.hashHigh);
    if (seen === Seen.New || seen === Seen.NewByBits) {
      this.#next.push({ saved: machine.save(), entry: this.#addEntry(from, thread) });
    }
    return undefined;
  }

  #addEntry(from: number, thread: number): number {
    if (this.#entries === this.#from.length) {
      const larger = new Float64Array(this.#from.length * 2);
      larger.set(this.#from);
      this.#from = larger;
    }
    if (thread >= 0 && this.#machine.answers.length > 0) this.#answers.set(this.#entries, this.#machine.answers);
    this.#from[this.#entries] = (from + 1) * 2 ** THREAD_BITS + Math.max(0, thread);
    return this.#entries++;
  }

  /** The way from the start to a failing step of `thread`. */
  #failing(failure: Failure, entry: number, thread: number): SearchResult['violation'] {
    // From the end to the start. Without a thread it is the start itself that fails.
    const schedule = thread < 0 ? [] : [...this.#machine.answers.toReversed(), thread];
    for (let at = entry; at > 0;) {
      const word = this.#from[at]!;
      schedule.push(...(this.#answers.get(at)?.toReversed() ?? []), word % 2 ** THREAD_BITS);
      at = Math.floor(word / 2 ** THREAD_BITS) - 1;
    }
    return { ...failure, schedule: schedule.toReversed() };
  }
}
