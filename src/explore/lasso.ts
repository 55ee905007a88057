// Livelocks of single executions: one that comes back to a state it was in, in a way that a fair scheduler may take again and again, has no end. States are
// compared with one kept now and then (Brent, "An Improved Monte Carlo Factorization Algorithm", 1980: the one kept is renewed when twice as many steps
// were made), in a quiet moment, when all of every thread lies in memory. What is compared is what a search over states remembers: not stacks above
// their tops, not signs of life.
import * as control from '../kernel/abi/control.js';
import * as layout from '../kernel/abi/layout.js';
import { blockSorts } from './block-sorts.js';
import type { ThreadTable } from './thread-table.js';

/** Steps of an execution before anybody looks: most have ended by then. */
export const LASSO_FROM = 1024;
/** Threads are bits of a word. */
const MOST_THREADS = 31;

const BLOCK_WORDS = control.BLOCK_SIZE / 4;
const THREAD_WORDS = control.THREAD_SIZE / 4;
const FIRST = control.THREADS / 4;
const DIRTY_COUNT = control.CONTROL_DIRTY_COUNT / 4;
const DIRTY_LIST = control.CONTROL_DIRTY_LIST / 4;
const KIND = control.THREAD_KIND / 4;
const RESULT = control.THREAD_RESULT / 4;
const STARTED = control.THREAD_STARTED / 4;
const STATUS = control.THREAD_STATUS / 4;
const IDLE = new Set([layout.TASK_HEARTBEAT / 4, layout.TASK_OPS / 4, layout.TASK_OPS / 4 + 1]);

/** How often a loop of so many steps must be gone round, when so many lead to it, for an execution to be seen to repeat itself. */
export function timesToShow(stemSteps: number, roundSteps: number): number {
  let kept = LASSO_FROM;
  while (kept < Math.max(stemSteps, roundSteps) + 1) kept *= 2;
  return Math.ceil((kept - stemSteps) / roundSteps) + 2;
}

interface Kept {
  step: number;
  allowances: number;
  /** The dirty blocks, the threads' blocks and their stacks. */
  blocks: Int32Array;
  blockCount: number;
  threads: Int32Array;
  stacks: Int32Array[];
  current: number;
  kind: number;
  address: number;
}

export class Lasso {
  readonly #machine: ThreadTable;
  readonly #words: Int32Array;
  #sorts: Uint8Array | undefined;
  #kept: Kept | undefined;
  #nextKept = LASSO_FROM;
  #growth = 2;
  /** Since the state that is kept: threads that ran, that could run all the time, and that could run at some time. */
  #ran = 0;
  #always = 0;
  #ever = 0;
  /** Of an execution that repeats itself: threads that say they get on in each round, as a bit mask. */
  progressed = 0;
  /** Where states differed the last time: among the dirty blocks. */
  #hint = 0;

  constructor(machine: ThreadTable) {
    this.#machine = machine;
    this.#words = machine.memory.words;
  }

  /** A new execution begins. `only`: the one step, above 0, after which its state is kept. */
  begin(only?: number): void {
    this.#kept = undefined;
    this.#nextKept = this.#machine.threadCount > MOST_THREADS ? Infinity : (only ?? LASSO_FROM);
    this.#growth = only === undefined ? 2 : Infinity;
  }

