// A scenario's host before its threads start: the booted kernel, its objects, its set-up, and the list of calls of each thread. The same for the machine that
// chooses every step (scenario-target.ts) and for real threads (src/catalogue/stress.ts).
import type { KernelExports } from '#kernel-exports';
import * as calls from '../kernel/abi/calls.js';
import * as layout from '../kernel/abi/layout.js';
import { errnoName, UsageError } from '../host/errors.js';
import { protocolCode } from '../host/protocols.js';
import { readViolations } from '../host/oops.js';
import { writeGeometry } from '../host/shard.js';
import { variantBits } from '../host/variants.js';
import { type Call, callOf, type ObjectTable } from './calls.js';
import type { Operation, Scenario } from './scenario.js';

/** What a scenario is set up on: a memory with a kernel over it. */
export interface ScenarioMemory {
  x: KernelExports;
  words: Int32Array;
  /** Makes a call into the kernel that no scheduler sees; false when it ended in an oops. */
  quietly: (call: () => void) => boolean;
}

const FIRST_PFN = 16;
const DEFAULT_PAGES = 64;
const GUEST_GFNS = 512;
const NAMES = 64;

/** An error that knows the place in the scenario (see placed() of documents). */
function setupError(path: readonly (string | number)[], what: string): UsageError {
  return new UsageError('setup', `set-up: ${what}`, { path });
}

function handle(path: readonly (string | number)[], what: string, value: number): number {
  const address = value >>> 0;
  if (address >= 0xfffff000) throw setupError(path, `${what}: ${errnoName(value)}`);
  return address;
}

/** Boots the scenario's host in memory that is all zeroes; the caller is task 0. Throws UsageError when it does not boot. */
export function bootScenario({ x, words }: ScenarioMemory, scenario: Scenario, memoryPages: number): void {
  const pages = scenario.host?.pages ?? DEFAULT_PAGES;
  writeGeometry(words, {
    memoryPages,
    pfnCount: FIRST_PFN + pages,
    partitions: scenario.host?.partitions ?? 1,
    maxTasks: Object.keys(scenario.threads).length + 1,
    protocol: protocolCode(scenario.protocol ?? 'rfc-v8'),
    hook: scenario.hook === 'none' ? layout.HOOK_NONE : layout.HOOK_SNP,
    variants: variantBits(scenario.variants ?? []),
  });
  words[layout.SH_NAMES_MAX / 4] = NAMES;
  const error = x.bootKernel();
  if (error !== 0)
    throw new UsageError('host', `host: ${pages} pages: the kernel does not boot: ${errnoName(error)}`, {
      path: ['host'],
    });
  const table = scenario.host?.rmpTable;
  if (table === undefined) return x.addHostMemory(FIRST_PFN, FIRST_PFN + pages);
  const [start, end] = [table.start, table.start + table.pages];
  if (start < FIRST_PFN || end > FIRST_PFN + pages)
    throw new UsageError(
      'host',
      `host.rmpTable: pages ${start} to ${end} are not among ${FIRST_PFN} to ${FIRST_PFN + pages}`,
      { path: ['host', 'rmpTable'] },
    );
  x.rmpSetFirmwareRange(start, end);
  x.addHostMemory(FIRST_PFN, start);
  x.addHostMemory(end, FIRST_PFN + pages);
}

/** Makes the scenario's objects and its set-up; each thread's task gets its list of calls. Throws UsageError when a part of it fails. */
export function setUpScenario(memory: ScenarioMemory, scenario: Scenario): ObjectTable {
  const { x, words } = memory;
  const objects = createObjects(x, scenario);
  runSetup(memory, scenario.setup ?? [], objects);
  for (const [thread, operations] of Object.values(scenario.threads).entries()) {
    words[((x.taskAddress(thread + 1) >>> 0) + layout.TASK_PROGRAM) / 4] = writeCalls(memory, operations, objects);
  }
  return objects;
}

function createObjects(x: KernelExports, scenario: Scenario): ObjectTable {
  const files = new Map<string, number>();
  for (const [name, { pages, huge = false, stacked = false }] of Object.entries(scenario.files ?? {})) {
    const file = handle(['files', name], `file '${name}'`, x.sysCreateFile(0, 0, huge ? 1 : 0));
    handle(['files', name, 'pages'], `size of file '${name}'`, x.sysFileSetSize(file, pages * 4096));
    if (stacked) x.stackFile(file);
    files.set(name, file);
  }
  const vms = new Map<string, { address: number; vcpus: number[]; process: number }>();
  for (const [name, { vcpus = 1, snp = true, irqchip = false, process = false, gfns = GUEST_GFNS }] of Object.entries(
    scenario.vms ?? {},
  )) {
    const address = handle(['vms', name], `guest '${name}'`, x.sysCreateVm(snp ? 1 : 0, 0, 0));
    handle(['vms', name], `shadow of guest '${name}'`, x.sysGuestShadow(address, gfns));
    const processAddress = process ? handle(['vms', name], `process of guest '${name}'`, x.processCreate(address)) : 0;
    if (irqchip) x.kvmCreateIrqchip(address);
    const made = Array.from({ length: vcpus }, () =>
      handle(['vms', name], `vCPU of guest '${name}'`, x.sysCreateVcpu(address)),
    );
    vms.set(name, { address, vcpus: made, process: processAddress });
  }
  const xarrays = new Map<string, number>();
  for (const name of scenario.xarrays ?? []) xarrays.set(name, x.createXarray() >>> 0);
  const locks = new Map<string, number>();
  for (const [name, kind] of Object.entries(scenario.locks ?? {}))
    locks.set(name, x.createLock(kind === 'rwsem' ? 1 : 0) >>> 0);
  return { files, vms, xarrays, locks };
}

/** Writes a list of calls into the state; its address. */
function writeCalls({ x, words }: ScenarioMemory, operations: readonly Operation[], objects: ObjectTable): number {
  const list = x.vmalloc(BigInt((operations.length + 1) * calls.CALL_SIZE)) >>> 0;
  if (list === 0)
    throw new UsageError('threads', 'threads: the scenario does not fit into its host', { path: ['threads'] });
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

function runSetup(memory: ScenarioMemory, operations: readonly Operation[], objects: ObjectTable): void {
  const { x, words, quietly } = memory;
  const list = writeCalls(memory, operations, objects);
  words[((x.taskAddress(0) >>> 0) + layout.TASK_PROGRAM) / 4] = list;
  if (!quietly(() => x.runOperations())) {
    const found = readViolations(words.buffer as SharedArrayBuffer);
    throw setupError(['setup'], found[0]?.message ?? 'the kernel stopped');
  }
  operations.forEach(({ op }, n) => {
    const result = words[(list + n * calls.CALL_SIZE + calls.CALL_RESULT) / 4]!;
    if (result < 0) throw setupError(['setup', n], `operation ${n + 1} (${op}): ${errnoName(result)}`);
  });
}
