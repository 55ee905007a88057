// From a failing execution to the smallest one that fails in the same way, and to the orders of steps without which it would pass. Both run the target
// again and again from its saved state; what comes out is a tape like any other.
import * as control from '../kernel/abi/control.js';
import * as layout from '../kernel/abi/layout.js';
import { type Deviation, DeviationRecorder, DeviationScheduler } from './deviations.js';
import type { Event } from './dpor/trace.js';
import { type Constraint, constraintsOf, type Pairs, type Turned } from './explain.js';
import { type Finding, findingOf } from './finding.js';
import { GuidedOrder, type Planned } from './guided.js';
import { type Budget, type Failing, minimiseSchedule } from './minimise.js';
import { operationOf } from './operation.js';
import { Replay } from './strategies/replay.js';
import type { ChoiceKind, Strategy, View } from './strategy.js';
import type { Target } from './target.js';

/** Thread sets are bit masks here. */
const MOST_THREADS = 31;

/** Whether two failures are the same one: numbers in the message (addresses, counts, page numbers) may differ, but for that of an assertion. */
export function isSameFailure(a: Finding, b: Finding): boolean {
  const text = ({ message }: Finding): string =>
    message.replace(/ \(values .*$/, '').replaceAll(/0x[0-9a-f]+|\d+/gi, '#');
  if (a.kind !== b.kind) return false;
  if (a.kind === 'assertion') return a.message.split(' does not')[0] === b.message.split(' does not')[0];
  if (a.kind === 'data-race') return a.message.split(': nothing orders')[0] === b.message.split(': nothing orders')[0];
  // Who of several equal threads waits for whom is no difference.
  return (
    a.kind === 'deadlock' ||
    a.kind === 'lost-wakeup' ||
    a.kind === 'livelock' ||
    a.kind === 'starvation' ||
    text(a) === text(b)
  );
}

/** Runs by any rule for threads, and by a list of answers for the other choices; writes down how that differs from the default schedule. */
class Followed implements Strategy {
  readonly name = 'followed';
  readonly exhaustive = false;
  readonly recorder = new DeviationRecorder();
  readonly choices: number[] = [];
  /** What each step does: only where `notesEvents`, since it takes time. */
  readonly events: Event[] = [];
  readonly planned: Planned[] = [];
  length = 0;
  readonly #thread: (view: View, enabled: number) => number;
  readonly #choice: (count: number, kind: ChoiceKind, view: View, at: number) => number;
  readonly #notesEvents: boolean;
  /** By thread: its last step, which may have woken another one. */
  readonly #last: number[] = [];

  constructor(
    thread: (view: View, enabled: number) => number,
    choice: (count: number, kind: ChoiceKind, view: View, at: number) => number,
    notesEvents = false,
  ) {
    this.#thread = thread;
    this.#choice = choice;
    this.#notesEvents = notesEvents;
  }

  begin(): boolean {
    return true;
  }

  pick(view: View): number {
    let enabled = 0;
    for (let n = 0; n < view.enabledCount; n++) enabled |= 1 << view.enabled[n]!;
    const thread = this.#thread(view, enabled);
    this.recorder.step(thread, enabled);
    this.length++;
    if (this.#notesEvents) this.#note(view, thread);
    return thread;
  }

  #note(view: View, thread: number): void {
    const waker = view.kind(thread) === 0 ? view.wokenBy(thread) : -1;
    const after = waker < 0 ? -1 : (this.#last[waker] ?? -1);
    this.#last[thread] = this.events.length;
    this.events.push({ thread, operation: operationOf(view, thread), after });
    this.planned.push({ thread, kind: view.kind(thread), address: view.address(thread) });
  }

  choose(count: number, kind: ChoiceKind, view: View): number {
    const choice = this.#choice(count, kind, view, this.choices.length);
    this.choices.push(choice);
    return choice;
  }
}

/** A smaller failing execution. */
export interface Minimal {
  finding: Finding;
  tape: readonly number[];
  preemptions: number;
  switches: number;
}

interface Attempt extends Failing {
  finding: Finding;
  tape: number[];
}

/** Answers of a list, 0 behind its end or where there are fewer alternatives now. */
function fromList(choices: readonly number[]): (count: number, kind: ChoiceKind, view: View, at: number) => number {
  return (count, _kind, _view, at) => Math.min(choices[at] ?? 0, count - 1);
}

/** Runs the tape once more, to learn how it differs from the default schedule. */
function follow(target: Target, tape: readonly number[]): Followed {
  const replay = new Replay(tape);
  replay.begin();
  const followed = new Followed(
    (view) => replay.pick(view),
    (count, kind, view) => replay.choose(count, kind, view),
    true,
  );
  target.machine.run(followed);
  return followed;
}

/** Makes the failing execution of a tape small; the tape itself when nothing smaller fails in the same way, or there are too many threads. */
export function minimise(target: Target, finding: Finding, tape: readonly number[], budget: Budget): Minimal {
  const { machine } = target;
  const first = machine.threadCount > MOST_THREADS ? undefined : follow(target, tape);
  if (first === undefined) return { finding, tape, preemptions: 0, switches: 0 };
  const attempt = (deviations: readonly Deviation[]): Attempt | undefined => {
    const scheduler = new DeviationScheduler(deviations);
    const followed = new Followed((view, enabled) => scheduler.pick(enabled, view.current), fromList(first.choices));
    const found = findingOf(target, machine.run(followed));
    if (found === undefined || !isSameFailure(found, finding)) return undefined;
    const { deviations: made, blocks, preemptions, switches } = followed.recorder;
    const { length } = followed;
    return {
      finding: found,
      tape: [...machine.tape.subarray(0, machine.tapeLength)],
      deviations: made,
      blocks,
      preemptions,
      switches,
      length,
    };
  };
  const { deviations, blocks, preemptions, switches } = first.recorder;
  const whole: Attempt = {
    finding,
    tape: [...tape],
    deviations,
    blocks,
    preemptions,
    switches,
    length: first.length,
  };
  return minimiseSchedule(whole, attempt, budget) as Attempt;
}

/**
 * The orders of steps (indices) that a failing execution needs: with any one of them the other way round, and all else as it was as far as that can be, it
 * passes.
 */
export function reasons(target: Target, finding: Finding, tape: readonly number[], pairs: Pairs = {}): Constraint[] {
  const { machine } = target;
  if (machine.threadCount > MOST_THREADS) return [];
  const { events, planned, choices } = follow(target, tape);
  // What is allocated on the way lies elsewhere when two that allocate change places.
  const fresh = firstFreshAddress(target);
  const alike = planned.map((each) => (each.address < fresh ? each : { ...each, address: fresh }));
  const outcome = (order: readonly number[], { earlier, later }: Constraint): Turned => {
    const guided = new GuidedOrder(
      order.map((n) => alike[n]!),
      fresh,
    );
    const followed = new Followed((view, enabled) => guided.pick(view, enabled), fromList(choices));
    const found = findingOf(target, machine.run(followed));
    if (found !== undefined) return isSameFailure(found, finding) ? 'fails' : 'passes';
    const [a, b] = [earlier, later].map((n) => guided.come.indexOf(order.indexOf(n)));
    return b! >= 0 && (a! < 0 || b! < a!) ? 'passes' : 'not-turned';
  };
  return constraintsOf(events, outcome, pairs);
}

/** Where the first memory lies that the kernel's heap had never given out when the execution began. */
function firstFreshAddress({ machine: { memory } }: Target): number {
  const { words } = memory;
  const saved = words[control.CONTROL_SAVED / 4]! - words[control.CONTROL_STATE_START / 4]!;
  return words[(saved + layout.SH_HEAP_NEXT) >>> 2]! >>> 0;
}
