// The run loop of the strategies: one execution after another, each with its own seed, until a failure, the end of all interleavings or of the budget.
// A failure is replayed twice from its tape before anybody is told of it.
import { lockNotes, type NestedLocks, nestedLocks, type ThreadLocks } from './blocked.js';
import { type Finding, findingOf } from './finding.js';
import { seedOf } from './random.js';
import { type RecordedStep, Recorder, type StepDetails } from './recorder.js';
import type { SearchLimit } from './search/machine.js';
import { Divergence, Replay } from './strategies/replay.js';
import { both, partingOf, REPEATED_EVERY } from './repeat.js';
import type { Strategy } from './strategy.js';
import { switchReason } from './switch-reason.js';
import type { Target } from './target.js';
import { TraceHash } from './trace-hash.js';

/** How far, and from which seed. */
export interface ExploreOptions {
  executions: number;
  seed: number;
  /** Number of the first one (0): a batch of a larger exploration. */
  first?: number;
  /** Counts the executions that differ in more than the order of independent steps; some 20 ns a step. */
  countTraces?: boolean;
  /** Only failures of this kind end the exploration; others are counted. */
  only?: string;
}

/** A failing execution, ready to be shown, minimised or written to a file. */
export interface Failure extends Finding {
  executionIndex: number;
  seed: number;
  /** The strategy's answers: threads and choices. */
  tape: readonly number[];
  steps: readonly RecordedStep[];
  preemptions: number;
  switches: number;
  /** Of a livelock that comes back to a state: the step after which it was in the state it ends in. */
  repeatsFrom?: number;
  /** The threads' locks at its end, if what a report says was looked up. */
  locks?: readonly ThreadLocks[];
  /** Of a broken rule of lockdep's: locks taken under others before. */
  nested?: readonly NestedLocks[];
}

/** What an exploration has found, and how much it has seen. */
export interface ExploreResult {
  strategy: string;
  seed: number;
  verdict: 'no-violation' | 'violation' | 'inconclusive';
  /** Every interleaving of the target's points was covered. */
  complete: boolean;
  /** The strategy has nothing left to try: with a bounded one, every interleaving within its bound was covered. */
  exhausted: boolean;
  executions: number;
  steps: number;
  longest: number;
  /** Executions that were cut at the step limit: nothing is known of what comes behind. */
  stepLimitHits: number;
  /** 0 when they were not counted. */
  distinctTraces: number;
  /** Of a search over states: how many were seen. */
  states?: number;
  /** Of a search over states: what made it incomplete. */
  limits?: readonly SearchLimit[];
  /** Of a search that is not over: states on the way or waiting, and what share of all may lie behind, from 0 to 1, a guess. */
  frontier?: number;
  share?: number;
  /** Of a search over states: whether every loop of states was looked at, so that `complete` excludes livelocks, too. */
  loops?: boolean;
  violation?: Failure;
  /** An execution did not come again from the same answers: nothing that was found or not found says much. */
  nondeterminism?: string;
  /** Failures of kinds that were not asked for, how many of each. */
  others?: Record<string, number>;
}

/** The failure did not come again from the same answers: something beside the tape decides. */
class NondeterminismError extends Error {}

/** An exploration that is run in slices, so that the caller can look at the clock or at Ctrl-C in between. */
export class Exploration {
  readonly result: ExploreResult;
  readonly #target: Target;
  readonly #strategy: Strategy;
  readonly #options: ExploreOptions;
  readonly #traces: TraceHash | undefined;
  #done = false;

  constructor(target: Target, strategy: Strategy, options: ExploreOptions) {
    this.#target = target;
    this.#strategy = strategy;
    this.#options = options;
    if (options.countTraces === true) this.#traces = new TraceHash(target.machine.memory.stateEnd);
    this.result = {
      strategy: strategy.name,
      seed: options.seed,
      verdict: 'inconclusive',
      complete: false,
      exhausted: false,
      executions: 0,
      steps: 0,
      longest: 0,
      stepLimitHits: 0,
      distinctTraces: 0,
    };
  }

  /** Hashes of the different traces, where they are counted. */
  get traces(): Iterable<number> {
    return this.#traces?.hashes ?? [];
  }

