// A schedule as its differences from running each thread as long as it can: the form in which schedules are made smaller. A deviation names a moment of
// one thread, not of the whole execution, so that it keeps its meaning when others are taken away. After Jalbert and Sen, "A Trace Simplification
// Technique for Effective Debugging of Concurrent Programs" (Tinertia), FSE 2010.

/** When `from` has made `steps` steps, `to` goes on instead. `from` is -1 for the very first choice. */
export interface Deviation {
  from: number;
  steps: number;
  to: number;
}

/** Steps that a thread made one behind the other. */
export interface Block {
  thread: number;
  steps: number;
}

/** The deviations that run these blocks: one at each change of thread, also where the default would have done the same. */
export function deviationsOf(blocks: readonly Block[]): Deviation[] {
  const made: number[] = [];
  let from = -1;
  return blocks.flatMap(({ thread, steps }) => {
    const deviation = thread === from ? [] : [{ from, steps: from < 0 ? 0 : made[from]!, to: thread }];
    made[thread] = (made[thread] ?? 0) + steps;
    from = thread;
    return deviation;
  });
}

/** The scheduler without deviations: the thread that ran goes on, else the lowest that can. `enabled` is a bit mask, not 0. */
export function defaultChoice(enabled: number, current: number): number {
  if (current >= 0 && (enabled & (1 << current)) !== 0) return current;
  return 31 - Math.clz32(enabled & -enabled);
}

/** Runs a program by deviations. A deviation whose thread cannot run is passed over: any list is a schedule. */
export class DeviationScheduler {
  readonly #wanted = new Map<number, number[]>();
  readonly #steps: number[] = [];

  constructor(deviations: readonly Deviation[]) {
    for (const { from, steps, to } of deviations) {
      const key = DeviationScheduler.#key(from, steps);
      this.#wanted.set(key, [...(this.#wanted.get(key) ?? []), to]);
    }
  }

  static #key(from: number, steps: number): number {
    return steps * 64 + from + 1;
  }

  /** The thread that makes the next step. */
  pick(enabled: number, current: number): number {
    const key = DeviationScheduler.#key(current, current < 0 ? 0 : (this.#steps[current] ?? 0));
    const wanted = this.#wanted.get(key)?.shift();
    const able = wanted !== undefined && (enabled & (1 << wanted)) !== 0;
    const thread = able ? wanted : defaultChoice(enabled, current);
    this.#steps[thread] = (this.#steps[thread] ?? 0) + 1;
    return thread;
  }
}

/** Collects, step by step, how a run differs from the default. */
export class DeviationRecorder {
  readonly deviations: Deviation[] = [];
  readonly blocks: Block[] = [];
  /** Deviations from a thread that could have gone on. */
  preemptions = 0;
  /** Steps by another thread than the one before. */
  switches = 0;
  readonly #steps: number[] = [];
  #current = -1;

  /** `thread` was chosen among `enabled`. */
  step(thread: number, enabled: number): void {
    const current = this.#current;
    if (thread !== defaultChoice(enabled, current)) {
      this.deviations.push({ from: current, steps: current < 0 ? 0 : this.#steps[current]!, to: thread });
    }
    if (current >= 0 && thread !== current) {
      this.switches++;
      if ((enabled & (1 << current)) !== 0) this.preemptions++;
    }
    if (thread === current) this.blocks.at(-1)!.steps++;
    else this.blocks.push({ thread, steps: 1 });
    this.#steps[thread] = (this.#steps[thread] ?? 0) + 1;
    this.#current = thread;
  }
}
