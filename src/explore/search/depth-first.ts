// Depth-first search over states: every state once, and from it every thread that can run, unless one of them has a step that only concerns itself.
// Loops are looked at as the search leaves them (loops.ts): one that a fair scheduler does not end is a livelock, or starvation (way-round.ts). There are no sleep sets: where states are
// remembered they save a third of the steps, but they hide loops, and they tie the search to one order, so that threads could not share it.
import { timesToShow } from '../lasso.js';
import { Seen, type VisitedSet } from '../visited.js';
import { Loops, type Component } from './loops.js';
import { lowest, type Failure, type SearchLimits, type SearchMachine, type SearchResult } from './machine.js';
import { countThreads, type Part, picks, type Way } from './way.js';
import { endlessRound } from './way-round.js';

const NO_ANSWERS: readonly number[] = [];
/** Place of a state whose loops nobody looks for. */
const NOWHERE = -1;
/** A part of fewer states on the way is done sooner than given away. */
const WORTH_SPLITTING = 16;
/** How often the caller is asked whether to stop. */
const TURNS_BETWEEN_LOOKS = 1024;

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
  /** In its last step the thread said that it gets on. */
  progressed: boolean;
}

function wayOf({ ways, todo, chosen, steps, answers, again }: Way): Way {
  return { ways, todo, chosen, steps, answers, again };
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
      share += weight * (ways - countThreads(todo) - (n === this.#stack.length - 1 ? 0 : 1));
    }
    if (this.#stack.length === 0) return this.#begun ? 1 : 0;
    return share;
  }

  /**
   * Takes up a part of a search: makes the steps of its ways again. Before the first `run`; the search is not whole then, and the machine is in the state
   * that the executions start from.
   */
  take(ways: readonly Way[]): void {
    const machine = this.#machine;
    let depth = 0;
    for (const [n, way] of ways.entries()) {
      this.#push(way, depth, NOWHERE);
      depth += way.steps;
      if (n === ways.length - 1) break;
      this.#stack.at(-1)!.fresh = false;
      for (let left = way.steps; left > 0; left--) machine.step(way.chosen, left === 1 ? way.answers : NO_ANSWERS);
    }
    this.#begun = ways.length > 0;
  }

  /** Gives a part of the search away: what is left to be tried at the state nearest to the start. Undefined when there is none far enough from the end. */
  split(): Part | undefined {
    let weight = 1;
    for (const [n, frame] of this.#stack.entries()) {
      if (this.#stack.length - n < WORTH_SPLITTING) return undefined;
      const { ways, todo } = frame;
      weight /= ways;
      if (todo === 0) continue;
      frame.todo = 0;
      const before = this.#stack.slice(0, n).map((way): Way => ({ ...wayOf(way), todo: 0, again: undefined }));
      const last = { ...wayOf(frame), todo, steps: 0, chosen: -1, answers: NO_ANSWERS, again: undefined };
      return { weight: weight * countThreads(todo), ways: [...before, last] };
    }
    return undefined;
  }

  /** Takes a part back that nobody wanted, before the search goes on. */
  putBack({ ways }: Part): void {
    this.#stack[ways.length - 1]!.todo = ways.at(-1)!.todo;
  }

  /** What is left of the search, for another one to take up. */
  rest(): Way[] {
    return this.#stack.map((frame) => wayOf(frame));
  }

  /** Nothing is left to be tried. One that was stopped before its first step has all left. */
  get isThrough(): boolean {
    return this.#begun && this.#stack.length === 0;
  }

  /** What was found so far. A search that was not over is incomplete. */
  result(): SearchResult {
    const violation = this.#failure;
    if (violation === undefined && !this.isThrough && this.#limits.size === 0) this.#limits.add('stop');
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
    top.progressed = machine.progressed;
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
    this.#push(
      { ways: countThreads(todo), todo, chosen: -1, steps: 0, answers: NO_ANSWERS, again: undefined },
      depth,
      place,
    );
    return undefined;
  }

  #push(way: Way, depth: number, place: number): void {
    const { ways, todo, chosen, steps, answers, again } = way;
    const mark = this.#machine.mark();
    const [fresh, link, progressed] = [true, place, false];
    this.#stack.push({ ways, todo, chosen, steps, answers, again, mark, depth, fresh, place, link, progressed });
  }

  /** A step from `from` has led to a state that was met before: to one on the present way, or one that leads back to it, it closes a loop. */
  #meet(loops: Loops, from: Frame, low: number, high: number): void {
    const place = loops.placeOf(this.#visited.word(low, high)!);
    if (place < 0) return;
    loops.ran(from.place, from.chosen, from.progressed);
    if (place < from.link) from.link = place;
  }

  /** All of a state's steps are made. */
  #leave(top: Frame): void {
    const loops = this.#loops;
    this.#stack.pop();
    if (loops !== undefined && top.link === top.place) {
      const component = loops.leave(top.place);
      if (component !== undefined) this.#lookAtLoop(top, component);
      return;
    }
    const from = this.#stack.at(-1);
    if (loops === undefined || from === undefined) return;
    loops.ran(from.place, from.chosen, from.progressed);
    if (top.link < from.link) from.link = top.link;
  }

  #lookAtLoop(top: Frame, component: Component): void {
    this.#machine.back(top.mark);
    const found = endlessRound(this.#machine, component);
    if (found === undefined) return;
    const { kind, into, round } = found;
    const times = timesToShow(top.depth + into.steps, round.steps);
    const rounds = Array.from({ length: times }, () => round.picks).flat();
    const message = `${round.steps} steps can repeat for ever, and a fair scheduler does not end it`;
    this.#failure = { kind, message, schedule: [...this.#stack.flatMap(picks), ...into.picks, ...rounds] };
  }

  #atEnd(): Failure | undefined {
    if (this.#machine.unfinished() !== 0) {
      return { kind: 'deadlock', message: 'threads are left and none of them can go on' };
    }
    this.#executions++;
    return this.#machine.atRest();
  }
}
