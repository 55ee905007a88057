// A target as a machine with saved states, for the searches. After each step the words it may have written are compared with what they were: a journal
// keeps the difference, so that a step and the way back cost what was written, and the hash follows. Left out is what no later step reads: stacks above
// their tops, signs of life, what a finished thread last announced.
import * as control from '../../kernel/abi/control.js';
import * as layout from '../../kernel/abi/layout.js';
import { POINT_FUTEX_WAIT, POINT_RELAX } from '../../kernel/abi/point.js';
import type { Operation, Touch } from '../dpor/dependence.js';
import { findingOf } from '../finding.js';
import type { Ending, SchedulerNotes } from '../machine.js';
import { operationOf } from '../operation.js';
import { mixHigh, mixLow } from '../state-hash.js';
import type { Strategy } from '../strategy.js';
import type { Target } from '../target.js';
import type { MachineMemory } from '../memory.js';
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
  length: number;
  low: number;
  high: number;
  notes: SchedulerNotes;
  ending: Ending;
}

const NOTHING: readonly number[] = [];

/** Makes one step of one thread, then gives up for now. */
class OneStep implements Strategy {
  readonly name = 'step';
  readonly exhaustive = false;
  thread = -1;
  /** What the choices within the step are answered; then 0. */
  given: readonly number[] = [];
  answers: readonly number[] = NOTHING;
  /** How many answers each choice had. */
  counts: readonly number[] = NOTHING;

  begin(): boolean {
    return true;
  }

  pick(): number {
    const { thread } = this;
    this.thread = -1;
    return thread;
  }

  choose(count: number): number {
    const answer = this.given[this.answers.length] ?? 0;
    this.answers = [...this.answers, answer];
    this.counts = [...this.counts, count];
    return answer;
  }
}

/** What is left of the early ends of waits: a word beside all of memory's. */
const ALLOWANCES: Touch = { first: -1, end: 0, write: true };
/** Who spins turns once more when another thread has written: a turn and a write may not be swapped, two writes may. */
const NEWS: Touch = { first: -2, end: -1, write: false };
const SPIN_TURN: Operation = { kind: 'access', touches: [{ ...NEWS, write: true }] };
const BLOCK_WORDS = control.BLOCK_SIZE / 4;
// What a block of memory holds.
const SHARED = 0;
const TASK_HEAD = 1;
const TASK_STACK = 2;

export class StateMachine implements SearchMachine<SavedState> {
  readonly #target: Target;
  readonly #step = new OneStep();
  readonly #words: Int32Array;
  readonly #journal: Journal;
  readonly #dirty: Uint8Array;
  readonly #dirtyList: number;
  /** By block: SHARED, ... */
  readonly #sorts: Uint8Array;
  readonly #tasks: number;
  readonly #marks: Mark[] = [];
  #ending: Ending = 'given-up';
  /** Waits may end early, so often in all: they depend on one another then. */
  readonly #hasAllowances: boolean;
  readonly #locality: Locality | undefined;

