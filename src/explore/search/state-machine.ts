// A target as a machine with saved states, for the searches. After each step the words it may have written are compared with what they were: a journal
// keeps the difference, so that a step and the way back cost what was written, and the hash follows (src/kernel/control/journal.ts, which also says
// what is left out of a state).
import * as control from '../../kernel/abi/control.js';
import * as layout from '../../kernel/abi/layout.js';
import { findingOf } from '../finding.js';
import type { Ending, MachineExports, SchedulerNotes } from '../machine.js';
import { mixHigh, mixLow } from '../state-hash.js';
import type { Strategy, View } from '../strategy.js';
import type { Target } from '../target.js';
import { blockSorts } from '../block-sorts.js';
import { Journal } from './journal.js';
import type { Locality } from './locality.js';
import { answersAfter, type Failure, type SearchMachine } from './machine.js';

/** A saved state: words that differ from the start, as pairs of index and value. */
export interface SavedState {
  words: Int32Array;
  notes: SchedulerNotes;
  ending: Ending;
}

interface Mark {
  end: number;
  low: number;
  high: number;
  notes: SchedulerNotes;
  ending: Ending;
}

const NOTHING: readonly number[] = [];

/** A thread's local steps are made in one go, up to so many: then the search looks at its limits. */
const MOST_ONWARD = 256;

/** Makes one step of one thread, and the local ones behind it if it is told to, then gives up for now. */
class OneStep implements Strategy {
  readonly name = 'step';
  readonly exhaustive = false;
  /** Steps made. */
  steps = 0;
  /** What the choices within the step are answered; then 0. */
  given: readonly number[] = NOTHING;
  answers: readonly number[] = NOTHING;
  /** How many answers each choice had. */
  counts: readonly number[] = NOTHING;
  /** Clears what lies above a thread's stack. */
  clear: (thread: number) => void = () => {};
  readonly #locality: Locality | undefined;
  #thread = -1;
  #most = 1;

  constructor(locality: Locality | undefined) {
    this.#locality = locality;
  }

  begin(): boolean {
    return true;
  }

  /** What is to be done next. */
  set(thread: number, given: readonly number[], onward: boolean): void {
    this.#thread = thread;
    this.#most = onward && this.#locality !== undefined ? MOST_ONWARD : 1;
    this.steps = 0;
    this.given = given;
    this.answers = NOTHING;
    this.counts = NOTHING;
  }

  pick(view: View): number {
    const thread = this.#thread;
    if (this.steps > 0 && !this.#goesOn(view)) return -1;
    // As after any step: what the thread has taken off its stack must not be found there again.
    if (this.steps > 0) this.clear(thread);
    this.#locality?.note(view, thread);
    this.steps++;
    return thread;
  }

  #goesOn(view: View): boolean {
    if (this.steps >= this.#most || this.counts.length > 0 || !view.isEnabled(this.#thread)) return false;
    return this.#locality!.isLocal(view, this.#thread);
  }

  choose(count: number): number {
    const answer = this.given[this.answers.length] ?? 0;
    this.answers = [...this.answers, answer];
    this.counts = [...this.counts, count];
    return answer;
  }
}

export class StateMachine implements SearchMachine<SavedState> {
  readonly #target: Target;
  readonly #step: OneStep;
  readonly #words: Int32Array;
  readonly #journal: Journal;
  readonly #exports: MachineExports;
  readonly #marks: Mark[] = [];
  #ending: Ending = 'given-up';
  /** Waits may end early, so often in all: they depend on one another then. */
  readonly #hasAllowances: boolean;
  readonly #locality: Locality | undefined;
  progressed = false;

  /** `locality`: steps that touch nothing shared are told from others. */
  constructor(target: Target, locality?: Locality) {
    this.#target = target;
    this.#locality = locality;
    this.#step = new OneStep(locality);
    const { memory } = target.machine;
    this.#exports = target.machine.exports;
    this.#step.clear = (thread) => {
      const task = target.machine.task(thread);
      const top = memory.words[(task + layout.TASK_STACK_TOP) / 4]!;
      this.#exports.journalForget(task + top, task + layout.TASK_STACK_END);
    };
    target.machine.start(this.#step);
    this.#words = memory.words;
    const sorts = blockSorts(memory);
    this.#journal = new Journal(memory, this.#exports, sorts);
    for (const [block, sort] of sorts.entries())
      if (sort !== control.SORT_SHARED) this.#exports.journalTakeBlock(block);
    for (let thread = 0; thread < target.machine.threadCount; thread++) this.#forgetAbove(thread);
    this.#exports.journalTakeThreads();
    // The state the search starts from is this one.
    this.#journal.low = this.#journal.high = 0;
    const notes = target.machine.notes();
    this.#hasAllowances = notes.spurious > 0 || notes.timeouts > 0;
    this.mark();
  }

