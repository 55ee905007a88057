// A tiny machine with saved states: each thread is a list of instructions over shared words and registers of its own.
import { answersAfter, type Failure, type SearchMachine } from '#src/explore/search/machine.js';
import { StateHash } from '#src/explore/state-hash.js';

/** `r` is the thread's register. A jump costs no step of its own, and neither does saying that the thread gets on. */
export type Instruction =
  | { op: 'load'; word: number }
  | { op: 'store'; word: number; value: number | 'r' }
  | { op: 'add'; value: number }
  | { op: 'exchange'; word: number; expected: number; value: number }
  /** Stores one of 0 .. count - 1: which, is a choice. */
  | { op: 'choose'; word: number; count: number }
  | { op: 'wait'; word: number; value: number }
  | { op: 'jump'; to: number; unless?: number }
  | { op: 'progress' }
  | { op: 'check'; word: number; value: number; message: string };

const SHARED = 8;

export class ToyMachine implements SearchMachine<Int32Array> {
  readonly #code: readonly (readonly Instruction[])[];
  /** Shared words, then of each thread: program counter, register. */
  readonly #state: Int32Array;
  readonly #hash: StateHash;
  readonly #final: ((shared: Int32Array) => Failure | undefined) | undefined;

  answers: readonly number[] = [];
  readonly steps = 1;
  progressed = false;
  #counts: readonly number[] = [];
  readonly #marks: Int32Array[] = [];

  constructor(code: readonly (readonly Instruction[])[], final?: (shared: Int32Array) => Failure | undefined) {
    this.#code = code;
    this.#state = new Int32Array(SHARED + 2 * code.length);
    this.#hash = new StateHash(this.#state.buffer, 0, this.#state.byteLength);
    this.#final = final;
    for (let thread = 0; thread < code.length; thread++) this.#settle(thread);
    this.#rehash();
  }

  get threads(): number {
    return this.#code.length;
  }

