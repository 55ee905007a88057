// The machine: one instance of the controlled build, its memory, and N virtual threads of which exactly one runs at a time. At every point the running
// thread says what it is about to do; a strategy names the thread whose announced operation is performed next. Staying on the same thread costs one call
// out of Wasm; another one costs putting one stack away and fetching the other (src/kernel/control). Everything that could differ between two runs (time,
// which sleeper wakes) comes from the strategy or from the number of steps, so the same choices give the same execution, always.
import * as control from '../kernel/abi/control.js';
import * as points from '../kernel/abi/point.js';
import { CUT, LongRun } from './long-run.js';
import type { Ending, MachineExports, MachineOptions, Observer, SchedulerNotes } from './machine-types.js';
import type { ChoiceKind, Strategy } from './strategy.js';
import { ThreadTable, type ThreadStart } from './thread-table.js';

const NEXT = control.CONTROL_NEXT / 4;
const WAIT_RESULT = control.CONTROL_RESULT / 4;

const STOPPED = Symbol('the model oopsed');
const WOKEN = 0;
const TIMED_OUT = 2;
/** A step takes this long for the model's clock. */
const STEP_NS = 100;
/** So many rounds in which every thread turns its spin loop once and nobody writes are no progress any more. */
const BARREN_ROUNDS = 200;

const STACK_FRAMES = 60;

/** The JavaScript stack, deep enough for every frame of the kernel's. */
export function stackHere(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = STACK_FRAMES;
  const { stack } = new Error();
  Error.stackTraceLimit = limit;
  return stack ?? '';
}

const Mode = { Quiet: 0, Prelude: 1, Running: 2 } as const;

export type { Ending, MachineExports, Observer, SchedulerNotes } from './machine-types.js';

export class Machine extends ThreadTable {
  readonly exports: MachineExports;
  /** Called after each step, in a quiet moment; a violation is an oops. */
  invariant: (() => void) | undefined;
  observer: Observer | undefined;
  /** Beside the observer: one that belongs to the target and stays, as the race detector does. */
  watcher: Observer | undefined;
  /** What the strategy answered in the last execution: threads and choices, in the order of the questions. */
  readonly tape: Uint8Array;
  tapeLength = 0;
  /** Of a livelock: the step at which the execution was in the state it ended in. */
  repeatsFrom = -1;
  /** Likewise: threads that say they get on in each round, as a bit mask. */
  progressed = 0;
  /** JavaScript stacks at the threads' first points, which no observer sees being announced. */
  readonly firstStacks: string[] = [];
  /** Where a trap was met, of a crash. */
  crash: Error | undefined;

  readonly #options: MachineOptions;
  #mode: number = Mode.Quiet;
  #strategy: Strategy | undefined;
  #ending: Ending = 'finished';
  #spinning = 0;
  #barren = 0;
  #spuriousLeft = 0;
  #timeoutsLeft = 0;
  readonly #long: LongRun;
  /** Somebody looks at every step. */
  #watched = false;
  #announces = false;

  constructor(options: MachineOptions) {
    super(options.stateBytes, options.threads);
    this.#options = options;
    this.tape = new Uint8Array(options.stepLimit * 2 + 64);
    this.#long = new LongRun(this, options.stepLimit);
    const instance = new WebAssembly.Instance(options.module, {
      env: {
        memory: this.memory.memory,
        nowNs: () => (options.frozenClock === true ? 0 : this.step * STEP_NS),
        stopped: () => {
          throw STOPPED;
        },
        prDebug: options.prDebug ?? (() => {}),
        userHook: () => {},
        point: (kind: number, address: number, bytes: number, low: number, high: number) =>
          this.#point(kind, address, bytes, low, high),
        futexBlock: (timed: number) => this.#futexBlock(timed),
        futexWake: (address: number, count: number) => this.#futexWake(address, count),
        threadEnd: () => this.#threadEnd(),
      },
    });
    this.exports = instance.exports as unknown as MachineExports;
  }

