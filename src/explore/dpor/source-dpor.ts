// Source-DPOR: explores one execution of each trace (class of executions that differ in the order of independent operations only), without saving states.
// A stack of decisions; after each execution its races put further threads on the decisions they go back to; sleep sets keep what was tried asleep until
// something dependent happens. After Abdulla, Aronis, Jonsson, Sagonas, "Optimal Dynamic Partial Order Reduction", POPL 2014, algorithm 1. It differs in
// that races are looked for once an execution has ended (as Nidhugg does), and that a thread that waits for a modelled lock at the end races, too. Where the
// search is divided (division.ts) all threads of a decision are tried, whatever races: sleep sets keep their executions apart all the same.
import { conflict, type Operation } from './dependence.js';
import { bits, type Choice, type Decision, divide, type DporPart, type DporState, restOf } from './division.js';
import { type Event, TraceOrder } from './trace.js';

/** What the threads are about to do: by thread number, undefined for one that has finished or never started. */
export interface Threads {
  operations: readonly (Operation | undefined)[];
  /** Bit mask of those that can go on. */
  enabled: number;
  /** The thread that ran last, -1 at the start. */
  current: number;
}

/** Thrown when an execution did not repeat the prefix it was asked for: the program has randomness that the tape does not know of. */
export class DivergenceError extends Error {}

export type { DporState } from './division.js';

/** Drives executions one by one: begin(), then pick() at every step, then end(). */
export class SourceDpor {
  #stack: Decision[] = [];
  /** Choices by the number of events before them. */
  #choices = new Map<number, Choice[]>();
  /** Choices asked for since the last event. */
  #asked = 0;
  #events: Event[] = [];
  /** By thread: the event that woke it since its last step. */
  #woken: number[] = [];
  /** The next execution is the one that the stack tells. */
  #ready = true;
  /** Executions that ran to their end: one for each trace. */
  complete = 0;
  /** Executions given up because everything enabled was asleep: work that optimal-DPOR would save. */
  redundant = 0;

  /** Prepares the next execution; false when every trace has been seen. */
  begin(): boolean {
    if (!this.#advance()) return false;
    this.#ready = false;
    this.#asked = 0;
    this.#events = [];
    this.#woken = [];
    return true;
  }

  #advance(): boolean {
    this.#ready ||= this.#backtrack();
    return this.#ready;
  }

  /** Takes up a part of a search instead of the whole. Before the first execution. */
  take({ decisions, choices }: DporState): void {
    this.#stack = decisions.map((decision) => ({ ...decision, operations: [] }));
    this.#choices = new Map(choices.map(([depth, here]) => [depth, here.map((choice) => ({ ...choice }))]));
  }

  /** What is left, between executions; undefined when nothing is. */
  rest(): DporPart | undefined {
    return this.#advance() ? restOf(this.#stack, this.#choices) : undefined;
  }

  /** Gives a part away, between executions; undefined when there is nothing to divide. */
  split(): DporPart | undefined {
    return this.#advance() ? divide(this.#stack, this.#choices) : undefined;
  }

  /** The thread to run; -1: the rest of this execution is known, stop here (and do not call end). */
  pick(threads: Threads): number {
    const depth = this.#events.length;
    let decision = this.#stack[depth];
    if (decision === undefined) {
      decision = this.#decide(threads);
      if (decision === undefined) {
        this.redundant++;
        this.#learn([]);
        return -1;
      }
      this.#stack.push(decision);
    } else if (decision.enabled !== threads.enabled) {
      throw new DivergenceError(`step ${depth}: other threads are enabled than when the same choices were made before`);
    } else if (decision.operations.length === 0) decision.operations = [...threads.operations];
    const { chosen } = decision;
    this.#asked = 0;
    this.#events.push({ thread: chosen, operation: threads.operations[chosen]!, after: this.#woken[chosen] ?? -1 });
    this.#woken[chosen] = -1;
    return chosen;
  }

