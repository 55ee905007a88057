// Depth-first search over states: every state once, and from it every thread that can run, unless one of them has a step that only concerns itself.
// Loops are looked at as the search leaves them (loops.ts): one that a fair scheduler does not end is a livelock. There are no sleep sets: where states are
// remembered they save a third of the steps, but they hide loops, and they tie the search to one order, so that threads could not share it.
import { timesToShow } from '../lasso.js';
import { Seen, type VisitedSet } from '../visited.js';
import { Loops, type Component } from './loops.js';
import { lowest, type Failure, type SearchLimits, type SearchMachine, type SearchResult } from './machine.js';
import { wayRound } from './way-round.js';

const NO_ANSWERS: readonly number[] = [];
/** Place of a state whose loops nobody looks for. */
const NOWHERE = -1;
/** How often the caller is asked whether to stop. */
const TURNS_BETWEEN_LOOKS = 1024;

/** A state on the way from the start, as another thread or a later search can take it up: by making the steps again. */
export interface Way {
  /** Threads whose steps were to be tried at first (how many), and those that are left. */
  ways: number;
  todo: number;
  /** The thread that was tried last, and how many steps it made; -1 and 0 before the first. */
  chosen: number;
  steps: number;
  /** To the choices within the chosen thread's step: what they were answered, and what they will be the next time. */
  answers: readonly number[];
  again: readonly number[] | undefined;
}

interface Frame extends Way {
  /** The state, for the machine to go back to. */
  mark: number;
  /** Steps from the start to the state. */
  depth: number;
  /** The machine is in this state, nothing has to be undone. */
  fresh: boolean;
  /** Among the states whose loops are looked at, and the first place that its steps lead back to. */
  place: number;
  link: number;
}

/** Threads of a set. */
function count(mask: number): number {
  let threads = 0;
  for (let left = mask; left !== 0; left &= left - 1) threads++;
  return threads;
}

/** What a frame adds to the schedule: a choice is made in the last of its steps only. */
function picks({ chosen, steps, answers }: Way): number[] {
  return [...Array.from({ length: steps }, () => chosen), ...answers];
}

/** Searches from the machine's present state. */
export function depthFirst<S>(machine: SearchMachine<S>, visited: VisitedSet, limits: SearchLimits): SearchResult {
  const search = new DepthFirst(machine, visited, limits);
  search.run(Infinity);
  return search.result();
}

/** The search in slices, so that the caller can look at Ctrl-C in between. */
export class DepthFirst<S> {
  readonly #machine: SearchMachine<S>;
  readonly #visited: VisitedSet;
  readonly #options: SearchLimits;
  /** Undefined: nobody looks for livelocks. */
  readonly #loops: Loops | undefined;
  readonly #stack: Frame[] = [];
  readonly #limits = new Set<SearchResult['limits'][number]>();
  #transitions = 0;
  #turns = 0;
  #executions = 0;
  #deepest = 0;
  #failure: SearchResult['violation'];
  #begun = false;

  /** `isWhole`: the search begins at the start and is the only one, so that it sees every loop. */
  constructor(machine: SearchMachine<S>, visited: VisitedSet, options: SearchLimits, isWhole = true) {
    this.#machine = machine;
    this.#visited = visited;
    this.#options = options;
    this.#loops = isWhole ? new Loops() : undefined;
  }

