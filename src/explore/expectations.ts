// What a scenario itself expects at rest, beside the oracles: pages that a file must or must not hold, gfns that must be mapped, what calls return.
import type { KernelExports } from '#kernel-exports';
import * as calls from '../kernel/abi/calls.js';
import { TASK_PROGRAM } from '../kernel/abi/layout.js';
import { errnoName, UsageError, type Violation } from '../host/errors.js';
import type { Expectation, ObjectTable, Scenario } from './scenario.js';

type Exports = Pick<KernelExports, 'sysFilePages' | 'sysGfnToPfn' | 'taskAddress'>;

/** The first expectation that is not met. Throws UsageError for an object that the scenario does not have. @context at rest. */
export function unmetExpectation(
  { x, words }: { x: Exports; words: Int32Array },
  { expect = [], threads }: Pick<Scenario, 'expect' | 'threads'>,
  objects: ObjectTable,
): Violation | undefined {
  const messageOf = (expectation: Expectation): string | undefined => {
    if ('file' in expectation) return filePages(x, expectation, objects);
    return 'thread' in expectation ? callResult(x, words, expectation, threads) : mapping(x, expectation, objects);
  };
  for (const expectation of expect) {
    const message = messageOf(expectation);
    if (message !== undefined) return { oracle: 'expectation', message, thread: '', details: { ...expectation } };
  }
  return undefined;
}

function filePages(
  x: Pick<KernelExports, 'sysFilePages'>,
  { file, pages }: Extract<Expectation, { file: string }>,
  { files }: ObjectTable,
): string | undefined {
  const address = files.get(file);
  if (address === undefined) throw new UsageError('expect', `expect: the scenario has no file '${file}'`);
  const held = x.sysFilePages(address);
  return held === pages ? undefined : `file '${file}' holds ${held} pages at the end, not ${pages}`;
}

function mapping(
  x: Pick<KernelExports, 'sysGfnToPfn'>,
  { vm, gfn, mapped }: Extract<Expectation, { vm: string }>,
  { vms }: ObjectTable,
): string | undefined {
  const guest = vms.get(vm);
  if (guest === undefined) throw new UsageError('expect', `expect: the scenario has no guest '${vm}'`);
  if (x.sysGfnToPfn(guest.address, gfn) >= 0 === mapped) return undefined;
  return `gfn 0x${gfn.toString(16)} of guest '${vm}' is ${mapped ? 'not ' : ''}mapped at the end`;
}

function callResult(
  x: Pick<KernelExports, 'taskAddress'>,
  words: Int32Array,
  { thread, call, result }: Extract<Expectation, { thread: string }>,
  threads: Scenario['threads'],
): string | undefined {
  const index = Object.keys(threads).indexOf(thread);
  const operation = threads[thread]?.[call];
  if (operation === undefined) throw new UsageError('expect', `expect: thread '${thread}' has no call ${call}`);
  const list = words[((x.taskAddress(index + 1) >>> 0) + TASK_PROGRAM) / 4]! >>> 0;
  const returned = words[(list + call * calls.CALL_SIZE + calls.CALL_RESULT) / 4]!;
  if (returned === result) return undefined;
  const said = (value: number): string => (value < 0 ? errnoName(value) : `${value}`);
  return `call ${call} of thread '${thread}' (${operation.op}) returned ${said(returned)}, not ${said(result)}`;
}
