// `npm run verify`: the proofs and bounded explorations of docs/verified.md, which it writes. Some take minutes; `npm run verify -- NAME...` runs some
// and writes nothing.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compileProgram, type CompiledProgram } from '../src/explore/compile.js';
import { Exploration, type ExploreResult } from '../src/explore/explore.js';
import { programTarget } from '../src/explore/program-target.js';
import { scenarioTarget } from '../src/explore/scenario-target.js';
import { PROTOCOL_SCENARIOS } from '../src/explore/scenarios/protocol.js';
import { exploreStates } from '../src/explore/search/explore-states.js';
import { strategyNamed } from '../src/explore/strategies/named.js';
import { PreemptionBounding } from '../src/explore/strategies/preemption-bounding.js';
import { nowNs } from '../src/host/clock.js';
import { PROOFS, PROOF_SOURCE, type Proof } from './proofs.js';
import { verifiedText, type LockRow, type ScenarioRow } from './verified.js';

/** The most time for one lock, and for each way to explore a scenario. */
const LOCK_MS = 600_000;
const SCENARIO_MS = 40_000;
const VISITED_BYTES = 1 << 30;
const MOST_STATES = 50_000_000;
const DEPTH = 5000;
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

function proveLock(module: CompiledProgram, { name, claim, bodies }: Proof): LockRow {
  const options = { name, prefix: `${name}_`, stepLimit: DEPTH, points: 'sync', frozenClock: true } as const;
  const startMs = nowMs();
  const stop = (): boolean => nowMs() - startMs > LOCK_MS;
  const result = exploreStates(programTarget(module, options), {
    states: MOST_STATES,
    depth: DEPTH,
    bytes: VISITED_BYTES,
    stop,
  });
  const { verdict, complete, states, steps } = result;
  return {
    name,
    claim,
    threads: bodies.length,
    verdict,
    complete,
    states,
    transitions: steps,
    tookMs: nowMs() - startMs,
  };
}

/** Explores until the strategy is through, a violation or the time limit. */
function bounded(
  target: Parameters<typeof scenarioTarget>[0],
  strategy: ReturnType<typeof strategyNamed>,
  executions: number,
): ExploreResult {
  const exploration = new Exploration(scenarioTarget(target), strategy, { executions, seed: 1 });
  const endMs = nowMs() + SCENARIO_MS;
  while (!exploration.run(SLICE) && nowMs() < endMs);
  return exploration.result;
}

/** The largest number of preemptions up to which every schedule was seen. */
function exploreScenario(scenario: (typeof PROTOCOL_SCENARIOS)[number], protocol: 'rfc-v7' | 'rfc-v8'): ScenarioRow {
  const startMs = nowMs();
  const variant = { ...scenario, protocol };
  const sampled = bounded(variant, strategyNamed('portfolio'), SAMPLES);
  let violation = sampled.violation;
  let preemptions = -1;
  let schedules = 0;
  for (let bound = 0; violation === undefined && bound <= 2; bound++) {
    const result = bounded(variant, new PreemptionBounding(bound), Infinity);
    violation = result.violation;
    if (!result.exhausted) break;
    preemptions = bound;
    schedules = result.executions;
  }
  const { name, about } = scenario;
  const row = { name, about, protocol, samples: sampled.executions, preemptions, schedules, tookMs: nowMs() - startMs };
  return violation === undefined ? row : { ...row, violation: `${violation.kind}: ${violation.message}` };
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
const scenarios: ScenarioRow[] = [];
for (const protocol of ['rfc-v8', 'rfc-v7'] as const) {
  for (const scenario of PROTOCOL_SCENARIOS.filter(({ name }) => wanted(name))) {
    const row = exploreScenario(scenario, protocol);
    process.stderr.write(`${JSON.stringify(row)}\n`);
    scenarios.push(row);
  }
}
if (chosen.length === 0) writeFileSync('docs/verified.md', verifiedText(locks, scenarios));