  /** `thread` runs again because of what event `event` did: order, not a race. */
  woke(thread: number, event: number): void {
    this.#woken[thread] = event;
  }

  /** One of `count` alternatives that are no threads. */
  choose(count: number): number {
    const depth = this.#events.length;
    const here = this.#choices.get(depth) ?? [];
    this.#choices.set(depth, here);
    const choice = (here[this.#asked] ??= { count, taken: 0, isClosed: false });
    this.#asked++;
    if (choice.count !== count) {
      throw new DivergenceError(
        `step ${depth}: another number of alternatives than when the same choices were made before`,
      );
    }
    return choice.taken;
  }

  /** A fresh decision; undefined when all that could run is asleep. */
  #decide({ operations, enabled, current }: Threads): Decision | undefined {
    const asleep = this.#asleepNow();
    const candidates = enabled & ~asleep;
    if (candidates === 0) return undefined;
    const stays = current >= 0 && (candidates & (1 << current)) !== 0;
    const chosen = stays ? current : 31 - Math.clz32(candidates & -candidates);
    return {
      enabled,
      wanted: 1 << chosen,
      asleep,
      done: 0,
      given: 0,
      isClosed: false,
      chosen,
      operations: [...operations],
    };
  }

  /** Who sleeps behind the last decision: all who slept or were tried there, but for those whose operation depends on the one chosen. */
  #asleepNow(): number {
    const parent = this.#stack.at(-1);
    if (parent === undefined) return 0;
    const operation = parent.operations[parent.chosen]!;
    let asleep = 0;
    for (const thread of bits((parent.asleep | parent.done) & ~(1 << parent.chosen))) {
      const pending = parent.operations[thread];
      if (pending !== undefined && !conflict(pending, operation)) asleep |= 1 << thread;
    }
    return asleep;
  }

  /** The execution has ended; `waiting` are threads that wait for a modelled lock for ever. Learns from its races. */
  end(waiting: readonly { thread: number; operation: Operation }[] = []): void {
    this.complete++;
    this.#learn(waiting);
  }

  /** Also of an execution that was given up: up to there it may have raced in ways that no complete one shows. */
  #learn(waiting: readonly { thread: number; operation: Operation }[]): void {
    const pending = waiting.map(({ thread, operation }) => ({ thread, operation, after: -1 }));
    const threads = this.#stack.reduce((most, { operations }) => Math.max(most, operations.length), 1);
    const order = new TraceOrder(this.#events, threads, pending);
    for (const race of order.races) {
      const decision = this.#stack[race.earlier]!;
      if (decision.isClosed) continue;
      const initials = order.initials(race);
      const mask = initials.reduce((all, thread) => all | (1 << thread), 0);
      if ((mask & (decision.wanted | decision.asleep | decision.done)) !== 0) continue;
      const first = initials.find((thread) => (decision.enabled & (1 << thread)) !== 0);
      decision.wanted |= first === undefined ? decision.enabled : 1 << first;
    }
  }

  /** Takes the next alternative of the last choice behind `depth` events that has one. */
  #nextChoice(depth: number): boolean {
    const here = this.#choices.get(depth) ?? [];
    while (here.length > 0) {
      const choice = here.at(-1)!;
      if (!choice.isClosed && ++choice.taken < choice.count) return true;
      here.pop();
    }
    this.#choices.delete(depth);
    return false;
  }

  /** Goes back to the deepest decision or choice with an alternative left to try. */
  #backtrack(): boolean {
    for (;;) {
      if (this.#nextChoice(this.#stack.length)) return true;
      const decision = this.#stack.at(-1);
      if (decision === undefined) return false;
      decision.done |= 1 << decision.chosen;
      const left = decision.wanted & ~decision.done & ~decision.asleep;
      if (left !== 0) {
        decision.chosen = 31 - Math.clz32(left & -left);
        return true;
      }
      this.#stack.pop();
    }
  }
}
