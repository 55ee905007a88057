// Whether an execution comes again from the same answers. What a program keeps outside of its memory (a variable of the module, a table) is not put back between
// executions: then what is said of one of them need not hold for another.
import { type Finding, findingOf } from './finding.js';
import type { Observer } from './machine.js';
import { OPERATIONS } from './operation-names.js';
import { type RecordedStep, Recorder } from './recorder.js';
import { Divergence, Replay } from './strategies/replay.js';
import type { Target } from './target.js';
import type { View } from './strategy.js';

/** Every so many executions one is run twice, the first of all among them. */
export const REPEATED_EVERY = 500;

/** Two observers as one. */
export function both(one: Observer | undefined, other: Observer): Observer {
  if (one === undefined) return other;
  return {
    begin() {
      one.begin?.();
      other.begin?.();
    },
    performed(thread: number, view: View) {
      one.performed(thread, view);
      other.performed(thread, view);
    },
    woke(waker: number, waiter: number) {
      one.woke?.(waker, waiter);
      other.woke?.(waker, waiter);
    },
  };
}

/** Runs the execution of a tape again; says at which step it parts from the first time, undefined when it does not. The machine's observer stays. */
export function partingOf(
  target: Target,
  tape: readonly number[],
  steps: readonly RecordedStep[],
  finding: Finding | undefined,
): string | undefined {
  const { machine } = target;
  const before = machine.observer;
  const recorder = new Recorder(machine);
  machine.observer = recorder;
  let again: Finding | undefined;
  let divergence: Divergence | undefined;
  try {
    const strategy = new Replay(tape);
    strategy.begin();
    again = findingOf(target, machine.run(strategy));
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    divergence = error;
  } finally {
    machine.observer = before;
  }
  const at = steps.findIndex((step, n) => !isSameStep(step, recorder.steps[n]));
  if (at >= 0) {
    const now = recorder.steps[at];
    return `step ${at + 1}: ${sayStep(target, steps[at]!)} the first time, ${now === undefined ? 'the end' : sayStep(target, now)} the second`;
  }
  if (divergence !== undefined) return divergence.message;
  if (finding?.message === again?.message) return undefined;
  return `after ${steps.length} equal steps: ${finding?.message ?? 'it passes'} the first time, ${again?.message ?? 'it passes'} the second`;
}

function isSameStep(a: RecordedStep, b: RecordedStep | undefined): boolean {
  return b !== undefined && keyOf(a) === keyOf(b);
}

function keyOf({ thread, kind, address, bytes, low, before }: RecordedStep): string {
  return [thread, kind, kind === 0 ? 0 : address, bytes, low, before].join();
}

function sayStep({ threadNames, nameOf }: Target, { thread, kind, address, low, before }: RecordedStep): string {
  const what = OPERATIONS[kind] ?? 'goes on';
  return `${threadNames[thread]}: ${what} ${nameOf(address)} (value ${before >>> 0}, operand ${low >>> 0})`;
}
