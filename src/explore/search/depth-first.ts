// Depth-first search over states: every state once, every step from it once, unless a sleep set shows that the step leads nowhere new. A state found
// again on the way that leads to it is a loop: a livelock if fairness does not end it.
// Sleep sets with stored states after Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996, section 5.
import { conflict } from '../dpor/dependence.js';
import { Seen, type VisitedSet } from '../visited.js';
import { lowest, type Failure, type SearchLimits, type SearchMachine, type SearchResult } from './machine.js';

export interface DepthFirstOptions extends SearchLimits {
  /** Leaves out steps whose order cannot matter. Off, every loop is seen: what livelocks are looked for with. */
  sleepSets: boolean;
}

/** Bits of a state's word in the visited set: who was asleep at it, and whether it lies on the present way. */
const ASLEEP = 0x00ffffff;
const ON_WAY = 0x01000000;
const NO_ANSWERS: readonly number[] = [];

interface Frame {
  /** The state, for the machine to go back to. */
  mark: number;
  low: number;
  high: number;
  enabled: number;
  /** How many threads' steps were to be tried at first. */
  ways: number;
  todo: number;
  done: number;
  asleep: number;
  chosen: number;
  /** Steps from the start to the state, and those that `chosen` made from it. */
  depth: number;
  steps: number;
  /** To the choices within the chosen thread's step: what they were answered, and what they will be the next time. */
  answers: readonly number[];
  again: readonly number[] | undefined;
  /** The machine is in this state, nothing has to be undone. */
  fresh: boolean;
}

/** How often the caller is asked whether to stop. */
const TURNS_BETWEEN_LOOKS = 1024;

/** Threads of a set. */
function count(mask: number): number {
  let threads = 0;
  for (let left = mask; left !== 0; left &= left - 1) threads++;
  return threads;
}

/** What a frame adds to the schedule: a choice is made in the last of its steps only. */
function picks({ chosen, steps, answers }: Frame): number[] {
  return [...Array.from({ length: steps }, () => chosen), ...answers];
}

/** Searches from the machine's present state. */
export function depthFirst<S>(
  machine: SearchMachine<S>,
  visited: VisitedSet,
  options: DepthFirstOptions,
): SearchResult {
  const search = new DepthFirst(machine, visited, options);
  search.run(Infinity);
  return search.result();
}

/** The search in slices, so that the caller can look at Ctrl-C in between. */
export class DepthFirst<S> {
  readonly #machine: SearchMachine<S>;
  readonly #visited: VisitedSet;
  readonly #options: DepthFirstOptions;
  readonly #stack: Frame[] = [];
  readonly #limits = new Set<SearchResult['limits'][number]>();
  #transitions = 0;
  #turns = 0;
  #executions = 0;
  #deepest = 0;
  #failure: Failure | undefined;
  #begun = false;

  constructor(machine: SearchMachine<S>, visited: VisitedSet, options: DepthFirstOptions) {
    this.#machine = machine;
    this.#visited = visited;
    this.#options = options;
  }