  enabled(): number {
    const { machine } = this.#target;
    let mask = 0;
    for (let n = 0; n < machine.enabledCount; n++) mask |= 1 << machine.enabled[n]!;
    return mask;
  }

  unfinished(): number {
    const { machine } = this.#target;
    let mask = 0;
    for (let thread = 0; thread < machine.threadCount; thread++) {
      if (machine.status(thread) !== control.STATUS_FINISHED) mask |= 1 << thread;
    }
    return mask;
  }

  localStep(): number {
    const { machine } = this.#target;
    if (this.#locality === undefined) return -1;
    for (let n = 0; n < machine.enabledCount; n++) {
      if (this.#locality.isLocal(machine, machine.enabled[n]!)) return machine.enabled[n]!;
    }
    return -1;
  }

  get answers(): readonly number[] {
    return this.#step.answers;
  }

  nextAnswers(): readonly number[] | undefined {
    return answersAfter(this.#step.answers, this.#step.counts);
  }

  get steps(): number {
    return this.#step.steps;
  }

  step(thread: number, answers: readonly number[] = NOTHING, onward = false): Failure | undefined {
    this.#step.set(thread, answers, onward);
    this.#ending = this.#target.machine.advance();
    // The journal clears the mark.
    this.progressed = this.#words[(this.#target.machine.task(thread) + layout.TASK_OPS) / 4] !== 0;
    this.#exports.journalLearn(thread);
    if (this.#ending === 'given-up' || this.#ending === 'finished') return undefined;
    return findingOf(this.#target, this.#ending);
  }

  atRest(): Failure | undefined {
    const found = findingOf(this.#target, 'finished');
    this.#exports.journalLearn(-1);
    return found;
  }

  /** What earlier executions left above a thread's stack. */
  #forgetAbove(thread: number): void {
    const region = this.#target.machine.region(thread);
    this.#exports.journalForget(this.#words[region >>> 2]!, region + control.REGION_SIZE_BYTES);
  }

  mark(): number {
    const { end, low, high } = this.#journal;
    this.#marks.push({ end, low, high, notes: this.#target.machine.notes(), ending: this.#ending });
    return this.#marks.length - 1;
  }

  back(mark: number): void {
    const { end, low, high, notes, ending } = this.#marks[mark]!;
    this.#marks.length = mark + 1;
    this.#journal.back(end);
    this.#journal.low = low;
    this.#journal.high = high;
    this.#target.machine.takeUp(notes);
    this.#ending = ending;
  }

  save(): SavedState {
    const places = this.#journal.changed();
    const words = new Int32Array(places.size * 2);
    let at = 0;
    for (const place of places) {
      words[at++] = place;
      words[at++] = this.#journal.known(place);
    }
    return { words, notes: this.#target.machine.notes(), ending: this.#ending };
  }

  restore({ words, notes, ending }: SavedState): void {
    this.back(0);
    for (let at = 0; at < words.length; at += 2) {
      this.#words[words[at]!] = words[at + 1]!;
      this.#journal.note(words[at]!, words[at + 1]!);
    }
    this.#target.machine.takeUp(notes);
    this.#ending = ending;
  }

  /** Leaves the machine to others, in the state the executions start from. */
  release(): void {
    this.back(0);
  }

  get hashLow(): number {
    return (this.#journal.low + (this.#hasAllowances ? mixLow(0, this.#allowances()) : 0)) >>> 0;
  }

  get hashHigh(): number {
    return (this.#journal.high + (this.#hasAllowances ? mixHigh(0, this.#allowances()) : 0)) >>> 0;
  }

  /** What is left of the early ends of waits. */
  #allowances(): number {
    const { spurious, timeouts } = this.#target.machine.notes();
    return (spurious << 16) | timeouts;
  }
}