  // --- set-up ---

  /**
   * Takes the present state as the one all executions start from, with every thread at its first point. Call again after the map of points or the state
   * has changed.
   */
  prepare(threads: readonly ThreadStart[]): void {
    for (let thread = 0; thread < this.threadCount; thread++) this.setStart(thread, threads[thread]!);
    this.#listen(true);
    this.#mode = Mode.Prelude;
    for (this.current = 0; this.current < this.threadCount; this.current++) this.exports.runThreads(this.current);
    this.#quiet();
    this.exports.saveState();
  }

  #listen(on: boolean): void {
    this.words[control.CONTROL_MAP / 4] = on ? this.memory.mapAddress : this.memory.silentMap;
  }

  #quiet(): void {
    this.#mode = Mode.Quiet;
    this.#listen(false);
  }

  // --- executions ---

  /** Runs one execution from the saved state under a strategy that has begun it. */
  run(strategy: Strategy): Ending {
    this.start(strategy);
    this.#long.begin(true, strategy.keepAt);
    for (;;) {
      const ending = this.advance();
      if (!this.#long.isPaused) return ending;
      this.repeatsFrom = this.#long.look((this.#spuriousLeft << 16) | this.#timeoutsLeft);
      this.progressed = this.#long.progressed;
      if (this.repeatsFrom >= 0) return this.#long.isAnyStarving ? 'livelock' : 'endless';
    }
  }

  /** Goes back to the saved state; the strategy's answers count from here. */
  start(strategy: Strategy): void {
    this.exports.restoreState();
    this.#reset(strategy);
    this.observer?.begin?.();
    this.watcher?.begin?.();
  }

  /** Goes on from the present state until the execution ends, or the strategy gives it up for now: then another call goes on from there. */
  advance(): Ending {
    this.#ending = 'finished';
    this.#listen(true);
    this.#mode = Mode.Running;
    try {
      const first = this.#decide();
      if (first >= 0) this.exports.runThreads(first);
    } catch (error) {
      if (error === STOPPED) this.#ending = 'oops';
      else if (error instanceof WebAssembly.RuntimeError) {
        this.crash = error;
        this.#ending = 'crash';
      } else throw error;
    } finally {
      this.#quiet();
    }
    return this.#ending;
  }

  /** Calls into the model between executions, unseen by the scheduler; false when it oopsed. */
  quietly(call: () => void): boolean {
    const mode = this.#mode;
    const map = this.words[control.CONTROL_MAP / 4]!;
    this.#quiet();
    try {
      call();
      return true;
    } catch (error) {
      if (error === STOPPED) return false;
      throw error;
    } finally {
      this.#mode = mode;
      this.words[control.CONTROL_MAP / 4] = map;
    }
  }

  /** The scheduler's own notes, which lie in no thread's block: what a saved state needs beside memory. */
  notes(): SchedulerNotes {
    return {
      current: this.current,
      step: this.step,
      barren: this.#barren,
      spurious: this.#spuriousLeft,
      timeouts: this.#timeoutsLeft,
    };
  }

  /** Takes up saved notes; memory and the threads' blocks are as they were then. */
  takeUp({ current, step, barren, spurious, timeouts }: SchedulerNotes): void {
    this.#listThreads();
    this.current = current;
    this.step = step;
    this.tapeLength = 0;
    this.#barren = barren;
    this.#spuriousLeft = spurious;
    this.#timeoutsLeft = timeouts;
  }

  #reset(strategy: Strategy): void {
    this.#strategy = strategy;
    this.#announces = this.observer?.announced !== undefined;
    this.#watched =
      strategy.performed !== undefined ||
      this.observer !== undefined ||
      this.watcher !== undefined ||
      this.invariant !== undefined;
    this.#long.begin(false);
    this.repeatsFrom = -1;
    this.#barren = 0;
    this.#spuriousLeft = this.#options.spuriousWakeups ?? 0;
    this.#timeoutsLeft = this.#options.earlyTimeouts ?? 0;
    this.crash = undefined;
    this.tapeLength = 0;
    this.step = 0;
    this.current = -1;
    this.#listThreads();
  }

  /** Makes the list of enabled threads from their blocks. */
  #listThreads(): void {
    this.#spinning = 0;
    this.noneEnabled();
    for (let thread = 0; thread < this.threadCount; thread++) {
      if (this.status(thread) === control.STATUS_READY) this.enable(thread);
      else if (this.status(thread) === control.STATUS_SPINNING) this.#spinning++;
    }
  }

  /** The running thread announces its next operation. 0: it performs it now; 1: it suspends. */
  #point(kind: number, address: number, bytes: number, low: number, high: number): number {
    const thread = this.current;
    this.announce(thread, kind, address, bytes, low, high);
    if (this.#mode !== Mode.Running) return this.#pointOutside(kind);
    if (this.#announces) this.observer!.announced!(thread);
    if (kind === points.POINT_RELAX) this.#spin(thread);
    const next = this.#decide();
    if (next === thread) return 0;
    this.words[NEXT] = next;
    return 1;
  }

  /** Before the first execution: a thread stops at its first point. The set-up, and looks at the state, go on. */
  #pointOutside(kind: number): number {
    if (this.#mode === Mode.Quiet) return 0;
    this.firstStacks[this.current] = stackHere();
    if (kind === points.POINT_RELAX) this.setStatus(this.current, control.STATUS_SPINNING);
    this.words[NEXT] = -1;
    return 1;
  }

  /** Asks the strategy who is next and performs that thread's operation, as far as the machine has a part in it; -1: the execution ends here. */
  #decide(): number {
    if (this.#watched && this.step > 0 && this.invariant !== undefined && !this.quietly(this.invariant))
      return this.#end('oops');
    if (this.enabledCount === 0 && !this.#unstick()) return -1;
    const next = this.step >= this.#long.from ? this.#long.pick(this.#strategy!) : this.#strategy!.pick(this);
    if (next < 0) return this.#end(next === CUT ? 'step-limit' : 'given-up');
    this.tape[this.tapeLength++] = next;
    this.step++;
    this.#perform(next);
    return next;
  }

  #end(ending: Ending): number {
    this.#ending = ending;
    return -1;
  }

  #perform(thread: number): void {
    if (this.kind(thread) === 0) this.words[WAIT_RESULT] = this.waitResult(thread);
    else if (this.#spinning > 0 && this.writes(thread)) this.#stopSpinning(thread);
    if (this.#watched) {
      this.observer?.performed(thread, this);
      this.watcher?.performed(thread, this);
      this.#strategy!.performed?.(thread, this);
    }
    this.current = thread;
  }

  // --- spin loops: who has turned one does not run until another thread has written ---

  #spin(thread: number): void {
    this.setStatus(thread, control.STATUS_SPINNING);
    this.#spinning++;
    this.disable(thread);
  }

  #stopSpinning(writer: number): void {
    const quiet = writer >= 0 && this.#strategy!.isQuiet?.(this, writer) === true;
    if (!quiet) this.#barren = 0;
    for (let thread = 0; thread < this.threadCount; thread++) {
      if (thread === writer || this.status(thread) !== control.STATUS_SPINNING) continue;
      if (writer >= 0 && !this.#concerns(writer, thread, quiet)) continue;
      this.setStatus(thread, control.STATUS_READY);
      this.#spinning--;
      this.enable(thread);
    }
  }

  /** Whether a write lets a thread turn its loop once more: any does that is not quiet, unless it waits for one to a word. */
  #concerns(writer: number, spinner: number, quiet: boolean): boolean {
    const [awaited, written] = [this.address(spinner), this.address(writer)];
    return (
      (awaited === 0 && !quiet) || (awaited !== 0 && written < awaited + 4 && awaited < written + this.bytes(writer))
    );
  }

  /** Nobody can run: all who spin try again, else a wait with a limit times out. False when that ends the execution. */
  #unstick(): boolean {
    const spinners = this.#threadsAt(control.STATUS_SPINNING);
    if (spinners.some((thread) => this.address(thread) === 0)) {
      if (++this.#barren > BARREN_ROUNDS) return this.#end('livelock') === 0;
      this.#stopSpinningAll();
      return true;
    }
    const timed = this.#threadsAt(control.STATUS_BLOCKED_TIMED);
    if (timed.length > 0) {
      this.#wake(timed[this.#choose(timed.length, 'timeout')]!, TIMED_OUT, -1);
      return true;
    }
    // Who waits for a write that nobody will make sleeps.
    for (const thread of spinners) this.setStatus(thread, control.STATUS_BLOCKED);
    this.#end(this.#threadsAt(control.STATUS_BLOCKED).length === 0 ? 'finished' : 'blocked');
    return false;
  }

  #stopSpinningAll(): void {
    const barren = this.#barren;
    this.#stopSpinning(-1);
    this.#barren = barren;
  }

  #threadsAt(status: number, other = status): number[] {
    const found: number[] = [];
    for (let thread = 0; thread < this.threadCount; thread++)
      if (this.status(thread) === status || this.status(thread) === other) found.push(thread);
    return found;
  }

  // --- futexes ---

  #choose(count: number, kind: ChoiceKind): number {
    const choice = count === 1 ? 0 : this.#strategy!.choose(count, kind, this);
    if (count > 1) this.tape[this.tapeLength++] = choice;
    return choice;
  }

  /** The running thread falls asleep on a word. */
  #futexBlock(timed: number): number {
    if (this.#mode !== Mode.Running) throw new Error('a wait outside of an execution: the set-up must not sleep');
    const thread = this.current;
    this.setStatus(thread, timed === 0 ? control.STATUS_BLOCKED : control.STATUS_BLOCKED_TIMED);
    this.disable(thread);
    this.#wakeEarly(thread, timed !== 0);
    const next = this.#decide();
    if (next === thread) return 0;
    this.words[NEXT] = next;
    return 1;
  }

  #wakeEarly(thread: number, timed: boolean): void {
    if (this.#spuriousLeft > 0 && this.#choose(2, 'spurious') === 1) {
      this.#spuriousLeft--;
      this.#wake(thread, WOKEN, -1);
    } else if (timed && this.#timeoutsLeft > 0 && this.#choose(2, 'timeout') === 1) {
      this.#timeoutsLeft--;
      this.#wake(thread, TIMED_OUT, -1);
    }
  }

  #wake(thread: number, result: number, wokenBy: number): void {
    this.setWoken(thread, result, wokenBy);
    this.enable(thread);
    if (wokenBy < 0) return;
    this.observer?.woke?.(wokenBy, thread);
    this.watcher?.woke?.(wokenBy, thread);
  }

  /** The running thread wakes up to `count` sleepers of a word: which ones, if not all, is a choice. */
  #futexWake(address: number, count: number): number {
    const sleepers = this.#threadsAt(control.STATUS_BLOCKED, control.STATUS_BLOCKED_TIMED).filter(
      (thread) => this.address(thread) === address >>> 0,
    );
    const woken = Math.min(sleepers.length, count >>> 0);
    for (let n = 0; n < woken; n++) {
      const choice = woken === sleepers.length + n ? 0 : this.#choose(sleepers.length, 'wake');
      this.#wake(sleepers.splice(choice, 1)[0]!, WOKEN, this.current);
    }
    return woken;
  }

  #threadEnd(): void {
    this.setStatus(this.current, control.STATUS_FINISHED);
    this.words[NEXT] = -1;
    if (this.#mode !== Mode.Running) return;
    this.disable(this.current);
    this.words[NEXT] = this.#decide();
  }
}
