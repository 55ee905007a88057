// A target as a machine with saved states, for the searches. A state is what differs from the one the executions start from: blocks of memory that were
// written, the threads' blocks and their stacks as deep as they are in use. A block's contents are shared by all states that have them, with their part of
// the hash, so that a step costs what it wrote. The hash leaves out what no later step reads: stacks above their tops, signs of life.
import * as control from '../../kernel/abi/control.js';
import * as layout from '../../kernel/abi/layout.js';
import { POINT_FUTEX_WAIT } from '../../kernel/abi/point.js';
import type { Operation, Touch } from '../dpor/dependence.js';
import { findingOf } from '../finding.js';
import type { Ending, SchedulerNotes } from '../machine.js';
import { operationOf } from '../operation.js';
import { mixHigh, mixLow } from '../state-hash.js';
import type { Strategy } from '../strategy.js';
import type { Target } from '../target.js';
import { answersAfter, type Failure, type SearchMachine } from './machine.js';

/** Contents of a block of memory, and what they change about the hash of the start. */
interface Block {
  contents: Uint8Array;
  low: number;
  high: number;
}

/** A saved state. */
export interface SavedState {
  /** By number: the blocks that differ from the start. */
  blocks: ReadonlyMap<number, Block>;
  threads: Uint8Array;
  stacks: readonly Uint8Array[];
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
const BLOCK_WORDS = control.BLOCK_SIZE / 4;

export class StateMachine implements SearchMachine<SavedState> {
  readonly #target: Target;
  readonly #step = new OneStep();
  /** Blocks that differ from the start. */
  readonly #now = new Map<number, Block>();
  /** The map of what the last step wrote. */
  readonly #dirty: Uint8Array;
  readonly #dirtyWords: Int32Array;
  readonly #firstBlock: number;
  /** Added up over the blocks; the threads' part comes on top. */
  #low = 0;
  #high = 0;
  #threadsLow = 0;
  #threadsHigh = 0;
  #ending: Ending = 'given-up';
  #threadsStale = true;
  /** Waits may end early, so often in all: they depend on one another then. */
  readonly #hasAllowances: boolean;