  /** Makes about `transitions` more (the last step may bring some local ones with it). True when the search is over. */
  run(transitions: number): boolean {
    const end = this.#transitions + transitions;
    if (!this.#begun) {
      this.#begun = true;
      this.#fail(this.#enter(0));
    }
    for (let top = this.#stack.at(-1); this.#failure === undefined && top !== undefined; top = this.#stack.at(-1)) {
      if (this.#transitions >= end) return false;
      if (this.#spent()) break;
      if (top.todo === 0 && top.again === undefined) this.#leave(top);
      else this.#fail(this.#step(top));
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
    const violation = this.#failure;
    if (violation === undefined && this.#stack.length > 0 && this.#limits.size === 0) this.#limits.add('stop');
    if (this.#visited.bitStates > 0) this.#limits.add('bits');
    return {
      complete: violation === undefined && this.#limits.size === 0,
      limits: [...this.#limits],
      states: this.#visited.states + this.#visited.bitStates,
      transitions: this.#transitions,
      executions: this.#executions,
      deepest: this.#deepest,
      ...(violation === undefined ? {} : { violation }),
    };
  }

  #fail(failure: Failure | undefined): void {
    if (failure !== undefined) this.#failure = { ...failure, schedule: this.#stack.flatMap(picks) };
  }

  #spent(): boolean {
    if (this.#visited.states + this.#visited.bitStates > this.#options.states) this.#limits.add('states');
    else if (this.#turns++ % TURNS_BETWEEN_LOOKS === 0 && this.#options.stop()) this.#limits.add('stop');
    else return false;
    return true;
  }

  #step(top: Frame): Failure | undefined {
    const machine = this.#machine;
    if (!top.fresh) machine.back(top.mark);
    top.fresh = false;
    if (top.again === undefined) {
      top.chosen = lowest(top.todo);
      top.todo &= ~(1 << top.chosen);
    }
    const failure = machine.step(top.chosen, top.again ?? NO_ANSWERS, true);
    top.steps = machine.steps;
    this.#transitions += top.steps;
    top.answers = machine.answers;
    top.again = machine.nextAnswers();
    return failure ?? this.#enter(top.depth + top.steps, top);
  }

  /** Looks at the state the machine has come to. */
  #enter(depth: number, from?: Frame): Failure | undefined {
    const machine = this.#machine;
    const enabled = machine.enabled();
    if (depth > this.#deepest) this.#deepest = depth;
    if (enabled === 0) return this.#atEnd();
    if (depth >= this.#options.depth) {
      this.#limits.add('depth');
      return undefined;
    }
    const local = machine.localStep();
    const { hashLow: low, hashHigh: high } = machine;
    // A state in which somebody has a local step is not remembered: nothing branches there.
    if (local < 0) {
      const seen = this.#visited.insert(low, high, this.#loops?.next ?? 0);
      if (seen === Seen.AgainByBits) return undefined;
      if (seen === Seen.Again) {
        if (from !== undefined && this.#loops !== undefined) this.#meet(this.#loops, from, low, high);
        return undefined;
      }
    }
    const place = this.#loops?.enter(low, high, enabled) ?? NOWHERE;
    const todo = local < 0 ? enabled : 1 << local;
    this.#push({ ways: count(todo), todo, chosen: -1, steps: 0, answers: NO_ANSWERS, again: undefined }, depth, place);
    return undefined;
  }

  #push(way: Way, depth: number, place: number): void {
    const { ways, todo, chosen, steps, answers, again } = way;
    const mark = this.#machine.mark();
    const link = place;
    this.#stack.push({ ways, todo, chosen, steps, answers, again, mark, depth, fresh: true, place, link });
  }

  /** A step from `from` has led to a state that was met before: to one on the present way, or one that leads back to it, it closes a loop. */
  #meet(loops: Loops, from: Frame, low: number, high: number): void {
    const place = loops.placeOf(this.#visited.word(low, high)!);
    if (place < 0) return;
    loops.ran(from.place, from.chosen);
    if (place < from.link) from.link = place;
  }

  /** All of a state's steps are made. */
  #leave(top: Frame): void {
    const loops = this.#loops;
    if (loops !== undefined && top.link === top.place) {
      const component = loops.leave(top.place);
      if (component !== undefined) return this.#isLivelock(top, component);
    }
    this.#stack.pop();
    const from = this.#stack.at(-1);
    if (loops === undefined || from === undefined || top.link === top.place) return;
    loops.ran(from.place, from.chosen);
    if (top.link < from.link) from.link = top.link;
  }

  #isLivelock(top: Frame, component: Component): void {
    this.#stack.pop();
    this.#machine.back(top.mark);
    const round = wayRound(this.#machine, component);
    const rounds = Array.from({ length: timesToShow(top.depth, round.steps) }, () => round.picks);
    const message = `${round.steps} steps can repeat for ever, and a fair scheduler does not end it`;
    this.#failure = { kind: 'livelock', message, schedule: [...this.#stack.flatMap(picks), ...rounds.flat()] };
  }

  #atEnd(): Failure | undefined {
    if (this.#machine.unfinished() !== 0) {
      return { kind: 'deadlock', message: 'threads are left and none of them can go on' };
    }
    this.#executions++;
    return this.#machine.atRest();
  }
}
