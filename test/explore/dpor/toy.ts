// A toy machine for tests of explorers: threads are generators that announce operations on variables and locks, and are run from the start each time.
import type { Operation } from '#src/explore/dpor/dependence.js';
import { type Event, TraceOrder } from '#src/explore/dpor/trace.js';

/** An operation and what it does to the variables; the result is what the generator's yield returns. */
export interface ToyStep {
  operation: Operation;
  run(memory: number[]): number;
}

export type ToyThread = () => Generator<ToyStep, void, number>;
export type ToyProgram = ToyThread[];

const access = (word: number, write: boolean, run: ToyStep['run']): ToyStep => ({
  operation: { kind: 'access', touches: [{ first: word, end: word + 1, write }] },
  run,
});
export const read = (word: number): ToyStep => access(word, false, (memory) => memory[word] ?? 0);
export const write = (word: number, value: number): ToyStep => access(word, true, (memory) => (memory[word] = value));
export const add = (word: number, value = 1): ToyStep =>
  access(word, true, (memory) => {
    const old = memory[word] ?? 0;
    memory[word] = old + value;
    return old;
  });
export const lock = (lockId: number): ToyStep => ({
  operation: { kind: 'lock', touches: [], lock: lockId },
  run: () => 0,
});
export const unlock = (lockId: number): ToyStep => ({
  operation: { kind: 'unlock', touches: [], lock: lockId },
  run: () => 0,
});

/** One execution in progress. */
export class ToyRun {
  readonly memory: number[] = [];
  readonly events: Event[] = [];
  readonly #threads: Generator<ToyStep, void, number>[];
  readonly #pending: (ToyStep | undefined)[];
  readonly #held = new Set<number>();
  current = -1;

  constructor(program: ToyProgram) {
    this.#threads = program.map((thread) => thread());
    this.#pending = this.#threads.map((thread) => thread.next().value as ToyStep | undefined);
  }

  get operations(): (Operation | undefined)[] {
    return this.#pending.map((step) => step?.operation);
  }

  get enabled(): number {
    return this.#pending.reduce((mask, step, n) => {
      const blocked = step === undefined || (step.operation.kind === 'lock' && this.#held.has(step.operation.lock!));
      return blocked ? mask : mask | (1 << n);
    }, 0);
  }

  step(thread: number): void {
    const { operation, run } = this.#pending[thread]!;
    if (operation.kind === 'lock') this.#held.add(operation.lock!);
    if (operation.kind === 'unlock') this.#held.delete(operation.lock!);
    this.events.push({ thread, operation, after: -1 });
    const next = this.#threads[thread]!.next(run(this.memory));
    this.#pending[thread] = next.done === true ? undefined : next.value;
    this.current = thread;
  }

  /** Threads that have not finished. */
  get waiting(): { thread: number; operation: Operation }[] {
    return this.operations.flatMap((operation, thread) => (operation === undefined ? [] : [{ thread, operation }]));
  }
}

/** All interleavings, one by one; returns the canonical forms of their traces. */
export function everyTrace(program: ToyProgram): { traces: Set<string>; executions: number } {
  const traces = new Set<string>();
  let executions = 0;
  const prefix: number[] = [];
  const explore = (): void => {
    const run = new ToyRun(program);
    for (const thread of prefix) run.step(thread);
    if (run.enabled === 0) {
      executions++;
      traces.add(new TraceOrder(run.events, program.length).canonical());
    }
    for (let thread = 0; thread < program.length; thread++) {
      if ((run.enabled & (1 << thread)) === 0) continue;
      prefix.push(thread);
      explore();
      prefix.pop();
    }
  };
  explore();
  return { traces, executions };
}