  /** Runs up to `executions` more. True when the exploration is over. */
  run(executions: number): boolean {
    const { machine } = this.#target;
    machine.observer = this.#traces;
    for (let left = executions; left > 0 && !this.#done; left--) this.#execution();
    machine.observer = undefined;
    const { result } = this;
    if (this.#traces !== undefined) result.distinctTraces = this.#traces.distinct;
    const { stepLimitHits, nondeterminism } = result;
    // A scenario's call may be refused before it touches anything; a program that the scheduler sees nothing of goes past point.ts.
    const seen = result.steps > 0 || this.#target.remake !== undefined;
    if (result.verdict !== 'violation')
      result.verdict = isAnswer(seen, stepLimitHits, nondeterminism) ? 'no-violation' : 'inconclusive';
    return this.#done;
  }

  #execution(): void {
    const { result } = this;
    const { machine } = this.#target;
    const strategy = this.#strategy;
    const index = (this.#options.first ?? 0) + result.executions;
    if (result.executions >= this.#options.executions) {
      this.#done = true;
      return;
    }
    const seed = seedOf(this.#options.seed, index);
    if (!strategy.begin(index, seed, machine)) {
      result.exhausted = result.stepLimitHits === 0;
      result.complete = strategy.exhaustive && result.exhausted;
      this.#done = true;
      return;
    }
    const recorder = index % REPEATED_EVERY === 0 ? new Recorder(machine) : undefined;
    if (recorder !== undefined) machine.observer = both(this.#traces, recorder);
    const ending = machine.run(strategy);
    const tape = recorder === undefined ? [] : [...machine.tape.subarray(0, machine.tapeLength)];
    const finding = findingOf(this.#target, ending);
    machine.observer = this.#traces;
    result.executions++;
    result.steps += machine.step;
    if (machine.step > result.longest) result.longest = machine.step;
    if (ending === 'step-limit') result.stepLimitHits++;
    const failed = finding !== undefined && finding.kind !== 'step-limit';
    strategy.end?.({ steps: machine.step, complete: ending !== 'given-up', failed });
    if (ending !== 'given-up') this.#traces?.end();
    // What was given up ends in the middle: its tape is none of an execution.
    if (recorder !== undefined && ending !== 'given-up') {
      const parting = partingOf(this.#target, tape, recorder.steps, finding);
      if (parting !== undefined) return this.#notRepeated(index, parting);
    }
    if (failed) this.#failed(finding, index, seed);
  }

  /** @context the failing execution was the machine's last one, or its repetition. */
  #failed(finding: Finding, index: number, seed: number): void {
    const { result } = this;
    const { only = finding.kind } = this.#options;
    if (finding.kind !== only) {
      result.others ??= {};
      result.others[finding.kind] = (result.others[finding.kind] ?? 0) + 1;
      return;
    }
    try {
      result.violation = confirm(this.#target, finding, index, seed);
      result.verdict = 'violation';
      this.#done = true;
    } catch (error) {
      if (!(error instanceof NondeterminismError || error instanceof Divergence)) throw error;
      this.#notRepeated(index, error.message);
    }
  }

  #notRepeated(index: number, message: string): void {
    this.result.nondeterminism = `execution ${index} did not come again from the same answers: ${message}`;
    this.#done = true;
  }
}

/** Whether executions without a failure say something: none was cut, all came again, and what the threads did was seen. */
export function isAnswer(seen: boolean, stepLimitHits: number, nondeterminism: string | undefined): boolean {
  return seen && stepLimitHits === 0 && nondeterminism === undefined;
}

/** Explores until the first failure. */
export function explore(target: Target, strategy: Strategy, options: ExploreOptions): ExploreResult {
  const exploration = new Exploration(target, strategy, options);
  exploration.run(Infinity);
  return exploration.result;
}

/** Replays the failing execution twice; its steps are those of the second time. */
function confirm(target: Target, finding: Finding, executionIndex: number, seed: number): Failure {
  const { machine } = target;
  const tape = [...machine.tape.subarray(0, machine.tapeLength)];
  let again: Failure | undefined;
  for (let n = 0; n < 2; n++) {
    again = recordFailure(target, tape, { executionIndex, seed });
    if (again?.kind !== finding.kind || again.message !== finding.message) {
      throw new NondeterminismError(
        `it failed with '${finding.message}', its replay with '${again?.message ?? 'nothing'}'`,
      );
    }
  }
  return again!;
}

/**
 * Runs a failing tape and writes down its steps, with what a report says of each when `withDetails`; undefined when it does not fail. The machine's
 * observer stays as it was.
 */
export function recordFailure(
  target: Target,
  tape: readonly number[],
  { executionIndex, seed, repeatsFrom }: Pick<Failure, 'executionIndex' | 'seed' | 'repeatsFrom'>,
  withDetails = false,
): Failure | undefined {
  const { machine } = target;
  const before = machine.observer;
  const recorder = new Recorder(machine, withDetails ? detailsOf(target) : undefined);
  machine.observer = recorder;
  const finding = replay(target, tape, repeatsFrom);
  recorder.settle();
  machine.observer = before;
  if (finding === undefined) return undefined;
  const { steps, preemptions, switches } = recorder;
  const lasso = machine.repeatsFrom < 0 ? {} : { repeatsFrom: machine.repeatsFrom };
  return {
    ...finding,
    executionIndex,
    seed,
    tape,
    steps,
    preemptions,
    switches,
    ...lasso,
    ...locksAtEnd(target, finding, recorder),
  };
}

/** What a report says of locks. @context the execution that was recorded has just ended. */
export function locksAtEnd(
  target: Target,
  { kind, thread }: Finding,
  recorder: Recorder,
): Pick<Failure, 'locks' | 'nested'> {
  if (recorder.locks === undefined) return {};
  const nested = kind === 'locking' ? { nested: nestedLocks(target, thread, recorder.locks) } : {};
  return { locks: lockNotes(target, recorder), ...nested };
}

/** What a report says of each step. */
export function detailsOf(target: Target): StepDetails {
  return {
    sources: target.sources(),
    reasonOf: (thread) => switchReason(target, thread),
    wordOf: (address) => target.wordOf(address),
  };
}

/** Runs the execution of a tape; what it ends with. `keepAt`: the step after which the state is expected to come again. */
export function replay(target: Target, tape: readonly number[], keepAt?: number): Finding | undefined {
  const strategy = new Replay(tape, undefined, keepAt);
  strategy.begin();
  return findingOf(target, target.machine.run(strategy));
}
