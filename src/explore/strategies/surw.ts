// SURW: samples the orders of a small set of interesting events uniformly, whatever else the threads do. Each execution draws one variable (in proportion
// to its accesses) as interesting; the thread that executes the next interesting event is drawn in proportion to the interesting events it still has to
// come; all other steps go by random priorities. After Zhao, Wolff, Mathur, Roychoudhury, "Selectively Uniform Concurrency Testing", ASPLOS 2025. It
// differs in that counts come from all executions so far, not from one profile run, and that threads asleep or not yet begun are drawn, too (there a parent
// is drawn for its children). What a variable is may be told in several ways, one of which is drawn for each execution: a word, or all words of a lock or of a
// page (interest.ts).
import { POINT_RELAX } from '../../kernel/abi/point.js';
import { Random } from '../random.js';
import type { Strategy, View } from '../strategy.js';

/** What is counted as one variable, as a number of it: the word by default. */
export type VariableOf = (address: number) => number;

const wordOf: VariableOf = (address) => address >>> 2;

interface Variable {
  id: number;
  /** Accesses by thread, over all executions counted. */
  byThread: Float64Array;
  /** In how many executions the thread came to it, and in which one last. */
  executions: Float64Array;
  lastExecution: Float64Array;
  writes: boolean;
}

/**
 * Accesses that a thread makes in an execution in which it comes to the variable at all. Those in which it returned before say nothing of how many are to come:
 * with them a thread that often returns early would too seldom be let go first where it does not.
 */
function expected({ byThread, executions }: Variable, thread: number): number {
  return executions[thread] === 0 ? 0 : byThread[thread]! / executions[thread]!;
}

/** Variables of one sort. */
class Variables {
  readonly of: VariableOf;
  readonly #known = new Map<number, Variable>();
  /** Those that two threads touch and one writes, and the sum of their accesses up to each. */
  #drawable: Variable[] = [];
  #sums: number[] = [];
  /** A variable may have become drawable. */
  #isNew = false;

  constructor(of: VariableOf) {
    this.of = of;
  }

  /** Looks which of them are worth drawing, if that is `due` or may have changed. */
  look(due: boolean): void {
    if (!due && !this.#isNew) return;
    this.#isNew = false;
    const shared = (variable: Variable): boolean =>
      variable.writes && variable.byThread.filter((n) => n > 0).length > 1;
    let sum = 0;
    this.#drawable = [...this.#known.values()].filter(shared);
    this.#sums = this.#drawable.map((variable) => {
      for (let thread = 0; thread < variable.byThread.length; thread++) sum += expected(variable, thread);
      return sum;
    });
  }

  draw(random: Random): Variable | undefined {
    if (this.#drawable.length === 0) return undefined;
    const at = random.unit() * this.#sums.at(-1)!;
    return this.#drawable[this.#sums.findIndex((sum) => at < sum)] ?? this.#drawable[0]!;
  }

  /** Counts an access of the thread standing at one. */
  count(thread: number, view: View, execution: number): void {
    const id = this.of(view.address(thread));
    let variable = this.#known.get(id);
    if (variable === undefined) {
      const [byThread, executions, lastExecution] = [0, 1, 2].map(() => new Float64Array(view.threadCount));
      variable = { id, byThread: byThread!, executions: executions!, lastExecution: lastExecution!, writes: false };
      this.#known.set(id, variable);
    }
    const writes = view.writes(thread);
    this.#isNew ||= variable.byThread[thread] === 0 || (writes && !variable.writes);
    variable.byThread[thread]!++;
    variable.writes ||= writes;
    if (variable.lastExecution[thread] === execution) return;
    variable.lastExecution[thread] = execution;
    variable.executions[thread]!++;
  }
}

/** Going on after a wait is no event of a variable, nor is a turn of a spin loop: the access that it looks with is. */
const isAccess = (kind: number): boolean => kind !== 0 && kind !== POINT_RELAX;

const NOBODY = -1;
/** Executions between two looks at which variables are worth drawing. */
const EXECUTIONS_BETWEEN_LOOKS = 64;
/** Counts stop being updated here: they are settled. */
const EXECUTIONS_COUNTED = 256;

export class Surw implements Strategy {
  readonly name: string;
  readonly exhaustive = false;
  readonly endsFairly = true;
  readonly #random = new Random();
  readonly #sorts: readonly Variables[];
  /** The sort drawn for this execution. */
  #sort: Variables;
  #counted = 0;
  #counting = true;

  // Of this execution.
  #interesting = NOBODY;
  #next = NOBODY;
  #left = new Float64Array(0);
  #parked = new Uint8Array(0);
  #priorities = new Float64Array(0);