  #rehash(): void {
    this.#hash.rehash(0, this.#state.byteLength);
  }

  #at(thread: number): Instruction | undefined {
    return this.#code[thread]![this.#state[SHARED + 2 * thread]!];
  }

  /** Runs what is the thread's own until its next shared instruction. */
  #settle(thread: number): void {
    const [pc, r] = [SHARED + 2 * thread, SHARED + 2 * thread + 1];
    for (let instruction = this.#at(thread); instruction !== undefined; instruction = this.#at(thread)) {
      if (instruction.op === 'jump') {
        const stays = instruction.unless !== undefined && this.#state[r] === instruction.unless;
        this.#state[pc] = stays ? this.#state[pc]! + 1 : instruction.to;
      } else if (instruction.op === 'add') {
        this.#state[r]! += instruction.value;
        this.#state[pc]!++;
      } else if (instruction.op === 'progress') {
        this.progressed = true;
        this.#state[pc]!++;
      } else return;
    }
  }

  #can(thread: number): boolean {
    const instruction = this.#at(thread);
    if (instruction === undefined) return false;
    return instruction.op !== 'wait' || this.#state[instruction.word] === instruction.value;
  }

  enabled(): number {
    return this.#code.reduce((mask, _, thread) => (this.#can(thread) ? mask | (1 << thread) : mask), 0);
  }

  unfinished(): number {
    return this.#code.reduce((mask, _, thread) => (this.#at(thread) === undefined ? mask : mask | (1 << thread)), 0);
  }

  localStep(): number {
    return -1;
  }

  nextAnswers(): readonly number[] | undefined {
    return answersAfter(this.answers, this.#counts);
  }

  step(thread: number, answers: readonly number[] = []): Failure | undefined {
    const instruction = this.#at(thread)!;
    this.answers = [];
    this.#counts = [];
    this.progressed = false;
    const [pc, r] = [SHARED + 2 * thread, SHARED + 2 * thread + 1];
    const state = this.#state;
    let failure: Failure | undefined;
    if (instruction.op === 'load') state[r] = state[instruction.word]!;
    else if (instruction.op === 'store')
      state[instruction.word] = instruction.value === 'r' ? state[r]! : instruction.value;
    else if (instruction.op === 'exchange') {
      state[r] = state[instruction.word]!;
      if (state[r] === instruction.expected) state[instruction.word] = instruction.value;
    } else if (instruction.op === 'check' && state[instruction.word] !== instruction.value) {
      failure = { kind: 'check', message: instruction.message };
    }
    if (instruction.op === 'choose') {
      this.answers = [answers[0] ?? 0];
      this.#counts = [instruction.count];
      state[instruction.word] = this.answers[0]!;
    }
    state[pc]!++;
    this.#settle(thread);
    this.#rehash();
    return failure;
  }

  atRest(): Failure | undefined {
    return this.#final?.(this.#state);
  }

  mark(): number {
    return this.#marks.push(this.save()) - 1;
  }

  back(mark: number): void {
    this.#marks.length = mark + 1;
    this.restore(this.#marks[mark]!);
  }

  save(): Int32Array {
    return this.#state.slice();
  }

  restore(saved: Int32Array): void {
    this.#state.set(saved);
    this.#rehash();
  }

  get hashLow(): number {
    return this.#hash.low;
  }

  get hashHigh(): number {
    return this.#hash.high;
  }
}

interface Everything {
  states: number;
  /** Kinds of the violations that can be reached. */
  failures: Set<string>;
  /** Steps to the nearest of them, livelocks aside. */
  shortest: number;
}

interface Step {
  to: string;
  thread: number;
  progressed: boolean;
}

interface Seen {
  enabled: number;
  /** Threads that have ended do not starve. */
  unfinished: number;
  steps: Step[];
}

/** Every state by plain recursion without any reduction: their number and the violations that can be reached. */
export function everyState(machine: ToyMachine): Everything {
  const seen = new Map<string, Seen>();
  const failures = new Set<string>();
  let shortest = Infinity;
  let frontier = [machine.save()];
  for (let depth = 0; frontier.length > 0; depth++) {
    const next: Int32Array[] = [];
    for (const saved of frontier) {
      machine.restore(saved);
      const [enabled, unfinished] = [machine.enabled(), machine.unfinished()];
      const fail = (kind: string, at: number): void => {
        failures.add(kind);
        shortest = Math.min(shortest, at);
      };
      if (enabled === 0) {
        if (unfinished !== 0) fail('deadlock', depth);
        const failure = machine.atRest();
        if (unfinished === 0 && failure !== undefined) fail(failure.kind, depth);
        continue;
      }
      const key = saved.join(',');
      if (seen.has(key)) continue;
      const here: Seen = { enabled, unfinished, steps: [] };
      seen.set(key, here);
      for (let thread = 0; thread < 8; thread++) {
        if ((enabled & (1 << thread)) === 0) continue;
        for (let ways: readonly number[] | undefined = []; ways !== undefined; ways = machine.nextAnswers()) {
          machine.restore(saved);
          const failure = machine.step(thread, ways);
          if (failure !== undefined) {
            fail(failure.kind, depth + 1);
            continue;
          }
          next.push(machine.save());
          here.steps.push({ to: next.at(-1)!.join(','), thread, progressed: machine.progressed });
        }
      }
    }
    frontier = next;
  }
  if (isLivelock(seen)) failures.add('livelock');
  if (isStarvation(seen, machine.threads)) failures.add('starvation');
  return { states: seen.size, failures, shortest };
}

interface Around {
  /** Threads that run among some states, that can run in all of them, and whether one of them gets on. */
  ran: number;
  always: number;
  progressed: boolean;
}

/** The sets of states that lead to one another by steps of a sort through states of a sort: by Warshall's closure, states as bits. */
function* loopsOf(
  seen: Map<string, Seen>,
  isState: (state: Seen) => boolean,
  isStep: (step: Step) => boolean,
): Generator<Around> {
  const states = [...seen].filter(([, state]) => isState(state));
  const numbers = new Map(states.map(([key], n) => [key, n]));
  const steps = states.map(([, state]) => state.steps.filter((step) => isStep(step) && numbers.has(step.to)));
  const reached = steps.map((some) => some.reduce((set, { to }) => set | (1n << BigInt(numbers.get(to)!)), 0n));
  const has = (set: bigint, n: number): boolean => ((set >> BigInt(n)) & 1n) !== 0n;
  for (let via = 0; via < states.length; via++)
    for (let n = 0; n < states.length; n++) if (has(reached[n]!, via)) reached[n]! |= reached[via]!;
  for (let n = 0; n < states.length; n++) {
    const isAround = (other: number): boolean => has(reached[n]!, other) && has(reached[other]!, n);
    let [ran, always, progressed] = [0, -1, false];
    for (const [other, [, { enabled }]] of states.entries()) {
      if (!isAround(other)) continue;
      always &= enabled;
      for (const step of steps[other]!) {
        if (!isAround(numbers.get(step.to)!)) continue;
        ran |= 1 << step.thread;
        progressed ||= step.progressed;
      }
    }
    yield { ran, always, progressed };
  }
}

/** Whether a fair scheduler may go on for ever without anybody's getting on. */
function isLivelock(seen: Map<string, Seen>): boolean {
  for (const { ran, always } of loopsOf(
    seen,
    () => true,
    ({ progressed }) => !progressed,
  ))
    if (ran !== 0 && (always & ~ran) === 0) return true;
  return false;
}

/** Whether exactly the threads of some set may run for ever, none else being able to, while one of them gets on and another thread never does. */
function isStarvation(seen: Map<string, Seen>, threads: number): boolean {
  for (let set = 1; set < 1 << threads; set++) {
    for (let starving = 0; starving < threads; starving++) {
      const isState = ({ enabled, unfinished }: Seen): boolean =>
        (enabled & ~set) === 0 && (unfinished & (1 << starving)) !== 0;
      const isStep = ({ thread, progressed }: Step): boolean => !progressed || thread !== starving;
      for (const { ran, progressed } of loopsOf(seen, isState, isStep)) if (ran === set && progressed) return true;
    }
  }
  return false;
}
