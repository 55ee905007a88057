// What is wrong with a scenario that its schema accepts: objects that are not there, and threads that are missing. Each complaint knows its place, so that a file's
// line and column can be said.
import { variantNames } from '../host/variants.js';
import type { Expectation, Operation, Scenario } from './scenario.js';

type Path = readonly (string | number)[];

/** A mistake and where in the document it is. */
export interface ScenarioComplaint {
  path: Path;
  message: string;
}

/** Everything that is wrong, in the order of the document. */
export function scenarioComplaints(scenario: Scenario): ScenarioComplaint[] {
  const { setup = [], threads, expect = [], variants = [] } = scenario;
  const names = Object.keys(threads);
  const none = names.length === 0 ? [complaint(['threads'], 'threads: expected one at least')] : [];
  return [
    ...none,
    ...variants.flatMap((name, n) => unknown(['variants', n], 'variant', name, variantNames())),
    ...setup.flatMap((operation, n) => ofObjects(scenario, operation, ['setup', n])),
    ...names.flatMap((thread) =>
      threads[thread]!.flatMap((operation, n) => ofObjects(scenario, operation, ['threads', thread, n])),
    ),
    ...expect.flatMap((expectation, n) => [
      ...ofObjects(scenario, expectation, ['expect', n]),
      ...ofThread(scenario, expectation, ['expect', n]),
    ]),
  ];
}

function complaint(path: Path, message: string): ScenarioComplaint {
  return { path, message };
}

function unknown(path: Path, what: string, name: string, known: readonly string[]): ScenarioComplaint[] {
  if (known.includes(name)) return [];
  const there = known.length === 0 ? 'the scenario has none' : `known are ${known.join(', ')}`;
  return [complaint(path, `no ${what} is called '${name}'; ${there}`)];
}

/** Guests, files and XArrays that an operation or an expectation names, and the vCPU. */
function ofObjects(scenario: Scenario, one: Operation | Expectation, path: Path): ScenarioComplaint[] {
  const { vms = {}, files = {}, xarrays = [] } = scenario;
  const found: ScenarioComplaint[] = [];
  if ('vm' in one) found.push(...unknown([...path, 'vm'], 'guest', one.vm, Object.keys(vms)));
  if ('file' in one && one.file !== undefined)
    found.push(...unknown([...path, 'file'], 'file', one.file, Object.keys(files)));
  if ('xarray' in one) found.push(...unknown([...path, 'xarray'], 'XArray', one.xarray, xarrays));
  if ('vcpu' in one && one.vcpu !== undefined && vms[one.vm] !== undefined) {
    const count = vms[one.vm]!.vcpus ?? 1;
    if (one.vcpu >= count)
      found.push(
        complaint([...path, 'vcpu'], `guest '${one.vm}' has ${count} vCPU${count === 1 ? '' : 's'}, numbered from 0`),
      );
  }
  return found;
}

function ofThread({ threads }: Scenario, expectation: Expectation, path: Path): ScenarioComplaint[] {
  if (!('thread' in expectation)) return [];
  const { thread, call } = expectation;
  const calls = threads[thread]?.length;
  if (calls === undefined) return unknown([...path, 'thread'], 'thread', thread, Object.keys(threads));
  return call < calls ? [] : [complaint([...path, 'call'], `thread '${thread}' makes ${calls} calls, numbered from 0`)];
}
