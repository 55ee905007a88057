// What a scenario itself expects at rest, beside the oracles: pages that a file must or must not hold, gfns that must be mapped.
import type { KernelExports } from '#kernel-exports';
import { UsageError, type Violation } from '../host/errors.js';
import type { Expectation, ObjectTable } from './scenario.js';

/** The first expectation that is not met. Throws UsageError for an object that the scenario does not have. @context at rest. */
export function unmetExpectation(
  x: Pick<KernelExports, 'sysFilePages' | 'sysGfnToPfn'>,
  expectations: readonly Expectation[],
  objects: ObjectTable,
): Violation | undefined {
  for (const expectation of expectations) {
    const message = 'file' in expectation ? filePages(x, expectation, objects) : mapping(x, expectation, objects);
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
