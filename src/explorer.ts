// rmptorture/explore: interleavings of the modelled kernel, and of programs of your own, under a scheduler that chooses every step. See docs/explore.md.
export { compileProgram, type CompiledProgram } from './explore/compile.js';
export {
  Exploration,
  explore,
  replay,
  type ExploreOptions,
  type ExploreResult,
  type Failure,
} from './explore/explore.js';
export { programTarget, type ProgramOptions } from './explore/program-target.js';
export type { Expectation, Operation, Scenario } from './explore/scenario.js';
export { scenarioTarget } from './explore/scenario-target.js';
export { ALLOCATOR_SCENARIOS } from './explore/scenarios/allocator.js';
export { PROTOCOL_SCENARIOS } from './explore/scenarios/protocol.js';
export { exploreStates, type StateOptions } from './explore/search/explore-states.js';
export { shortestViolation } from './explore/search/shortest.js';
export { strategyNamed } from './explore/strategies/named.js';
export type { ChoiceKind, Strategy, StrategyEnd, View } from './explore/strategy.js';
export type { PointSet, Target, TargetOptions } from './explore/target.js';
export { expectNoViolation, ViolationFound, type Budget } from './report/expect-no-violation.js';
export { UsageError } from './host/errors.js';