  constructor(target: Target) {
    this.#target = target;
    const { bytes, words, stateStart, stateEnd } = target.machine.memory;
    const dirtyAt = words[control.CONTROL_DIRTY / 4]!;
    this.#firstBlock = stateStart >>> control.BLOCK_SHIFT;
    this.#dirty = bytes.subarray(dirtyAt + this.#firstBlock, dirtyAt + (stateEnd >>> control.BLOCK_SHIFT));
    this.#dirtyWords = new Int32Array(this.#dirty.buffer, this.#dirty.byteOffset, this.#dirty.length >>> 2);
    target.machine.start(this.#step);
    const { spurious, timeouts } = target.machine.notes();
    this.#hasAllowances = spurious > 0 || timeouts > 0;
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

  operation(thread: number): Operation {
    const operation = operationOf(this.#target.machine, thread);
    if (!this.#hasAllowances || this.#target.machine.kind(thread) !== POINT_FUTEX_WAIT) return operation;
    return { ...operation, touches: [...operation.touches, ALLOWANCES] };
  }

  get answers(): readonly number[] {
    return this.#step.answers;
  }

  nextAnswers(): readonly number[] | undefined {
    return answersAfter(this.#step.answers, this.#step.counts);
  }

  step(thread: number, answers: readonly number[] = []): Failure | undefined {
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

  /** Takes in what a step of `thread` wrote. Of its own stack more may have become dead than was written. */
  #learn(thread: number): void {
    const first = this.#firstBlock;
    const words = this.#dirtyWords;
    for (let word = 0; word < words.length; word++) {
      if (words[word] === 0) continue;
      for (let at = word * 4; at < word * 4 + 4; at++) {
        if (this.#dirty[at] === 0) continue;
        this.#dirty[at] = 0;
        this.#put(first + at, this.#blockOf(first + at));
      }
    }
    if (thread >= 0) {
      const task = this.#target.machine.task(thread);
      const end = (task + layout.TASK_STACK_END) >>> control.BLOCK_SHIFT;
      for (let block = (task + layout.TASK_STACK) >>> control.BLOCK_SHIFT; block < end; block++) {
        if (this.#now.has(block)) this.#put(block, this.#blockOf(block));
      }
    }
    this.#threadsStale = true;
  }

  /** The state now has `block` at `number`; undefined: as at the start. */
  #put(number: number, block: Block | undefined): void {
    const before = this.#now.get(number);
    if (before !== undefined) {
      this.#low = (this.#low - before.low) | 0;
      this.#high = (this.#high - before.high) | 0;
    }
    if (block === undefined) this.#now.delete(number);
    else {
      this.#now.set(number, block);
      this.#low = (this.#low + block.low) | 0;
      this.#high = (this.#high + block.high) | 0;
    }
  }

  /** What lies in memory at a block; undefined when that is what lay there at the start. */
  #blockOf(number: number): Block | undefined {
    const { bytes, words } = this.#target.machine.memory;
    const at = number * control.BLOCK_SIZE;
    const from = number * BLOCK_WORDS;
    const start = this.#startOf(number) >>> 2;
    const [live, counters] = this.#readsOf(at);
    let low = 0;
    let high = 0;
    let same = true;
    for (let n = 0; n < BLOCK_WORDS; n++) {
      const value = words[from + n]!;
      const before = words[start + n]!;
      if (value === before) continue;
      same = false;
      if (n >= live || (counters && isCounter(at + n * 4, this.#tasks()))) continue;
      low = (low + mixLow(from + n, value) - mixLow(from + n, before)) | 0;
      high = (high + mixHigh(from + n, value) - mixHigh(from + n, before)) | 0;
    }
    return same ? undefined : { contents: bytes.slice(at, at + control.BLOCK_SIZE), low, high };
  }

  #tasks(): number {
    return this.#target.machine.memory.words[layout.SH_TASKS / 4]! >>> 0;
  }

  /** Of the block at an address: how many of its words may be read again, and whether it holds counters that nobody reads. */
  #readsOf(address: number): [live: number, counters: boolean] {
    const { words } = this.#target.machine.memory;
    const tasks = this.#tasks();
    const end = tasks + words[layout.SH_MAX_TASKS / 4]! * layout.TASK_SIZE;
    if (address < tasks || address >= end) return [BLOCK_WORDS, false];
    const inside = (address - tasks) % layout.TASK_SIZE;
    if (inside < layout.TASK_STACK) return [BLOCK_WORDS, inside === 0];
    if (inside >= layout.TASK_STACK_END) return [BLOCK_WORDS, false];
    const top = words[(address - inside + layout.TASK_STACK_TOP) / 4]!;
    return [Math.max(0, Math.min(BLOCK_WORDS, (top - inside) >> 2)), false];
  }

  /** Address of the copy of a block as it was at the start. */
  #startOf(number: number): number {
    const { words, stateStart } = this.#target.machine.memory;
    return words[control.CONTROL_SAVED / 4]! + number * control.BLOCK_SIZE - stateStart;
  }

  save(): SavedState {
    const { machine } = this.#target;
    const { bytes, words } = machine.memory;
    const end = control.THREADS + machine.threadCount * control.THREAD_SIZE;
    const stacks = Array.from({ length: machine.threadCount }, (_, thread) => {
      const region = machine.region(thread);
      return bytes.slice(region, words[region / 4]);
    });
    const threads = bytes.slice(control.THREADS, end);
    return { blocks: new Map(this.#now), threads, stacks, notes: machine.notes(), ending: this.#ending };
  }

  restore({ blocks, threads, stacks, notes, ending }: SavedState): void {
    const { machine } = this.#target;
    const { bytes } = machine.memory;
    for (const number of this.#now.keys()) {
      if (blocks.has(number)) continue;
      const start = this.#startOf(number);
      bytes.copyWithin(number * control.BLOCK_SIZE, start, start + control.BLOCK_SIZE);
      this.#put(number, undefined);
    }
    for (const [number, block] of blocks) {
      if (this.#now.get(number) === block) continue;
      bytes.set(block.contents, number * control.BLOCK_SIZE);
      this.#put(number, block);
    }
    bytes.set(threads, control.THREADS);
    for (const [thread, stack] of stacks.entries()) bytes.set(stack, machine.region(thread));
    machine.takeUp(notes);
    this.#ending = ending;
    this.#threadsStale = true;
  }

  /** Leaves the machine to others: what was written must be known to its own saved state. */
  release(): void {
    for (const number of this.#now.keys()) this.#dirty[number - this.#firstBlock] = 1;
  }

  get hashLow(): number {
    this.#hashThreads();
    return (this.#low + this.#threadsLow) >>> 0;
  }

  get hashHigh(): number {
    this.#hashThreads();
    return (this.#high + this.#threadsHigh) >>> 0;
  }

  /** The threads' blocks, and their stacks as deep as they are in use. */
  #hashThreads(): void {
    if (!this.#threadsStale) return;
    this.#threadsStale = false;
    this.#threadsLow = 0;
    this.#threadsHigh = 0;
    const { machine } = this.#target;
    const { words } = machine.memory;
    if (this.#hasAllowances) {
      const { spurious, timeouts } = machine.notes();
      this.#threadsLow = mixLow(0, (spurious << 16) | timeouts);
      this.#threadsHigh = mixHigh(0, (spurious << 16) | timeouts);
    }
    for (let thread = 0; thread < machine.threadCount; thread++) {
      const block = (control.THREADS + thread * control.THREAD_SIZE) / 4;
      const finished = machine.status(thread) === control.STATUS_FINISHED;
      this.#mix(block, block + (finished ? control.THREAD_KIND : control.THREAD_RESULT) / 4);
      // Read only while the thread returns from a wait.
      if (machine.kind(thread) === 0 && !finished)
        this.#mix(block + control.THREAD_RESULT / 4, block + control.THREAD_SIZE / 4);
      const region = machine.region(thread) / 4;
      if (!finished) this.#mix(region, words[region]! >>> 2);
    }
  }

  #mix(first: number, end: number): void {
    const { words } = this.#target.machine.memory;
    for (let n = first; n < end; n++) {
      this.#threadsLow = (this.#threadsLow + mixLow(n, words[n]!)) | 0;
      this.#threadsHigh = (this.#threadsHigh + mixHigh(n, words[n]!)) | 0;
    }
  }
}

/** Words of a task that only its watchdog reads. */
function isCounter(address: number, tasks: number): boolean {
  const inside = (address - tasks) % layout.TASK_SIZE;
  return inside === layout.TASK_HEARTBEAT || (inside >= layout.TASK_OPS && inside < layout.TASK_OPS + 8);
}
