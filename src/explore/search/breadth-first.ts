// Breadth-first search over states: the first violation it meets has the fewest steps of all. It keeps the states of the frontier, and for every state
// two words that lead back to the start. Every thread is tried at every state: a local step that is made at once could make a way longer.
import { Seen, type VisitedSet } from '../visited.js';
import { lowest, type Failure, type SearchLimits, type SearchMachine, type SearchResult } from './machine.js';
import { entryWord, parentOf, statesAt, threadOf, type WaysBack, waysTo } from './ways-back.js';

/** How often the caller is asked whether to stop. */
const STATES_BETWEEN_LOOKS = 256;

interface Waiting<S> {
  saved: S;
  /** Index of the state's entry in the way back. */
  entry: number;
}

/** Limits of a search that keeps the states of its frontier. */
export interface BreadthLimits<S> extends SearchLimits {
  /** Bytes that a saved state takes, and how many those of the frontier may take. */
  bytesOf?: (saved: S) => number;
  frontierBytes?: number;
}

/** Where a search was stopped: the ways to the states that wait, of which the first `present` are `depth` steps from the start, the others one more. */
export interface Waits extends WaysBack {
  present: number;
  depth: number;
  transitions: number;
  executions: number;
}

/** Searches from the machine's present state. */
export function breadthFirst<S>(
  machine: SearchMachine<S>,
  visited: VisitedSet,
  limits: BreadthLimits<S>,
): SearchResult {
  const search = new BreadthFirst(machine, visited, limits);
  search.run(Infinity);
  return search.result();
}

/** The search in slices, so that the caller can look at Ctrl-C in between. */
export class BreadthFirst<S> {
  readonly #machine: SearchMachine<S>;
  readonly #visited: VisitedSet;
  readonly #options: BreadthLimits<S>;
  readonly #limits = new Set<SearchResult['limits'][number]>();
  /** By entry: the entry the state was reached from, and the thread that ran. */
  #from = new Float64Array(1024);
  #entries = 0;
  /** By entry: what the choices within its step were answered, where there were any. */
  readonly #answers = new Map<number, readonly number[]>();
  #transitions = 0;
  #executions = 0;
  /** States so many steps from the start, the first `#at` of which are done with, and those one step further. */
  #present: (Waiting<S> | undefined)[] = [];
  #at = 0;
  #next: Waiting<S>[] = [];
  #depth = 0;
  #bytes = 0;
  #failure: SearchResult['violation'];
  #begun = false;

  constructor(machine: SearchMachine<S>, visited: VisitedSet, options: BreadthLimits<S>) {
    this.#machine = machine;
    this.#visited = visited;
    this.#options = options;
  }

