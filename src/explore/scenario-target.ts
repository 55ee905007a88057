// Boots a scenario's host on a machine and leaves each thread at its first point.
import { readFileSync } from 'node:fs';
import type { SourceMapPayload } from 'node:module';
import type { KernelExports } from '#kernel-exports';
import * as control from '../kernel/abi/control.js';
import * as layout from '../kernel/abi/layout.js';
import { LOCK_OWNER } from '../kernel/abi/sync.js';
import * as vcpu from '../kernel/abi/vcpu.js';
import { UsageError, type Violation } from '../host/errors.js';
import { kernelModule } from '../host/kernel-module.js';
import { readViolations } from '../host/oops.js';
import { Machine, type MachineExports } from './machine.js';
import type { MachineMemory } from './memory.js';
import type { Scenario } from './scenario.js';
import { bootScenario, setUpScenario } from './scenario-host.js';
import { unmetExpectation } from './expectations.js';
import { setPoints } from './points.js';
import { racyWords } from './racy-words.js';
import { SourceLines } from './source-lines.js';
import { stateName, stateWord } from './state-names.js';
import { type Target, type TargetOptions, lockSort, watchRaces } from './target.js';

type Exports = MachineExports & KernelExports;

const STATE_BYTES = 1 << 20;

/** Makes the scenario's machine. Throws UsageError when its set-up does not succeed. */
export function scenarioTarget(scenario: Scenario, given: TargetOptions = {}): Target {
  const options = withRaces(scenario, given);
  const threadNames = Object.keys(scenario.threads);
  if (threadNames.length === 0) throw new UsageError('threads', `${scenario.name}: threads: expected one at least`);
  const machine = new Machine({
    module: kernelModule('controlled'),
    threads: threadNames.length,
    stateBytes: STATE_BYTES,
    stepLimit: options.stepLimit ?? 20_000,
    spuriousWakeups: options.spuriousWakeups ?? 0,
    earlyTimeouts: options.earlyTimeouts ?? 0,
    frozenClock: options.frozenClock ?? false,
  });
  const x = machine.exports as Exports;
  const { words, stateEnd } = machine.memory;
  words[control.CONTROL_LOCKS / 4] = lockSort(options);
  const memory = { x, words, quietly: (call: () => void) => machine.quietly(call) };
  bootScenario(memory, scenario, stateEnd / 65536);
  const objects = setUpScenario(memory, scenario);
  const entry = x.table.grow(1);
  x.table.set(entry, x.runOperations);
  const starts = threadNames.map((_, thread) => {
    x.taskBind(thread + 1);
    return { task: x.taskAddress(thread + 1) >>> 0, entry };
  });
  x.taskBind(0);
  // A search takes steps for independent whose plain accesses are in order: those that are not have to be points.
  const points = options.points ?? (options.frozenClock === true ? 'racy' : 'sync');
  const everyPoint = (): Target => scenarioTarget(scenario, { ...options, points: 'all', races: false });
  setPoints(machine.memory, points, points === 'racy' ? racyWords(everyPoint()) : []);
  for (const { address, vcpus } of objects.vms.values()) markStatistics(machine.memory, address, vcpus);
  // A lock's owner is a hint: the kernel's accesses to it are atomics that order nothing, ours are plain. No data race is meant.
  for (const address of objects.locks.values()) machine.memory.map[(address + LOCK_OWNER) / 4] = control.MAP_LOOSE;
  machine.prepare(starts);
  const view = {
    buffer: machine.memory.memory.buffer as unknown as SharedArrayBuffer,
    words: words as Int32Array<SharedArrayBuffer>,
  };
  let unmet: Violation | undefined;
  return {
    name: scenario.name,
    machine,
    points,
    threadNames,
    spinsAreEndless: true,
    races: watchRaces(machine, points, options),
    atRest: () => {
      unmet = undefined;
      x.setCurrent(x.taskAddress(0));
      const sound = machine.quietly(() => void x.sysAudit()) && words[layout.SH_OOPS_COUNT / 4] === 0;
      if (sound) unmet = unmetExpectation(memory, scenario, objects);
      return sound && unmet === undefined;
    },
    violations: () => (unmet === undefined ? readViolations(view.buffer) : [unmet]),
    nameOf: (address) => stateName(view, threadNames, address),
    wordOf: (address) => stateWord(view, threadNames, address),
    sources: kernelSources,
    remake: { scenario, options },
  };
}

/** A scenario about data races has plain accesses for points. A search over states goes back and forth, and sees no races. */
function withRaces({ races = false }: Scenario, options: TargetOptions): TargetOptions {
  if (!races || options.frozenClock === true) return options;
  const points = options.points ?? 'all';
  return { ...options, points, races: options.races ?? points === 'all' };
}

/** What a guest counts and nobody reads while its threads run (rounds and retries in a row only as a limit: a search sees the loop itself). */
function markStatistics({ map }: MachineMemory, vm: number, vcpus: readonly number[]): void {
  const mark = (start: number, end: number): void => {
    for (let word = start / 4; word < end / 4; word++) map[word] = control.MAP_LOOSE;
  };
  for (const address of vcpus) {
    mark(address + vcpu.VCPU_ROUNDS, address + vcpu.VCPU_COUNTERS_END);
    mark(address + vcpu.VCPU_RETRY_GFN, address + vcpu.VCPU_RETRY_COUNT + 4);
  }
  mark(vm + vcpu.MMU_REMOTE_FLUSHES, vm + vcpu.MMU_REMOTE_FLUSHES + 8);
}

function kernelSources(): SourceLines {
  const at = (extension: string): URL => new URL(`../../kernel/controlled.${extension}`, import.meta.url);
  return new SourceLines(
    readFileSync(at('wasm')),
    JSON.parse(readFileSync(at('wasm.map'), 'utf8')) as SourceMapPayload,
  );
}