  /** `more`: what else may be a variable, beside a word. */
  constructor(name = 'surw', more: readonly VariableOf[] = []) {
    this.name = name;
    this.#sorts = [wordOf, ...more].map((of) => new Variables(of));
    this.#sort = this.#sorts[0]!;
  }

  begin(index: number, seed: number, view: View): boolean {
    const threads = view.threadCount;
    this.#random.reseed(seed);
    if (this.#left.length !== threads) {
      this.#left = new Float64Array(threads);
      this.#parked = new Uint8Array(threads);
      this.#priorities = new Float64Array(threads);
    }
    for (const sort of this.#sorts) sort.look(index % EXECUTIONS_BETWEEN_LOOKS === 0);
    this.#counting = this.#counted < EXECUTIONS_COUNTED;
    this.#counted += this.#counting ? 1 : 0;
    this.#parked.fill(0);
    this.#priorities.fill(0);
    this.#next = NOBODY;
    this.#draw();
    return true;
  }

  #draw(): void {
    this.#interesting = NOBODY;
    if (this.#sorts.length > 1) this.#sort = this.#sorts[this.#random.below(this.#sorts.length)]!;
    const variable = this.#sort.draw(this.#random);
    if (variable === undefined) return;
    this.#interesting = variable.id;
    for (let thread = 0; thread < this.#left.length; thread++) this.#left[thread] = expected(variable, thread);
  }

  #isInteresting(thread: number, view: View): boolean {
    return (
      isAccess(view.kind(thread)) && this.#interesting >= 0 && this.#sort.of(view.address(thread)) === this.#interesting
    );
  }

  pick(view: View): number {
    for (;;) {
      const thread = this.#byPriority(view);
      if (thread === NOBODY) {
        // Every thread that can run stands at an interesting event and was not drawn; who was, cannot run: draw again.
        this.#parked.fill(0);
        this.#next = this.#drawAmongEnabled(view);
        continue;
      }
      if (!this.#isInteresting(thread, view)) {
        this.#priorities[thread] = 0;
        return thread;
      }
      if (this.#next === NOBODY) this.#next = this.#drawNext(view);
      if (thread === this.#next) {
        this.#left[thread] = Math.max(0, this.#left[thread]! - 1);
        this.#next = NOBODY;
        this.#parked.fill(0);
        return thread;
      }
      this.#parked[thread] = 1;
    }
  }

  /** The enabled thread of highest priority that is not parked; each event draws its own priority once. */
  #byPriority(view: View): number {
    let best = NOBODY;
    for (let n = 0; n < view.enabledCount; n++) {
      const thread = view.enabled[n]!;
      if (this.#parked[thread] === 1) continue;
      if (this.#priorities[thread] === 0) this.#priorities[thread] = 1 - this.#random.unit();
      if (best === NOBODY || this.#priorities[thread]! > this.#priorities[best]!) best = thread;
    }
    return best;
  }

  #weight(thread: number, view: View): number {
    const left = this.#left[thread]!;
    // A thread that stands at an interesting event counts at least one, whatever was expected of it.
    return view.isEnabled(thread) && this.#isInteresting(thread, view) ? Math.max(1, left) : left;
  }

  /**
   * Who executes the next interesting event: in proportion to what is left. Threads that sleep take part, those not begun above all: else who starts early
   * would be drawn too often. (The paper has a thread created stand for by its parent until then.)
   */
  #drawNext(view: View): number {
    let sum = 0;
    for (let thread = 0; thread < view.threadCount; thread++)
      if (!view.hasEnded(thread)) sum += this.#weight(thread, view);
    let at = this.#random.unit() * sum;
    let last = NOBODY;
    for (let thread = 0; thread < view.threadCount; thread++) {
      if (view.hasEnded(thread)) continue;
      const weight = this.#weight(thread, view);
      at -= weight;
      if (at < 0) return thread;
      if (weight > 0) last = thread;
    }
    return last;
  }

  /** The same among those that can run now: all stand at interesting events, and who was drawn cannot come to one before one of them goes on. */
  #drawAmongEnabled(view: View): number {
    let sum = 0;
    for (let n = 0; n < view.enabledCount; n++) sum += this.#weight(view.enabled[n]!, view);
    let at = this.#random.unit() * sum;
    for (let n = 0; n < view.enabledCount; n++) {
      at -= this.#weight(view.enabled[n]!, view);
      if (at < 0) return view.enabled[n]!;
    }
    return view.enabled[view.enabledCount - 1]!;
  }

  choose(count: number): number {
    return this.#random.below(count);
  }

  performed(thread: number, view: View): void {
    if (!this.#counting || !isAccess(view.kind(thread))) return;
    for (const sort of this.#sorts) sort.count(thread, view, this.#counted);
  }
}
