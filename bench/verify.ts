// `npm run verify`: the proofs and bounded explorations of docs/verified.md, which it writes. Some take minutes; `npm run verify -- NAME...` runs some
// and writes nothing.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compileProgram, type CompiledProgram } from '../src/explore/compile.js';
import { Exploration, type ExploreResult } from '../src/explore/explore.js';
import { programTarget } from '../src/explore/program-target.js';
import type { Scenario } from '../src/explore/scenario.js';
import { scenarioTarget } from '../src/explore/scenario-target.js';
import { ALLOCATOR_SCENARIOS } from '../src/explore/scenarios/allocator.js';
import { PROTOCOL_SCENARIOS } from '../src/explore/scenarios/protocol.js';
import { exploreStates } from '../src/explore/search/explore-states.js';
import { strategyNamed } from '../src/explore/strategies/named.js';
import { PreemptionBounding } from '../src/explore/strategies/preemption-bounding.js';
import type { Target } from '../src/explore/target.js';
import { nowNs } from '../src/host/clock.js';
import { PROOFS, PROOF_SOURCE, type Proof } from './proofs.js';
import { verifiedText, type LockRow, type ScenarioRow, type StatesRow } from './verified.js';

/** The most time for all states of a lock's program, for all of a scenario's, and for every other way to explore a scenario. */
const LOCK_MS = 600_000;
const STATES_MS = 120_000;
/** Where that does not end: all states with locks as one step. */
const ABSTRACT_MS = 240_000;
const SCENARIO_MS = 20_000;
const VISITED_BYTES = 3 * 2 ** 30;
const MOST_STATES = 2 ** 31;
const DEPTH = 20_000;
/** Executions of the samplers a scenario. */
const SAMPLES = 5_000;
const SLICE = 16;

const nowMs = (): number => nowNs() / 1e6;

async function compiled(): Promise<CompiledProgram> {
  const folder = mkdtempSync(path.join(tmpdir(), 'verify-'));
  try {
    const file = path.join(folder, 'proofs.ts');
    writeFileSync(file, PROOF_SOURCE);
    return await compileProgram(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Every state, if that ends within the time. */
function everyState(target: Target, limitMs: number): StatesRow {
  const startMs = nowMs();
  const stop = (): boolean => nowMs() - startMs > limitMs;
  const { complete, states, steps, violation } = exploreStates(target, {
    states: MOST_STATES,
    depth: DEPTH,
    bytes: VISITED_BYTES,
    stop,
  });
  const row = { complete, states, transitions: steps, tookMs: nowMs() - startMs };
  return violation === undefined ? row : { ...row, violation: `${violation.kind}: ${violation.message}` };
}

const TARGET = { stepLimit: DEPTH, points: 'racy', frozenClock: true } as const;

function proveLock(module: CompiledProgram, { name, claim, bodies }: Proof): LockRow {
  const row = everyState(programTarget(module, { ...TARGET, name, prefix: `${name}_` }), LOCK_MS);
  return { name, claim, threads: bodies.length, ...row };
}

/** Explores until the strategy is through, a violation or the time limit. */
function bounded(target: Scenario, strategy: ReturnType<typeof strategyNamed>, executions: number): ExploreResult {
  const exploration = new Exploration(scenarioTarget(target), strategy, { executions, seed: 1 });
  const endMs = nowMs() + SCENARIO_MS;
  while (!exploration.run(SLICE) && nowMs() < endMs);
  return exploration.result;
}

/** Samples first: what fails, fails soon. Then every state; where that does not end, with locks as one step; then every schedule with few preemptions. */
function exploreScenario(scenario: Scenario, protocol: 'rfc-v7' | 'rfc-v8'): ScenarioRow {
  const { name, about } = scenario;
  const variant = { ...scenario, protocol };
  const { executions, violation } = bounded(variant, strategyNamed('portfolio'), SAMPLES);
  const row = { name, about, protocol, samples: executions, preemptions: -1, schedules: 0 };
  if (violation !== undefined) return { ...row, violation: `${violation.kind}: ${violation.message}` };
  const all = everyState(scenarioTarget(variant, TARGET), STATES_MS);
  if (all.complete || all.violation !== undefined) return { ...row, ...all };
  const abstract = everyState(scenarioTarget(variant, { ...TARGET, locks: 'abstract' }), ABSTRACT_MS);
  if (abstract.complete || abstract.violation !== undefined) return { ...row, ...abstract, locks: 'abstract' };
  return { ...row, ...all, ...boundedPreemptions(variant) };
}

/** The largest number of preemptions up to which every schedule was seen. */
function boundedPreemptions(scenario: Scenario): Pick<ScenarioRow, 'preemptions' | 'schedules' | 'violation'> {
  let seen = { preemptions: -1, schedules: 0 };
  for (let preemptions = 0; preemptions <= 2; preemptions++) {
    const { violation, exhausted, executions } = bounded(scenario, new PreemptionBounding(preemptions), Infinity);
    if (violation !== undefined) return { ...seen, violation: `${violation.kind}: ${violation.message}` };
    if (!exhausted) break;
    seen = { preemptions, schedules: executions };
  }
  return seen;
}

const chosen = process.argv.slice(2);
const wanted = (name: string): boolean => chosen.length === 0 || chosen.includes(name);
const module = await compiled();
const locks: LockRow[] = [];
for (const proof of PROOFS.filter(({ name }) => wanted(name))) {
  const row = proveLock(module, proof);
  process.stderr.write(`${JSON.stringify(row)}\n`);
  locks.push(row);
}
const explored = (scenarios: readonly Scenario[], protocol: 'rfc-v7' | 'rfc-v8'): ScenarioRow[] =>
  scenarios
    .filter(({ name }) => wanted(name))
    .map((scenario) => {
      const row = exploreScenario(scenario, protocol);
      process.stderr.write(`${JSON.stringify(row)}\n`);
      return row;
    });
const allocator = explored(ALLOCATOR_SCENARIOS, 'rfc-v8');
const v8 = explored(PROTOCOL_SCENARIOS, 'rfc-v8');
const v7 = explored(PROTOCOL_SCENARIOS, 'rfc-v7');
if (chosen.length === 0) writeFileSync('docs/verified.md', verifiedText({ locks, allocator, v8, v7 }));
