// The explorer's machine: executions of a program of three threads and 129 points, by how often the scheduler switches; and points of one thread with the
// checks on. Programs are compiled here, so the first line takes some seconds to come.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type CompiledProgram, compileProgram } from '../../src/explore/compile.js';
import { Exploration } from '../../src/explore/explore.js';
import { programTarget } from '../../src/explore/program-target.js';
import { RaceWatch } from '../../src/explore/race-watch.js';
import { seedOf } from '../../src/explore/random.js';
import { scenarioTarget } from '../../src/explore/scenario-target.js';
import { PROTOCOL_SCENARIOS } from '../../src/explore/scenarios/protocol.js';
import { StateExploration } from '../../src/explore/search/explore-states.js';
import { RandomWalk } from '../../src/explore/strategies/random.js';
import type { Target } from '../../src/explore/target.js';
import type { Runner } from '../runner.js';
import { estimate } from '../../src/host/samples.js';
import { timed, type Timing } from '../timing.js';

const POINTS_A_THREAD = 43;
const SOURCE = `
import { atomicAdd32 } from 'rmptorture/point';
function add(count: i32): void {
  for (let n = 0; n < count; n++) atomicAdd32(65672 + ((n & 3) << 2), 1);
}
export function three_thread0(): void { add(${POINTS_A_THREAD}); }
export function three_thread1(): void { add(${POINTS_A_THREAD}); }
export function three_thread2(): void { add(${POINTS_A_THREAD}); }
export function one_thread0(): void { add(1000); }
`;

async function compiled(): Promise<CompiledProgram> {
  const directory = mkdtempSync(path.join(tmpdir(), 'bench-explore-'));
  try {
    const file = path.join(directory, 'three.ts');
    writeFileSync(file, SOURCE);
    return await compileProgram(file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Runs executions and returns their steps. */
function executions(target: Target, strategy: RandomWalk, count: number): number {
  let steps = 0;
  for (let index = 0; index < count; index++) {
    strategy.begin(index, seedOf(1, index));
    target.machine.run(strategy);
    steps += target.machine.step;
  }
  return steps;
}

export async function explore(runner: Runner): Promise<void> {
  const program = await compiled();
  const three = programTarget(program, { name: 'three', prefix: 'three_' });
  const count = runner.count(4000, 1000, 20);
  const expected = count * 3 * POINTS_A_THREAD;
  const run = (switches: number): (() => Timing) => {
    const strategy = new RandomWalk(switches);
    return () => timed(() => executions(three, strategy, count));
  };
  const [rarely, always] = await runner.group([
    { name: 'explore/an execution, 129 points, 2 % switches', operations: count, expected, run: run(0.02) },
    { name: 'explore/an execution, 129 points, 100 % switches', operations: count, expected, run: run(1) },
  ]);
  const perSecond = (samples: readonly number[]): number[] => samples.map((ns) => 1e9 / ns);
  runner.atLeast('executions a second, 2 % switches', 150_000, estimate(perSecond(rarely!.samples)), '/s');
  runner.atLeast('executions a second, 100 % switches', 40_000, estimate(perSecond(always!.samples)), '/s');
  await points(runner, program);
  await protocol(runner);
  await states(runner);
}

/** The search over states: transitions a second of one thread. The goal is a million on two. */
async function states(runner: Runner): Promise<void> {
  const target = scenarioTarget(
    PROTOCOL_SCENARIOS.find(({ name }) => name === 'punch-punch')!,
    { frozenClock: true },
  );
  const count = runner.count(100_000, 20_000, 500);
  const limits = { states: Infinity, depth: 20_000, bytes: 1 << 28, stop: () => false };
  const run = (): Timing =>
    timed(() => {
      const exploration = new StateExploration(target, limits);
      exploration.run(count);
      // The last slice ends behind local steps that are made in one go: some more than were asked for.
      return Math.min(exploration.finish().steps, count);
    });
  const name = 'explore/a transition of the search over states, punch-punch';
  const [transition] = await runner.group([{ name, operations: count, expected: count, run }]);
  const perSecond = transition!.samples.map((ns) => 1e9 / ns);
  runner.atLeast('transitions a second of the search over states, one thread', 500_000, estimate(perSecond), '/s');
}

/** A thread alone: what a point costs where nothing is switched. */
async function points(runner: Runner, program: CompiledProgram): Promise<void> {
  const one = programTarget(program, { name: 'one', prefix: 'one_' });
  const strategy = new RandomWalk();
  const count = runner.count(500, 100, 5);
  const operations = count * 1000;
  const race = new RaceWatch(one.machine);
  const run = (): Timing => timed(() => executions(one, strategy, count));
  const watched = (): Timing => {
    one.machine.watcher = race;
    const timing = run();
    one.machine.watcher = undefined;
    return timing;
  };
  const [, checked] = await runner.group([
    { name: 'explore/a point, thread stays', operations, expected: operations, run },
    { name: 'explore/a point, thread stays, races watched', operations, expected: operations, run: watched },
  ]);
  const perSecond = checked!.samples.map((ns) => 1e9 / ns);
  runner.atLeast('points a second where the thread stays, checks on', 6e6, estimate(perSecond), '/s');
}

/** The modelled kernel itself, with every oracle, lockdep and the audit at the end. */
async function protocol(runner: Runner): Promise<void> {
  const target = scenarioTarget(PROTOCOL_SCENARIOS.find(({ name }) => name === 'fault-punch-hole')!);
  const count = runner.count(400, 100, 5);
  const run = (): Timing =>
    timed(() => {
      const exploration = new Exploration(target, new RandomWalk(0.05), { executions: count, seed: 1 });
      exploration.run(Infinity);
      return exploration.result.executions;
    });
  await runner.group([{ name: 'explore/an execution, fault-punch-hole', operations: count, expected: count, run }]);
}