  /** Goes on where another search was stopped, whose states `visited` has. The machine is at the start. Throws when it does not go the ways that are named. */
  take(waits: Waits): void {
    const { words, answers, waiting, present, depth, transitions, executions } = waits;
    const first = words.length - waiting;
    const states = statesAt(this.#machine, waits);
    const wait = (saved: S, n: number): Waiting<S> => {
      this.#bytes += this.#options.bytesOf?.(saved) ?? 0;
      return { saved, entry: first + n };
    };
    const waitings = states.map((saved, n) => wait(saved, n));
    this.#present = waitings.slice(0, present);
    this.#next = waitings.slice(present);
    this.#from = Float64Array.from(words);
    this.#entries = words.length;
    for (const [entry, given] of answers) this.#answers.set(entry, given);
    this.#depth = depth;
    this.#transitions = transitions;
    this.#executions = executions;
    this.#begun = true;
  }

  /** Where the search is; undefined when it is over. */
  left(): Waits | undefined {
    this.run(0);
    if (this.#failure !== undefined || this.frontier === 0) return undefined;
    // Entries are numbered as they are met: all those from the first that waits on wait.
    const ways = waysTo(this.frontier, this.#from.subarray(0, this.#entries), this.#answers);
    const present = this.#present.length - this.#at;
    return { ...ways, present, depth: this.#depth, transitions: this.#transitions, executions: this.#executions };
  }

  /** Makes about `transitions` more. True when the search is over. */
  run(transitions: number): boolean {
    const end = this.#transitions + transitions;
    if (!this.#begun) {
      this.#begun = true;
      this.#failure = this.#enter(-1, -1);
    }
    while (this.#failure === undefined && this.#hasNext() && !this.#isSpent()) {
      if (this.#transitions >= end) return false;
      this.#failure = this.#expand(this.#present[this.#at++]!);
    }
    return true;
  }

  /** Steps made so far. */
  get transitions(): number {
    return this.#transitions;
  }

  /** States that wait for their steps to be made, and how many steps from the start the search is. */
  get frontier(): number {
    return this.#present.length - this.#at + this.#next.length;
  }

  get depth(): number {
    return this.#depth;
  }

  /** What was found so far. A search that was not over is incomplete. */
  result(): SearchResult {
    const violation = this.#failure;
    const isThrough = this.#begun && this.frontier === 0;
    if (violation === undefined && !isThrough && this.#limits.size === 0) this.#limits.add('stop');
    if (this.#visited.bitStates > 0) this.#limits.add('bits');
    return {
      complete: violation === undefined && this.#limits.size === 0,
      limits: [...this.#limits],
      states: this.#visited.states + this.#visited.bitStates,
      transitions: this.#transitions,
      executions: this.#executions,
      deepest: this.#depth,
      ...(violation === undefined ? {} : { violation }),
    };
  }

  /** Whether a state waits; those one step further have their turn when all of the present ones are done with. */
  #hasNext(): boolean {
    if (this.#at < this.#present.length) return true;
    if (this.#next.length === 0) return false;
    if (this.#depth >= this.#options.depth) {
      this.#limits.add('depth');
      return false;
    }
    this.#depth++;
    this.#present = this.#next;
    this.#next = [];
    this.#at = 0;
    return true;
  }

  #isSpent(): boolean {
    const { states, frontierBytes = Infinity, stop } = this.#options;
    if (this.#visited.states + this.#visited.bitStates > states) this.#limits.add('states');
    if (this.#bytes > frontierBytes) this.#limits.add('frontier');
    if (this.#at % STATES_BETWEEN_LOOKS === 0 && stop()) this.#limits.add('stop');
    return this.#limits.size > 0;
  }

  #expand({ saved, entry }: Waiting<S>): SearchResult['violation'] {
    this.#bytes -= this.#options.bytesOf?.(saved) ?? 0;
    // Not kept until all of its depth are done with.
    this.#present[this.#at - 1] = undefined;
    this.#machine.restore(saved);
    for (let left = this.#machine.enabled(); left !== 0; left &= left - 1) {
      const failure = this.#allWays(saved, entry, lowest(left));
      if (failure !== undefined) return failure;
      this.#machine.restore(saved);
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
      const saved = machine.save();
      this.#bytes += this.#options.bytesOf?.(saved) ?? 0;
      this.#next.push({ saved, entry: this.#addEntry(from, thread) });
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
    this.#from[this.#entries] = entryWord(from, Math.max(0, thread));
    return this.#entries++;
  }

  /** The way from the start to a failing step of `thread`. */
  #failing(failure: Failure, entry: number, thread: number): SearchResult['violation'] {
    // From the end to the start. Without a thread it is the start itself that fails.
    const schedule = thread < 0 ? [] : [...this.#machine.answers.toReversed(), thread];
    for (let at = entry; at > 0;) {
      const word = this.#from[at]!;
      schedule.push(...(this.#answers.get(at)?.toReversed() ?? []), threadOf(word));
      at = parentOf(word);
    }
    return { ...failure, schedule: schedule.toReversed() };
  }
}