  /** Makes about `transitions` more (the last step may bring some local ones with it). True when the search is over. */
  run(transitions: number): boolean {
    const end = this.#transitions + transitions;
    if (!this.#begun) {
      this.#begun = true;
      this.#failure = this.#enter(0, 0);
    }
    for (let top = this.#stack.at(-1); this.#failure === undefined && top !== undefined; top = this.#stack.at(-1)) {
      if (this.#transitions >= end) return false;
      if (this.#spent()) break;
      if (top.todo === 0 && top.again === undefined) this.#leave(top);
      else this.#failure = this.#step(top);
    }
    return true;
  }

  /** Steps made so far. */
  get transitions(): number {
    return this.#transitions;
  }

  /** States on the present way. */
  get frontier(): number {
    return this.#stack.length;
  }

  /** What share of the ways from the start lies behind, if each way of a state leads to as much as the others: a guess. */
  get share(): number {
    let share = 0;
    let weight = 1;
    for (const [n, { ways, todo }] of this.#stack.entries()) {
      weight /= ways;
      // Below the last state of the way, one of the ways tried is not over yet.
      share += weight * (ways - count(todo) - (n === this.#stack.length - 1 ? 0 : 1));
    }
    return this.#stack.length === 0 ? 1 : share;
  }

  /** What was found so far. A search that was not over is incomplete. */
  result(): SearchResult {
    const failure = this.#failure;
    if (failure === undefined && this.#stack.length > 0 && this.#limits.size === 0) this.#limits.add('stop');
    if (this.#visited.bitStates > 0) this.#limits.add('bits');
    return {
      complete: failure === undefined && this.#limits.size === 0,
      limits: [...this.#limits],
      states: this.#visited.states + this.#visited.bitStates,
      transitions: this.#transitions,
      executions: this.#executions,
      deepest: this.#deepest,
      ...(failure === undefined ? {} : { violation: { ...failure, schedule: this.#stack.flatMap(picks) } }),
    };
  }

  #spent(): boolean {
    if (this.#visited.states + this.#visited.bitStates > this.#options.states) this.#limits.add('states');
    else if (this.#turns++ % TURNS_BETWEEN_LOOKS === 0 && this.#options.stop()) this.#limits.add('stop');
    else return false;
    return true;
  }

  #leave(top: Frame): void {
    this.#stack.pop();
    if (!this.#options.sleepSets) this.#leaveWay(top);
  }

  #step(top: Frame): Failure | undefined {
    const machine = this.#machine;
    if (!top.fresh) machine.back(top.mark);
    top.fresh = false;
    if (top.again === undefined) {
      top.chosen = lowest(top.todo);
      top.todo &= ~(1 << top.chosen);
    }
    const thread = top.chosen;
    const asleep = this.#options.sleepSets ? this.#stillAsleep(top, thread) : 0;
    top.done |= 1 << thread;
    // The steps that follow are local: nobody who sleeps wakes up at one.
    const failure = machine.step(thread, top.again ?? NO_ANSWERS, this.#options.sleepSets);
    top.steps = machine.steps;
    this.#transitions += top.steps;
    top.answers = machine.answers;
    top.again = machine.nextAnswers();
    return failure ?? this.#enter(asleep, top.depth + top.steps);
  }

  /** Looks at the state the machine has come to. */
  #enter(asleep: number, depth: number): Failure | undefined {
    const machine = this.#machine;
    const enabled = machine.enabled();
    this.#deepest = Math.max(this.#deepest, depth);
    if (enabled === 0) return this.#atEnd();
    if (depth >= this.#options.depth) {
      this.#limits.add('depth');
      return undefined;
    }
    const local = this.#options.sleepSets ? machine.localStep() : -1;
    if (local >= 0) {
      // Not a state that is remembered: nothing branches here.
      if ((asleep & (1 << local)) === 0) this.#push(0, 0, enabled, 1 << local, asleep, depth);
      return undefined;
    }
    const { hashLow: low, hashHigh: high } = machine;
    const seen = this.#visited.insert(low, high, this.#options.sleepSets ? asleep : ON_WAY);
    if (seen === Seen.AgainByBits) return undefined;
    let todo = enabled & ~asleep;
    if (seen === Seen.Again) {
      const word = this.#visited.word(low, high)!;
      if ((word & ON_WAY) !== 0) return this.#loop(low, high);
      // Steps that slept when the state was left, and would not sleep now.
      todo = word & ASLEEP & ~asleep;
      if (todo === 0) return undefined;
      this.#visited.exchangeWord(low, high, word, word & asleep & ASLEEP);
    }
    this.#push(low, high, enabled, todo, asleep, depth);
    return undefined;
  }

  #push(low: number, high: number, enabled: number, todo: number, asleep: number, depth: number): void {
    const mark = this.#machine.mark();
    const [done, chosen, steps, answers, again, fresh] = [0, -1, 0, NO_ANSWERS, undefined, true];
    const ways = Math.max(1, count(todo));
    this.#stack.push({
      mark,
      ways,
      low,
      high,
      enabled,
      todo,
      asleep,
      depth,
      done,
      chosen,
      steps,
      answers,
      again,
      fresh,
    });
  }

  #leaveWay({ low, high }: Frame): void {
    const word = this.#visited.word(low, high);
    if (word !== undefined) this.#visited.exchangeWord(low, high, word, word & ~ON_WAY);
  }

  #atEnd(): Failure | undefined {
    if (this.#machine.unfinished() !== 0) {
      return { kind: 'deadlock', message: 'threads are left and none of them can go on' };
    }
    this.#executions++;
    return this.#machine.atRest();
  }

  /**
   * The state lies on the present way: the steps since are a loop. It is a livelock if the threads that ran in it are all that could run all the time:
   * a fair scheduler may go round for ever.
   */
  #loop(low: number, high: number): Failure | undefined {
    const start = this.#stack.findLastIndex((frame) => frame.low === low && frame.high === high);
    const loop = this.#stack.slice(start);
    const ran = loop.reduce((mask, { chosen }) => mask | (1 << chosen), 0);
    const always = loop.reduce((mask, { enabled }) => mask & enabled, -1);
    if ((always & ~ran) !== 0) return undefined;
    return {
      kind: 'livelock',
      message: `the last ${loop.length} steps can repeat for ever, and a fair scheduler does not end it`,
    };
  }

  /** Who sleeps behind `thread`'s step: who slept or was tried before and does not depend on it. The machine is in the frame's state. */
  #stillAsleep(frame: Frame, thread: number): number {
    let left = (frame.asleep | frame.done) & ~(1 << thread);
    if (left === 0) return 0;
    const operation = this.#machine.operation(thread);
    if (operation === undefined) return 0;
    let asleep = 0;
    for (; left !== 0; left &= left - 1) {
      const other = lowest(left);
      const pending = this.#machine.operation(other);
      if (pending !== undefined && !conflict(pending, operation)) asleep |= 1 << other;
    }
    return asleep;
  }
}
