// Source-DPOR as a strategy: one execution a trace (dpor/source-dpor.ts has the paper). Here the machine's points become operations: words read and
// written, and the queue of a futex, which waits and wake-ups write. It differs from the paper in that a spin loop and a wait that times out depend on the
// whole state: executions with those are explored, but no longer all of them, and `exhaustive` says so.
import { POINT_FUTEX_WAKE, POINT_RELAX } from '../../kernel/abi/point.js';
import type { Operation } from '../dpor/dependence.js';
import { type DporState, SourceDpor } from '../dpor/source-dpor.js';
import { operationOf } from '../operation.js';
import type { ChoiceKind, SchedulePart, ScheduleSearch, StrategyEnd, View } from '../strategy.js';

interface DporPart extends SchedulePart {
  state: DporState;
  /** Something was met before that makes the search none of all traces. */
  isLimited: boolean;
}

export class Dpor implements ScheduleSearch {
  readonly name = 'dpor';
  readonly #dpor = new SourceDpor();
  #operations: (Operation | undefined)[] = [];
  /** By thread: its last wake-up of a futex, as an event; -1: none. */
  #wakes: number[] = [];
  #limited = false;

  /** Whether every trace was seen once there are no more executions. */
  get exhaustive(): boolean {
    return !this.#limited;
  }

  /** Executions that ran to their end: one for each trace. */
  get complete(): number {
    return this.#dpor.complete;
  }

  /** Executions given up because they were known. */
  get redundant(): number {
    return this.#dpor.redundant;
  }

  begin(_index: number, _seed: number, view: View): boolean {
    this.#operations = Array.from({ length: view.threadCount }, () => undefined);
    this.#wakes = Array.from({ length: view.threadCount }, () => -1);
    return this.#dpor.begin();
  }

  take(part: SchedulePart): void {
    const { state, isLimited } = part as DporPart;
    this.#dpor.take(state);
    this.#limited = isLimited;
  }

  rest(): DporPart | undefined {
    return this.#partOf(this.#dpor.rest());
  }

  split(): DporPart | undefined {
    return this.#partOf(this.#dpor.split());
  }

  next(): undefined {
    return undefined;
  }

  #partOf(part: { weight: number; state: DporState } | undefined): DporPart | undefined {
    return part === undefined ? undefined : { ...part, isLimited: this.#limited };
  }

  pick(view: View): number {
    let enabled = 0;
    for (let n = 0; n < view.enabledCount; n++) {
      const thread = view.enabled[n]!;
      enabled |= 1 << thread;
      this.#operations[thread] = operationOf(view, thread);
      if (view.kind(thread) === 0) this.#noteWakeUp(thread, view);
      else if (view.kind(thread) === POINT_RELAX) this.#limited = true;
    }
    const thread = this.#dpor.pick({ operations: this.#operations, enabled, current: view.current });
    if (thread >= 0 && view.kind(thread) === POINT_FUTEX_WAKE) this.#wakes[thread] = view.step;
    return thread;
  }

  #noteWakeUp(thread: number, view: View): void {
    const by = view.wokenBy(thread);
    if (by < 0) this.#limited = true;
    else this.#dpor.woke(thread, this.#wakes[by]!);
  }

  choose(count: number, kind: ChoiceKind): number {
    if (kind !== 'wake') this.#limited = true;
    return this.#dpor.choose(count);
  }

  end({ complete }: StrategyEnd): void {
    if (complete) this.#dpor.end();
  }
}
