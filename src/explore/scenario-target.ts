// Boots a scenario's host on a machine and leaves each thread at its first point.
import { readFileSync } from 'node:fs';
import type { SourceMapPayload } from 'node:module';
import type { KernelExports } from '#kernel-exports';
import * as calls from '../kernel/abi/calls.js';
import * as layout from '../kernel/abi/layout.js';
import { errnoName, UsageError, type Violation } from '../host/errors.js';
import { kernelModule } from '../host/kernel-module.js';
import { readViolations } from '../host/oops.js';
import { writeGeometry } from '../host/shard.js';
import { variantBits } from '../host/variants.js';
import { Machine, type MachineExports } from './machine.js';
import { type Call, callOf, type ObjectTable, type Operation, type Scenario } from './scenario.js';
import { unmetExpectation } from './expectations.js';
import { setPoints } from './points.js';
import { SourceLines } from './source-lines.js';
import { stateName } from './state-names.js';
import type { Target, TargetOptions } from './target.js';

type Exports = MachineExports &
  KernelExports & { readonly runOperations: () => void; readonly stackFile: (file: number) => void };

const FIRST_PFN = 16;
const DEFAULT_PAGES = 64;
const GUEST_GFNS = 512;
const STATE_BYTES = 1 << 20;
const NAMES = 64;

function handle(what: string, value: number): number {
  const address = value >>> 0;
  if (address >= 0xfffff000) throw new UsageError('setup', `set-up: ${what}: ${errnoName(value)}`);
  return address;
}

/** Makes the scenario's machine. Throws UsageError when its set-up does not succeed. */
export function scenarioTarget(scenario: Scenario, options: TargetOptions = {}): Target {
  const threadNames = Object.keys(scenario.threads);
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
  boot(machine, scenario, threadNames.length);
  const objects = createObjects(x, scenario);
  runSetup(machine, scenario.setup ?? [], objects);
  const entry = x.table.grow(1);
  x.table.set(entry, x.runOperations);
  const lists = threadNames.map((name) => writeCalls(machine, scenario.threads[name]!, objects));
  const starts = lists.map((list, thread) => {
    x.taskBind(thread + 1);
    const task = x.taskAddress(thread + 1) >>> 0;
    machine.memory.words[(task + layout.TASK_PROGRAM) / 4] = list;
    return { task, entry };
  });
  x.taskBind(0);
  const points = options.points ?? 'sync';
  setPoints(machine.memory, points);
  machine.prepare(starts);
  const view = {
    buffer: machine.memory.memory.buffer as unknown as SharedArrayBuffer,
    words: machine.memory.words as Int32Array<SharedArrayBuffer>,
  };
  let unmet: Violation | undefined;
  return {
    name: scenario.name,
    machine,
    points,
    threadNames,
    atRest: () => {
      unmet = undefined;
      x.setCurrent(x.taskAddress(0));
      const sound = machine.quietly(() => void x.sysAudit()) && machine.memory.words[layout.SH_OOPS_COUNT / 4] === 0;
      if (sound) unmet = unmetExpectation(x, scenario.expect ?? [], objects);
      return sound && unmet === undefined;
    },
    violations: () => (unmet === undefined ? readViolations(view.buffer) : [unmet]),
    nameOf: (address) => stateName(view, threadNames, address),
    sources: kernelSources,
  };
}

function kernelSources(): SourceLines {
  const at = (extension: string): URL => new URL(`../../kernel/controlled.${extension}`, import.meta.url);
  return new SourceLines(
    readFileSync(at('wasm')),
    JSON.parse(readFileSync(at('wasm.map'), 'utf8')) as SourceMapPayload,
  );
}

function boot(machine: Machine, scenario: Scenario, threads: number): void {
  const { words, stateEnd } = machine.memory;
  const x = machine.exports as Exports;
  const pages = scenario.host?.pages ?? DEFAULT_PAGES;
  writeGeometry(words, {
    memoryPages: stateEnd / 65536,
    pfnCount: FIRST_PFN + pages,
    partitions: scenario.host?.partitions ?? 1,
    maxTasks: threads + 1,
    protocol: scenario.protocol === 'rfc-v7' ? layout.PROTOCOL_RFC_V7 : layout.PROTOCOL_RFC_V8,
    hook: scenario.hook === 'none' ? layout.HOOK_NONE : layout.HOOK_SNP,
    variants: variantBits(scenario.variants ?? []),
  });
  words[layout.SH_NAMES_MAX / 4] = NAMES;
  const error = x.bootKernel();
  if (error !== 0) throw new UsageError('host', `host: ${pages} pages: the kernel does not boot: ${errnoName(error)}`);
  x.addMemory(FIRST_PFN, FIRST_PFN + pages);
}

function createObjects(x: Exports, scenario: Scenario): ObjectTable {
  const files = new Map<string, number>();
  for (const [name, { pages, huge = false, stacked = false }] of Object.entries(scenario.files ?? {})) {
    const file = handle(`file '${name}'`, x.sysCreateFile(0, 0, huge ? 1 : 0));
    handle(`size of file '${name}'`, x.sysFileSetSize(file, pages * 4096));
    if (stacked) x.stackFile(file);
    files.set(name, file);
  }
  const vms = new Map<string, { address: number; vcpus: number[] }>();
  for (const [name, { vcpus = 1, snp = true, gfns = GUEST_GFNS }] of Object.entries(scenario.vms ?? {})) {
    const address = handle(`guest '${name}'`, x.sysCreateVm(snp ? 1 : 0, 0, 0));
    handle(`shadow of guest '${name}'`, x.sysGuestShadow(address, gfns));
    const made = Array.from({ length: vcpus }, () => handle(`vCPU of guest '${name}'`, x.sysCreateVcpu(address)));
    vms.set(name, { address, vcpus: made });
  }
  return { files, vms };
}

/** Writes a list of calls into the state; its address. */
function writeCalls(machine: Machine, operations: readonly Operation[], objects: ObjectTable): number {
  const x = machine.exports as Exports;
  const list = x.vmalloc(BigInt((operations.length + 1) * calls.CALL_SIZE)) >>> 0;
  if (list === 0) throw new UsageError('threads', 'threads: the scenario does not fit into its host');
  const { words } = machine.memory;
  const view = new DataView(words.buffer);
  operations.forEach((operation, n) => {
    const at = list + n * calls.CALL_SIZE;
    const { code, args }: Call = callOf(operation, objects);
    view.setUint32(at + calls.CALL_CODE, code, true);
    view.setUint32(at + calls.CALL_RESULT, calls.CALL_PENDING, true);
    args.forEach((value, arg) => view.setFloat64(at + calls.CALL_ARGS + arg * 8, value, true));
  });
  return list;
}

function runSetup(machine: Machine, operations: readonly Operation[], objects: ObjectTable): void {
  const x = machine.exports as Exports;
  const list = writeCalls(machine, operations, objects);
  const { words } = machine.memory;
  words[((x.taskAddress(0) >>> 0) + layout.TASK_PROGRAM) / 4] = list;
  const fine = machine.quietly(() => x.runOperations());
  if (!fine) {
    const found = readViolations(words.buffer as SharedArrayBuffer);
    throw new UsageError('setup', `set-up: ${found[0]?.message ?? 'the kernel stopped'}`);
  }
  operations.forEach(({ op }, n) => {
    const result = words[(list + n * calls.CALL_SIZE + calls.CALL_RESULT) / 4]!;
    if (result < 0) throw new UsageError('setup', `set-up: operation ${n + 1} (${op}): ${errnoName(result)}`);
  });
}
