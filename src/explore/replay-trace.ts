// Replays a trace file, comparing every step with what was recorded.
import { detailsOf, type Failure, locksAtEnd } from './explore.js';
import { findingOf } from './finding.js';
import { OPERATIONS } from './operation-names.js';
import { Recorder } from './recorder.js';
import { Divergence, Replay } from './strategies/replay.js';
import type { Target } from './target.js';
import type { Trace } from './trace-file.js';

export interface Replayed {
  /** The failure at the end of the recorded steps; undefined when it passed or went another way. */
  failure: Failure | undefined;
  /** Where it went another way. */
  divergence: string | undefined;
}

export function replayTrace(target: Target, trace: Trace): Replayed {
  const { machine } = target;
  const strategy = new Replay(
    trace.tape,
    trace.steps.map(([thread, kind, address]) => ({ thread, kind, address })),
    trace.repeatsFrom,
    (thread, kind, address) =>
      `${target.threadNames[thread] ?? thread}: ${kind === 0 ? 'goes on after a wait' : `${OPERATIONS[kind] ?? kind} ${target.nameOf(address)}`}`,
  );
  const recorder = new Recorder(machine, detailsOf(target));
  machine.observer = recorder;
  try {
    strategy.begin();
    const finding = findingOf(target, machine.run(strategy));
    recorder.settle();
    if (finding === undefined) return { failure: undefined, divergence: undefined };
    const { steps, preemptions, switches } = recorder;
    const { executionIndex, seed, tape, repeatsFrom } = trace;
    const lasso = repeatsFrom === undefined ? {} : { repeatsFrom };
    const locks = locksAtEnd(target, finding, recorder);
    const failure = { ...finding, executionIndex, seed, tape, steps, preemptions, switches, ...locks, ...lasso };
    return { failure, divergence: undefined };
  } catch (error) {
    if (error instanceof Divergence) return { failure: undefined, divergence: error.message };
    throw error;
  } finally {
    machine.observer = undefined;
  }
}