  /** `locality`: steps that touch nothing shared are told from others. */
  constructor(target: Target, locality?: Locality) {
    this.#target = target;
    this.#locality = locality;
    const { bytes, words } = target.machine.memory;
    target.machine.start(this.#step);
    this.#words = words;
    this.#dirty = bytes.subarray(words[control.CONTROL_DIRTY / 4]);
    this.#dirtyList = words[control.CONTROL_DIRTY_LIST / 4]! / 4;
    this.#tasks = words[layout.SH_TASKS / 4]! >>> 0;
    this.#sorts = blockSorts(target.machine.memory);
    this.#journal = new Journal(words);
    for (let block = 0; block < this.#sorts.length; block++) if (this.#sorts[block] !== SHARED) this.#takeBlock(block);
    for (let thread = 0; thread < target.machine.threadCount; thread++) this.#forgetAbove(thread);
    this.#takeThreads();
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

  operation(thread: number): Operation {
    const { machine } = this.#target;
    const operation = operationOf(machine, thread);
    const kind = machine.kind(thread);
    if (kind === POINT_RELAX) return SPIN_TURN;
    const more: Touch[] = [];
    if (this.#hasAllowances && kind === POINT_FUTEX_WAIT) more.push(ALLOWANCES);
    if (machine.writes(thread) && this.#locality?.wakesSpinners(thread) !== false) more.push(NEWS);
    return more.length === 0 ? operation : { ...operation, touches: [...operation.touches, ...more] };
  }

  get answers(): readonly number[] {
    return this.#step.answers;
  }

  nextAnswers(): readonly number[] | undefined {
    return answersAfter(this.#step.answers, this.#step.counts);
  }

  step(thread: number, answers: readonly number[] = []): Failure | undefined {
    this.#locality?.note(this.#target.machine, thread);
    this.#step.thread = thread;
    this.#step.given = answers;
    this.#step.answers = NOTHING;
    this.#step.counts = NOTHING;
    this.#ending = this.#target.machine.advance();
    this.#learn(thread);
    if (this.#ending === 'given-up' || this.#ending === 'finished') return undefined;
    return findingOf(this.#target, this.#ending);
  }

  atRest(): Failure | undefined {
    const found = findingOf(this.#target, 'finished');
    this.#learn(-1);
    return found;
  }

  /** Takes in what a step of `thread` wrote. */
  #learn(thread: number): void {
    const words = this.#words;
    const task = thread < 0 ? 0 : this.#target.machine.task(thread);
    const before = this.#journal.known[(task + layout.TASK_STACK_TOP) / 4]!;
    const count = words[control.CONTROL_DIRTY_COUNT / 4]!;
    for (let n = 0; n < count; n++) {
      const block = words[this.#dirtyList + n]!;
      this.#dirty[block] = 0;
      this.#takeBlock(block);
    }
    words[control.CONTROL_DIRTY_COUNT / 4] = 0;
    if (thread >= 0) {
      // More of the task's own stack may be in use no longer than was written.
      const top = words[(task + layout.TASK_STACK_TOP) / 4]!;
      if (top < before) this.#journal.forget((task + top) >>> 2, (task + before) >>> 2);
      this.#takeStack(thread);
    }
    this.#takeThreads();
  }

  #takeBlock(block: number): void {
    const first = block * BLOCK_WORDS;
    const sort = this.#sorts[block];
    if (sort === SHARED) this.#journal.take(first, first + BLOCK_WORDS);
    else if (sort === TASK_STACK) {
      const task = taskOf(this.#tasks, block * control.BLOCK_SIZE);
      const top = (task + this.#words[(task + layout.TASK_STACK_TOP) / 4]!) >>> 2;
      const live = Math.max(first, Math.min(first + BLOCK_WORDS, top));
      this.#journal.take(first, live);
      this.#journal.forget(live, first + BLOCK_WORDS);
    } else {
      for (let n = first; n < first + BLOCK_WORDS; n++) {
        // Cleared, since the stack may hold a copy of what was counted.
        if (isCounter(n * 4, this.#tasks)) this.#words[n] = 0;
        else this.#journal.take(n, n + 1);
      }
    }
  }

  /** The stack a thread was suspended with, as deep as it is in use. */
  #takeStack(thread: number): void {
    const { machine } = this.#target;
    const journal = this.#journal;
    const first = machine.region(thread) >>> 2;
    const end = machine.status(thread) === control.STATUS_FINISHED ? first : this.#words[first]! >>> 2;
    const before = journal.known[first]! >>> 2;
    journal.take(first, end);
    for (let n = Math.max(first, end); n < before; n++) journal.note(n, 0);
  }

  /** What earlier executions left above a thread's stack. */
  #forgetAbove(thread: number): void {
    const region = this.#target.machine.region(thread) >>> 2;
    this.#journal.forget(this.#words[region]! >>> 2, region + control.REGION_SIZE_BYTES / 4);
  }

  /** The threads' blocks. The result of a wait is read only by a thread that returns from one. */
  #takeThreads(): void {
    const { machine } = this.#target;
    const journal = this.#journal;
    for (let thread = 0; thread < machine.threadCount; thread++) {
      const block = (control.THREADS + thread * control.THREAD_SIZE) / 4;
      const kind = block + control.THREAD_KIND / 4;
      const result = block + control.THREAD_RESULT / 4;
      journal.take(block, kind);
      if (machine.status(thread) === control.STATUS_FINISHED) {
        for (let n = kind; n <= result; n++) journal.note(n, 0);
      } else {
        journal.take(kind, result);
        journal.note(result, machine.kind(thread) === 0 ? this.#words[result]! : 0);
      }
    }
  }

  mark(): number {
    const { length, low, high } = this.#journal;
    this.#marks.push({ length, low, high, notes: this.#target.machine.notes(), ending: this.#ending });
    return this.#marks.length - 1;
  }

  back(mark: number): void {
    const { length, low, high, notes, ending } = this.#marks[mark]!;
    this.#marks.length = mark + 1;
    this.#journal.back(length);
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
      words[at++] = this.#journal.known[place]!;
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

/** Address of the task that an address lies in. */
function taskOf(tasks: number, address: number): number {
  return address - ((address - tasks) % layout.TASK_SIZE);
}

/** By block of memory: what it holds. */
function blockSorts({ words, stateEnd }: MachineMemory): Uint8Array {
  const sorts = new Uint8Array(stateEnd >>> control.BLOCK_SHIFT);
  const tasks = words[layout.SH_TASKS / 4]! >>> 0;
  const end = tasks + words[layout.SH_MAX_TASKS / 4]! * layout.TASK_SIZE;
  for (let at = tasks; at < end; at += control.BLOCK_SIZE) {
    const inside = at - taskOf(tasks, at);
    if (inside === 0) sorts[at >>> control.BLOCK_SHIFT] = TASK_HEAD;
    else if (inside >= layout.TASK_STACK && inside < layout.TASK_STACK_END)
      sorts[at >>> control.BLOCK_SHIFT] = TASK_STACK;
  }
  return sorts;
}

/** Words of a task that only its watchdog reads. */
function isCounter(address: number, tasks: number): boolean {
  const inside = (address - tasks) % layout.TASK_SIZE;
  return inside === layout.TASK_HEARTBEAT || (inside >= layout.TASK_OPS && inside < layout.TASK_OPS + 8);
}
