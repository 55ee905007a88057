// A scenario or a program as a test: explored within a budget; a violation becomes an error whose message is the failing interleaving, made small.
import { compileProgram } from '../explore/compile.js';
import { counterexampleOf } from '../explore/counterexample.js';
import { Exploration, type ExploreResult } from '../explore/explore.js';
import { programTarget } from '../explore/program-target.js';
import type { Scenario } from '../explore/scenario.js';
import { scenarioTarget } from '../explore/scenario-target.js';
import { strategyNamed } from '../explore/strategies/named.js';
import { racesByDefault, type Target, type TargetOptions } from '../explore/target.js';
import { nowNs } from '../host/clock.js';
import { RmpTortureError, UsageError } from '../host/errors.js';
import { failureText } from './explore.js';

/** How long a test explores: whatever comes first. */
export interface Budget extends TargetOptions {
  /** Executions at most (default 1000). */
  executions?: number;
  /** Milliseconds at most (default: no limit, so that a test tries the same on every machine). */
  milliseconds?: number;
  /** A name of docs/explore.md (default portfolio). */
  strategy?: string;
  /** Seed of all choices (default 1). */
  seed?: number;
}

/** A violation was found. `message` shows it step by step; `result` is what the exploration came to. */
export class ViolationFound extends RmpTortureError {
  readonly result: ExploreResult;
  constructor(target: Target, result: ExploreResult, text: string) {
    const { kind, executionIndex } = result.violation!;
    const again = `execution ${executionIndex} of seed ${result.seed}, strategy ${result.strategy}`;
    super('explore', 'EVIOLATION', `${target.name}: ${kind} (${again})\n\n${text}`, { kind, executionIndex });
    this.name = 'ViolationFound';
    this.result = result;
  }
}

const SLICE = 16;
const MINIMISE = { tries: 2000, milliseconds: 1000 };

/**
 * Explores a scenario, or the program in a file (AssemblyScript, `.ts`), and resolves with what was covered. Throws ViolationFound for a violation, and
 * UsageError when nothing was run to its end, since that would be no answer.
 */
export async function expectNoViolation(what: Scenario | string, budget: Budget = {}): Promise<ExploreResult> {
  const { executions = 1000, milliseconds = Infinity, strategy = 'portfolio', seed = 1, ...options } = budget;
  const target =
    typeof what === 'string'
      ? programTarget(await compileProgram(what), { ...racesByDefault(options), name: what })
      : scenarioTarget(what, options);
  const exploration = new Exploration(target, strategyNamed(strategy, target), { executions, seed });
  const endNs = nowNs() + milliseconds * 1e6;
  while (!exploration.run(SLICE) && nowNs() < endNs);
  const { result } = exploration;
  if (result.violation !== undefined) {
    const limits = { ...MINIMISE, nowMs: () => nowNs() / 1e6 };
    const small = counterexampleOf(target, result.violation, limits);
    throw new ViolationFound(target, result, failureText(small.target, small.failure, small.constraints));
  }
  if (result.nondeterminism !== undefined)
    throw new UsageError('explore', `${target.name}: inconclusive: ${result.nondeterminism}`);
  if (result.verdict === 'inconclusive')
    throw new UsageError(
      'explore',
      `${target.name}: inconclusive: ${result.stepLimitHits} of ${result.executions} executions were cut at the step limit`,
    );
  return result;
}
