// The run loop of the strategies: one execution after another, each with its own seed, until a failure, the end of all interleavings or of the budget.
// A failure is replayed twice from its tape before anybody is told of it.
import { type Finding, findingOf } from './finding.js';
import { seedOf } from './random.js';
import { type RecordedStep, Recorder } from './recorder.js';
import { Replay } from './strategies/replay.js';
import type { Strategy } from './strategy.js';
import type { Target } from './target.js';

export interface ExploreOptions {
  executions: number;
  seed: number;
  /** Asked between executions, now and then: true ends the exploration. */
  stop?: () => boolean;
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
}

export interface ExploreResult {
  strategy: string;
  seed: number;
  verdict: 'no-violation' | 'violation' | 'inconclusive';
  /** Every interleaving of the target's points was covered. */
  complete: boolean;
  executions: number;
  steps: number;
  longest: number;
  /** Executions that were cut at the step limit: nothing is known of what comes behind. */
  stepLimitHits: number;
  violation?: Failure;
}

/** How often the caller is asked whether to stop. */
const EXECUTIONS_BETWEEN_LOOKS = 64;

/** The failure did not come again from the same answers: something beside the tape decides. */
export class NondeterminismError extends Error {}

/** Explores until the first failure. */
export function explore(target: Target, strategy: Strategy, options: ExploreOptions): ExploreResult {
  const { machine } = target;
  const result: ExploreResult = {
    strategy: strategy.name,
    seed: options.seed,
    verdict: 'no-violation',
    complete: false,
    executions: 0,
    steps: 0,
    longest: 0,
    stepLimitHits: 0,
  };
  for (let index = 0; index < options.executions; index++) {
    if (index % EXECUTIONS_BETWEEN_LOOKS === 0 && options.stop?.() === true) break;
    const seed = seedOf(options.seed, index);
    if (!strategy.begin(index, seed, machine)) {
      result.complete = strategy.exhaustive && result.stepLimitHits === 0;
      break;
    }
    const ending = machine.run(strategy);
    const finding = findingOf(target, ending);
    result.executions++;
    result.steps += machine.step;
    result.longest = Math.max(result.longest, machine.step);
    if (ending === 'step-limit') result.stepLimitHits++;
    const failed = finding !== undefined && finding.kind !== 'step-limit';
    strategy.end?.({ steps: machine.step, complete: ending !== 'given-up', failed });
    if (failed) {
      result.verdict = 'violation';
      result.violation = confirm(target, finding, index, seed);
      return result;
    }
  }
  if (result.executions === 0 || result.stepLimitHits > 0) result.verdict = 'inconclusive';
  return result;
}

/** Replays the failing execution twice, the second time writing down its steps. */
function confirm(target: Target, finding: Finding, executionIndex: number, seed: number): Failure {
  const { machine } = target;
  const tape = [...machine.tape.subarray(0, machine.tapeLength)];
  let recorder = new Recorder(machine);
  for (let n = 0; n < 2; n++) {
    const before = machine.observer;
    recorder = new Recorder(machine);
    machine.observer = recorder;
    const again = replay(target, tape);
    machine.observer = before;
    if (again?.kind !== finding.kind || again.message !== finding.message) {
      throw new NondeterminismError(
        `execution ${executionIndex} (seed ${seed}) failed with '${finding.message}', its replay with '${again?.message ?? 'nothing'}'`,
      );
    }
  }
  const { steps, preemptions, switches } = recorder;
  return { ...finding, executionIndex, seed, tape, steps, preemptions, switches };
}

/** Runs the execution of a tape; what it ends with. */
export function replay(target: Target, tape: readonly number[]): Finding | undefined {
  const strategy = new Replay(tape);
  strategy.begin();
  return findingOf(target, target.machine.run(strategy));
}
