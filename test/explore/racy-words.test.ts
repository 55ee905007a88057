// The words that race, and what is seen when their plain accesses alone are points beside the atomics.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { programTarget } from '#src/explore/program-target.js';
import { racyWords } from '#src/explore/racy-words.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { SCENARIOS } from '#src/explore/scenarios/index.js';
import { exploreStates } from '#src/explore/search/explore-states.js';
import type { PointSet, Target } from '#src/explore/target.js';

const SOURCE = `
import { check } from 'rmptorture/assert';
import { atomicAdd32, load32, store32 } from 'rmptorture/point';
import { mutexInit, mutexLock, mutexUnlock } from 'rmptorture/sync';
const RACY: usize = 65672;
const LOCKED: usize = 65676;
const LOCK: usize = 66560;
export function setup(): void { mutexInit(LOCK, 0); }
function both(): void {
  store32(RACY, load32(RACY) + 1);
  mutexLock(LOCK);
  store32(LOCKED, load32(LOCKED) + 1);
  mutexUnlock(LOCK);
}
export function thread0(): void { both(); }
export function thread1(): void { both(); }
export function finish(): void { check(load32(LOCKED) == 2, 1, 0); check(load32(RACY) == 2, 2, load32(RACY)); }
`;
const RACY = 65672;

const folder = mkdtempSync(path.join(tmpdir(), 'racy-'));
let program: CompiledProgram;
beforeAll(async () => {
  const file = path.join(folder, 'racy.ts');
  writeFileSync(file, SOURCE);
  program = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

const targetOf = (points: PointSet): Target =>
  programTarget(program, { name: 'racy', points, races: false, frozenClock: true });
const search = (points: PointSet): ReturnType<typeof exploreStates> =>
  exploreStates(targetOf(points), { states: 1e6, depth: 2000, bytes: 1 << 22, stop: () => false });

describe('words that race', () => {
  it('are those that no lock protects', () => {
    expect([...racyWords(targetOf('all'))]).toEqual([RACY]);
  });

  it('are points in the set racy, so that the lost update is found, which sync cannot see', () => {
    expect(search('sync')).toMatchObject({ verdict: 'no-violation', complete: true });
    expect(search('racy').violation?.kind).toBe('assertion');
    expect(search('all').violation?.kind).toBe('assertion');
  });

  it('are few in the scenarios of the kernel, which have them as points in a search over states', () => {
    for (const name of ['fault-punch-hole', 'punch-punch', 'convert-fault']) {
      const scenario = SCENARIOS.find((each) => each.name === name)!;
      expect(racyWords(scenarioTarget(scenario, { points: 'all' })).size).toBeLessThan(5);
      expect(scenarioTarget(scenario, { frozenClock: true }).points).toBe('racy');
      expect(scenarioTarget(scenario).points).toBe('sync');
    }
  });
});