  /** Before each choice of a thread: whether the state has to be looked at in a quiet moment. */
  wantsLook(): boolean {
    const machine = this.#machine;
    const { current, step } = machine;
    this.#ran |= 1 << current;
    let enabled = 0;
    for (let n = 0; n < machine.enabledCount; n++) enabled |= 1 << machine.enabled[n]!;
    this.#always &= enabled;
    this.#ever |= enabled;
    if (step >= this.#nextKept) return true;
    const kept = this.#kept;
    if (kept === undefined || current !== kept.current || (this.#always & ~this.#ran) !== 0) return false;
    return machine.kind(current) === kept.kind && machine.address(current) === kept.address;
  }

  /**
   * Whether the execution repeats itself: the step it was in this state before; -1: not that anybody knows. `allowances`: what is left of early ends of
   * waits. @context nobody runs.
   */
  look(allowances: number): number {
    const kept = this.#kept;
    if (kept !== undefined && this.#isFair() && kept.allowances === allowances && this.#isSame(kept)) {
      this.progressed = this.#marked();
      if (this.progressed === 0 || !this.#isPassedOver()) return kept.step;
    }
    if (this.#machine.step >= this.#nextKept) this.#keep(allowances);
    return -1;
  }

  /** No thread could run all the time and did not. */
  #isFair(): boolean {
    return (this.#always & ~this.#ran) === 0;
  }

  /** Threads that have marked that they got on, since the marks were cleared. */
  #marked(): number {
    let mask = 0;
    for (let thread = 0; thread < this.#machine.threadCount; thread++)
      if (this.#words[this.#mark(thread)] !== 0) mask |= 1 << thread;
    return mask;
  }

  #mark(thread: number): number {
    return (this.#machine.task(thread) + layout.TASK_OPS) / 4;
  }

  /** Somebody could run at times and never did: where others get on, that is the schedule's fault, which another one has not. */
  #isPassedOver(): boolean {
    return (this.#ever & ~this.#ran) !== 0;
  }

  get #dirtyCount(): number {
    return this.#words[DIRTY_COUNT]!;
  }

  #dirtyBlock(n: number): number {
    return this.#words[(this.#words[DIRTY_LIST]! >>> 2) + n]!;
  }

  #keep(allowances: number): void {
    const machine = this.#machine;
    const words = this.#words;
    const { current, step, threadCount } = machine;
    const blockCount = this.#dirtyCount;
    const blocks = new Int32Array(blockCount * BLOCK_WORDS);
    for (let n = 0; n < blockCount; n++) {
      const at = this.#dirtyBlock(n) * BLOCK_WORDS;
      blocks.set(words.subarray(at, at + BLOCK_WORDS), n * BLOCK_WORDS);
    }
    const threads = words.slice(FIRST, FIRST + threadCount * THREAD_WORDS);
    const stacks = Array.from({ length: threadCount }, (_, thread) => this.#stack(thread).slice());
    const [kind, address] = [machine.kind(current), machine.address(current)];
    this.#kept = { step, allowances, blocks, blockCount, threads, stacks, current, kind, address };
    for (let thread = 0; thread < threadCount; thread++) this.#words[this.#mark(thread)] = 0;
    this.#nextKept = step * this.#growth;
    this.#ran = 0;
    this.#always = -1;
    this.#ever = 0;
    this.#hint = 0;
  }

  /** What a suspended thread put away, with the word that says how much it is. */
  #stack(thread: number): Int32Array {
    const region = this.#machine.region(thread);
    const end = this.#machine.status(thread) === control.STATUS_FINISHED ? region : this.#words[region / 4]!;
    return this.#words.subarray(region / 4, end / 4);
  }

  #isSame(kept: Kept): boolean {
    this.#sorts ??= blockSorts(this.#machine.memory);
    const count = this.#dirtyCount;
    if (this.#hint < count && !this.#isSameBlock(kept, this.#hint)) return false;
    if (!this.#areSameThreads(kept)) return false;
    for (let n = 0; n < count; n++) {
      if (this.#isSameBlock(kept, n)) continue;
      this.#hint = n;
      return false;
    }
    return true;
  }

  #areSameThreads({ threads, stacks }: Kept): boolean {
    for (const [thread, stack] of stacks.entries()) {
      const [now, then] = [FIRST + thread * THREAD_WORDS, thread * THREAD_WORDS];
      const isSame = (field: number): boolean => this.#words[now + field] === threads[then + field];
      if (!isSame(STATUS) || !isSame(STARTED)) return false;
      if (this.#machine.status(thread) === control.STATUS_FINISHED) continue;
      for (let field = KIND; field < RESULT; field++) if (!isSame(field)) return false;
      if (this.#machine.kind(thread) === 0 && !isSame(RESULT)) return false;
      const here = this.#stack(thread);
      if (here.length !== stack.length || here.some((word, n) => word !== stack[n])) return false;
    }
    return true;
  }

  /** A dirty block against what it was then: as it was kept, or, not yet dirty, as it was at the start. */
  #isSameBlock({ blocks, blockCount }: Kept, n: number): boolean {
    const words = this.#words;
    const block = this.#dirtyBlock(n);
    const now = block * BLOCK_WORDS;
    const start = words[control.CONTROL_STATE_START / 4]!;
    const saved = (words[control.CONTROL_SAVED / 4]! - start) / 4 + now;
    const [then, at] = n < blockCount ? [blocks, n * BLOCK_WORDS] : [words, saved];
    const sort = this.#sorts![block];
    const end = sort === control.SORT_STACK ? this.#liveWords(now) : BLOCK_WORDS;
    for (let word = 0; word < end; word++) {
      if (words[now + word] === then[at + word]) continue;
      if (sort === control.SORT_TASK && IDLE.has(word)) continue;
      if ((this.#machine.memory.map[now + word]! & control.MAP_LOOSE) === 0) return false;
    }
    return true;
  }

  /** Of a block of a task's stack: words below the stack's top. */
  #liveWords(firstWord: number): number {
    const words = this.#words;
    const tasks = words[layout.SH_TASKS / 4]! >>> 0;
    const address = firstWord * 4;
    const task = address - ((address - tasks) % layout.TASK_SIZE);
    const top = task + words[(task + layout.TASK_STACK_TOP) / 4]!;
    return Math.max(0, Math.min(BLOCK_WORDS, (top - address) / 4));
  }
}
