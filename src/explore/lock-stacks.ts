// Which locks each thread holds where an execution ends, and where it took them: lockdep's held stacks, with the place in the source of the step at which each
// lock came onto its stack. Known of executions whose steps' places are recorded.
import * as layout from '../kernel/abi/layout.js';
import { HELD_MODE_SHIFT, HELD_READ, HELD_TRY } from '../kernel/abi/sync.js';
import type { Machine } from './machine.js';
import type { SourceLine } from './source-lines.js';

/** A lock in a thread's hands, or one that it waits for. */
export interface HeldLock {
  lock: number;
  isRead: boolean;
  /** Step (from 0) at which it was taken; -1: none yet. */
  step: number;
  place: SourceLine | undefined;
}

/** A lock that was taken while its thread held another one. */
export interface LockEdge {
  thread: number;
  under: HeldLock;
  taken: HeldLock;
}

/** Follows the held stacks of an execution. */
export class LockStacks {
  readonly #machine: Machine;
  readonly #stacks: HeldLock[][];
  /** Each pair of locks once, as it was first seen. */
  readonly edges: LockEdge[] = [];

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#stacks = Array.from({ length: machine.threadCount }, () => []);
  }

  /** The thread has made step `last`, at `lastPlace`, and stands at `place` before its next one. */
  note(thread: number, last: number, place: SourceLine | undefined, lastPlace: SourceLine | undefined): void {
    const { words } = this.#machine.memory;
    const task = this.#machine.task(thread) / 4;
    const count = Math.min(words[task + layout.TASK_HELD_COUNT / 4]!, layout.HELD_MAX);
    const known = this.#stacks[thread]!;
    this.#stacks[thread] = Array.from({ length: count }, (_, n) => {
      const lock = words[task + layout.TASK_HELD / 4 + n * 2]! >>> 0;
      const mode = words[task + layout.TASK_HELD / 4 + n * 2 + 1]! >>> HELD_MODE_SHIFT;
      const before = known.find((held) => held.lock === lock);
      if (before !== undefined) return before;
      // A trylock is noted once it has succeeded; others before they are waited for.
      const isTry = (mode & HELD_TRY) !== 0;
      const taken = {
        lock,
        isRead: (mode & HELD_READ) !== 0,
        step: isTry ? last : -1,
        place: isTry ? lastPlace : place,
      };
      for (const under of known) this.#noteEdge({ thread, under, taken });
      return taken;
    });
  }

  #noteEdge(edge: LockEdge): void {
    const isKnown = ({ under, taken }: LockEdge): boolean =>
      under.lock === edge.under.lock && taken.lock === edge.taken.lock;
    if (!this.edges.some(isKnown)) this.edges.push(edge);
  }

  /** The thread has made a step: what it noted before that was for it. */
  took(thread: number, step: number): void {
    for (const held of this.#stacks[thread]!) if (held.step < 0) held.step = step;
  }

  /** What the thread has on its stack, oldest first: also the lock that it waits for. */
  of(thread: number): readonly HeldLock[] {
    return this.#stacks[thread]!;
  }
}
