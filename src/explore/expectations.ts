// What a scenario itself expects at rest, beside the oracles: pages that a file must or must not hold, gfns that must be mapped, what calls return, counts of
// what was done.
import type { KernelExports } from '#kernel-exports';
import * as calls from '../kernel/abi/calls.js';
import * as kvm from '../kernel/abi/kvm.js';
import { TASK_PROGRAM } from '../kernel/abi/layout.js';
import * as snp from '../kernel/abi/snp.js';
import { errnoName, UsageError, type Violation } from '../host/errors.js';
import type { ObjectTable } from './calls.js';
import type { Expectation, Scenario } from './scenario.js';

/** What expectations look at. */
interface RestingState {
  x: Pick<KernelExports, 'hostReadUser' | 'sysFilePages' | 'sysGfnToPfn' | 'leakedPages' | 'taskAddress'>;
  words: Int32Array;
}

type Threads = Scenario['threads'];

/** The first expectation that is not met. Throws UsageError for an object that the scenario does not have. @context at rest. */
export function unmetExpectation(
  state: RestingState,
  { expect = [], threads }: Pick<Scenario, 'expect' | 'threads'>,
  objects: ObjectTable,
): Violation | undefined {
  for (const expectation of expect) {
    const message = unmet(state, expectation, objects, threads);
    if (message !== undefined) return { oracle: 'expectation', message, thread: '', details: { ...expectation } };
  }
  return undefined;
}

function unmet(
  state: RestingState,
  expectation: Expectation,
  objects: ObjectTable,
  threads: Threads,
): string | undefined {
  if ('file' in expectation) return filePages(state, expectation, objects);
  if ('thread' in expectation) return callResult(state, expectation, threads);
  if ('leaked' in expectation) return counted('pages leaked', state.x.leakedPages() >>> 0, expectation.leaked);
  if ('psmashes' in expectation)
    return counted('2M entries of the RMP split', psmashes(state, threads), expectation.psmashes);
  const guest = objects.vms.get(expectation.vm);
  if (guest === undefined) throw new UsageError('expect', `expect: the scenario has no guest '${expectation.vm}'`);
  if ('memoryErrors' in expectation) {
    const told = state.words[(guest.address + kvm.KVM_COUNTERS + 4 * kvm.KC_RM_ERRORS) / 4]!;
    return counted(`memory errors told to guest '${expectation.vm}'`, told, expectation.memoryErrors);
  }
  if ('hva' in expectation) {
    const { hva, value } = expectation;
    return counted(
      `at page ${hva} of the VMM of guest '${expectation.vm}'`,
      state.x.hostReadUser(guest.address, BigInt(hva) << 12n),
      value,
    );
  }
  if (state.x.sysGfnToPfn(guest.address, expectation.gfn) >= 0 === expectation.mapped) return undefined;
  return `gfn 0x${expectation.gfn.toString(16)} of guest '${expectation.vm}' is ${expectation.mapped ? 'not ' : ''}mapped at the end`;
}

const counted = (what: string, found: number, expected: number): string | undefined =>
  found === expected ? undefined : `${found} ${what} at the end, not ${expected}`;

function psmashes({ x, words }: RestingState, threads: Threads): number {
  let sum = 0;
  for (let task = 0; task <= Object.keys(threads).length; task++)
    sum += words[((x.taskAddress(task) >>> 0) + snp.SNP_COUNTERS + snp.SNPC_PSMASHES) / 4]!;
  return sum;
}

function filePages(
  { x }: RestingState,
  { file, pages }: Extract<Expectation, { file: string }>,
  { files }: ObjectTable,
): string | undefined {
  const address = files.get(file);
  if (address === undefined) throw new UsageError('expect', `expect: the scenario has no file '${file}'`);
  const held = x.sysFilePages(address);
  return held === pages ? undefined : `file '${file}' holds ${held} pages at the end, not ${pages}`;
}

function callResult(
  { x, words }: RestingState,
  { thread, call, result }: Extract<Expectation, { thread: string }>,
  threads: Threads,
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
