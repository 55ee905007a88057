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
import { type Blocks, PresentBlocks } from './blocks.js';
import { Journal } from './journal.js';
import type { Locality } from './locality.js';
import { answersAfter, type Failure, type SearchMachine } from './machine.js';

/** A saved state: words that differ from the start, as pairs of index and value. */
export interface SavedState {
  words: Int32Array;
  notes: SchedulerNotes;
  ending: Ending;
  blocks: Blocks;
}

interface Mark {
  blocks: Blocks;
  end: number;
  low: number;
  high: number;
  notes: SchedulerNotes;
  ending: Ending;
}

const NOTHING: readonly number[] = [];

/** A thread's local steps are made in one go, up to so many. */
const MOST_ONWARD = 1024;

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
  readonly #blocks: PresentBlocks;
  #thread = -1;
  #most = 1;

  constructor(locality: Locality | undefined, blocks: PresentBlocks) {
    this.#locality = locality;
    this.#blocks = blocks;
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
    if (this.#locality !== undefined) this.#note(this.#locality, view);
    this.steps++;
    return thread;
  }

  #note(locality: Locality, view: View): void {
    const [thread, blocks] = [this.#thread, this.#blocks];
    // All but the first were found to be local already.
    if (this.steps === 0 && !locality.isLocal(view, thread)) blocks.begin(thread);
    locality.eachOrdered(view, thread, (word, write) => blocks.touch(thread, word, write));
    locality.note(view, thread);
  }

  isQuiet(view: View, thread: number): boolean {
    return this.#locality?.isQuiet(view, thread) === true;
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
  readonly #blocks: PresentBlocks;
  progressed = false;

  /** `known`: steps that touch nothing shared are told from others. Beside an invariant none are: it may look at any word after each step. */
  constructor(target: Target, known?: Locality) {
    const locality = target.machine.invariant === undefined ? known : undefined;
    this.#target = target;
    this.#locality = locality;
    this.#blocks = new PresentBlocks(target.machine.threadCount);
    this.#step = new OneStep(locality, this.#blocks);
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
    // So many local steps in a row may be a loop: the state is remembered, and the others have their turn.
    if (this.#locality === undefined || this.#step.steps === MOST_ONWARD) return -1;
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
    this.#endBlock(thread);
    // The journal clears the mark.
    this.progressed = this.#words[(this.#target.machine.task(thread) + layout.TASK_OPS) / 4] !== 0;
    this.#exports.journalLearn(thread);
    if (this.#ending === 'given-up' || this.#ending === 'finished') return undefined;
    return findingOf(this.#target, this.#ending);
  }

  #endBlock(thread: number): void {
    const blocks = this.#blocks;
    blocks.end(thread);
    for (const word of blocks.races.splice(0)) this.#locality?.setShared(word);
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
    const { blocks } = this.#blocks;
    this.#marks.push({ blocks, end, low, high, notes: this.#target.machine.notes(), ending: this.#ending });
    return this.#marks.length - 1;
  }

  back(mark: number): void {
    const { blocks, end, low, high, notes, ending } = this.#marks[mark]!;
    this.#marks.length = mark + 1;
    this.#journal.back(end);
    this.#journal.low = low;
    this.#journal.high = high;
    this.#target.machine.takeUp(notes);
    this.#ending = ending;
    this.#blocks.blocks = blocks;
  }

  save(): SavedState {
    const places = this.#journal.changed();
    const words = new Int32Array(places.size * 2);
    let at = 0;
    for (const place of places) {
      words[at++] = place;
      words[at++] = this.#journal.known(place);
    }
    const { blocks } = this.#blocks;
    return { words, notes: this.#target.machine.notes(), ending: this.#ending, blocks };
  }

  restore({ words, notes, ending, blocks }: SavedState): void {
    this.back(0);
    for (let at = 0; at < words.length; at += 2) {
      this.#words[words[at]!] = words[at + 1]!;
      this.#journal.note(words[at]!, words[at + 1]!);
    }
    this.#target.machine.takeUp(notes);
    this.#ending = ending;
    this.#blocks.blocks = blocks;
  }

  /** Leaves the machine to others, in the state the executions start from. */
  release(): void {
    this.back(0);
  }

  get hashLow(): number {
    return (
      (this.#journal.low + this.#blocks.blocks.low + (this.#hasAllowances ? mixLow(0, this.#allowances()) : 0)) >>> 0
    );
  }

  get hashHigh(): number {
    return (
      (this.#journal.high + this.#blocks.blocks.high + (this.#hasAllowances ? mixHigh(0, this.#allowances()) : 0)) >>> 0
    );
  }

  /** Of memory alone, without what a search adds of its own to tell states apart. */
  get memoryHash(): string {
    return `${this.#journal.low}:${this.#journal.high}`;
  }

  /** What is left of the early ends of waits. */
  #allowances(): number {
    const { spurious, timeouts } = this.#target.machine.notes();
    return (spurious << 16) | timeouts;
  }
}
