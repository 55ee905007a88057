// A program to explore: a module with `setup`, `thread0`, `thread1`, ..., and if it likes `invariant` (looked at after every step) and `finish` (when all
// threads have ended). Its memory is whatever it takes from the heap; its locks are ours.
import * as control from '../kernel/abi/control.js';
import * as layout from '../kernel/abi/layout.js';
import { UsageError } from '../host/errors.js';
import { readViolations } from '../host/oops.js';
import type { CompiledProgram } from './compile.js';
import { Machine, type MachineExports } from './machine.js';
import { setPoints } from './points.js';
import { racyWords } from './racy-words.js';
import { stateName, stateWord } from './state-names.js';
import { type Target, type TargetOptions, lockSort, watchRaces } from './target.js';

type Exports = MachineExports & {
  bootProgram(): number;
  taskBind(id: number): void;
  taskAddress(id: number): number;
};

/** Names of what a module may hold several programs of: `stack_setup`, `stack_thread0` with the prefix `stack_`. */
export interface ProgramOptions extends TargetOptions {
  name: string;
  prefix?: string;
  threadNames?: readonly string[];
}

/** State without the tasks: shard header, names, lock-order graph, and room for the program's heap. */
const STATE_BYTES = 192 * 1024;
const NAMES = 64;

/** The threads of a program, by what the module exports. */
export function programThreads(module: WebAssembly.Module, prefix = ''): number {
  const names = new Set(WebAssembly.Module.exports(module).map(({ name }) => name));
  let count = 0;
  while (names.has(`${prefix}thread${count}`)) count++;
  return count;
}

/** Makes the program's machine, with its set-up done. Throws UsageError when it has no threads or its set-up fails. */
export function programTarget(program: CompiledProgram, options: ProgramOptions): Target {
  const { module, sources } = program;
  const { name, prefix = '' } = options;
  const threads = programThreads(module, prefix);
  if (threads === 0) throw new UsageError('explore', `${name}: exports no function ${prefix}thread0`);
  const machine = new Machine({
    module,
    threads,
    stateBytes: STATE_BYTES + (threads + 1) * layout.TASK_SIZE,
    stepLimit: options.stepLimit ?? 20_000,
    spuriousWakeups: options.spuriousWakeups ?? 0,
    earlyTimeouts: options.earlyTimeouts ?? 0,
    frozenClock: options.frozenClock ?? false,
  });
  const { words, stateEnd } = machine.memory;
  words[control.CONTROL_LOCKS / 4] = lockSort(options);
  const x = machine.exports as Exports;
  words[layout.SH_MEMORY_END_PAGES / 4] = stateEnd / 65536;
  words[layout.SH_MAX_TASKS / 4] = threads + 1;
  words[layout.SH_NAMES_MAX / 4] = NAMES;
  words[layout.SH_ORACLES / 4] = 1;
  words[layout.SH_SEED / 4] = 1;
  if (x.bootProgram() !== 0) throw new Error('a program does not fit into its memory');
  const exported = (suffix: string): (() => void) | undefined =>
    (x as unknown as Record<string, (() => void) | undefined>)[prefix + suffix];
  const buffer = words.buffer as SharedArrayBuffer;
  const setup = exported('setup');
  if (setup !== undefined && !machine.quietly(setup))
    throw new UsageError('explore', `${name}: setup: ${readViolations(buffer)[0]?.message ?? 'stopped'}`);
  const first = x.table.grow(threads);
  const starts = Array.from({ length: threads }, (_, thread) => {
    x.taskBind(thread + 1);
    x.table.set(first + thread, exported(`thread${thread}`)!);
    return { task: x.taskAddress(thread + 1) >>> 0, entry: first + thread };
  });
  x.taskBind(0);
  const points = options.points ?? 'all';
  const racy = points === 'racy' ? racyWords(programTarget(program, { ...options, points: 'all', races: false })) : [];
  setPoints(machine.memory, points, racy);
  machine.prepare(starts);
  machine.invariant = exported('invariant');
  const threadNames = options.threadNames ?? starts.map((_, thread) => `thread${thread}`);
  const finish = exported('finish');
  const named = { buffer, words: words as Int32Array<SharedArrayBuffer> };
  return {
    name,
    machine,
    points,
    threadNames,
    races: watchRaces(machine, points, options),
    atRest() {
      x.setCurrent(x.taskAddress(0));
      return finish === undefined || machine.quietly(finish);
    },
    violations: () => readViolations(buffer),
    nameOf: (address) => stateName(named, threadNames, address),
    wordOf: (address) => stateWord(named, threadNames, address),
    sources,
  };
}
