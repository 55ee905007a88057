// The size of a file without one, which is set once (RFC) or with the file's creation: two who set it at once, and one who binds a memslot meanwhile.
import { describe, expect, it } from 'vitest';
import type { KernelExports } from '#kernel-exports';
import { explore } from '#src/explore/explore.js';
import type { Scenario } from '#src/explore/scenario.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { Dpor } from '#src/explore/strategies/dpor.js';
import { RandomWalk } from '#src/explore/strategies/random.js';
import type { Strategy } from '#src/explore/strategy.js';
import { EFAULT, EINVAL, EPERM } from '#src/kernel/abi/errno.js';
import { CALL_RESULT, CALL_SIZE } from '#src/kernel/abi/calls.js';
import { TASK_PROGRAM } from '#src/kernel/abi/layout.js';

const FILE = { file: 'memory' } as const;
const VM = { vm: 'guest' } as const;

const sized: Scenario = {
  name: 'size-once',
  about: 'two threads give a file its size: one of them does, and the other one cannot change it any more',
  files: { memory: { pages: 0 } },
  threads: {
    small: [{ op: 'set-file-size', ...FILE, pages: 2 }],
    large: [
      { op: 'set-file-size', ...FILE, pages: 4 },
      { op: 'set-file-size', ...FILE, pages: 8 },
    ],
  },
};

const bound: Scenario = {
  name: 'size-bind',
  about:
    'a memslot is bound to a guest_memfd while the file gets its size: not before, since it would reach beyond the end',
  protocol: 'guest-memfd',
  files: { memory: { pages: 0 } },
  vms: { guest: { vcpus: 1, gfns: 64 } },
  setup: [{ op: 'set-private', ...VM, gfn: 8, pages: 4 }],
  threads: {
    size: [{ op: 'set-file-size', ...FILE, pages: 4 }],
    bind: [
      { op: 'set-slot', ...VM, slot: 0, gfn: 8, pages: 4, flags: 4, ...FILE, start: 0 },
      { op: 'touch', ...VM, gfn: 11, write: true, value: 7 },
    ],
  },
};

/** What the threads' calls returned, over all executions: one line for each combination. */
function outcomes(scenario: Scenario, strategy: Strategy): { verdict: string; complete: boolean; seen: string[] } {
  const target = scenarioTarget(scenario);
  const { words } = target.machine.memory;
  const x = target.machine.exports as unknown as KernelExports;
  const resultsOf = (operations: readonly unknown[], thread: number): number[] => {
    const list = words[((x.taskAddress(thread + 1) >>> 0) + TASK_PROGRAM) / 4]! >>> 0;
    return operations.map((_, call) => words[(list + call * CALL_SIZE + CALL_RESULT) / 4]!);
  };
  const seen = new Set<string>();
  const atRest = (): boolean => {
    seen.add(JSON.stringify(Object.values(scenario.threads).map(resultsOf)));
    return target.atRest();
  };
  const { verdict, complete } = explore({ ...target, atRest }, strategy, { executions: 500, seed: 1 });
  return { verdict, complete, seen: [...seen].toSorted() };
}

describe('set-file-size', () => {
  it('of two at once one wins, whatever the interleaving; a size that is there stays', () => {
    expect(outcomes(sized, new Dpor())).toEqual({
      verdict: 'no-violation',
      complete: true,
      seen: [
        [[-EPERM], [0, -EPERM]],
        [[0], [-EPERM, -EPERM]],
      ].map((results) => JSON.stringify(results)),
    });
  });

  it('before a bind lets the memslot reach to the end of the file; behind it the bind is refused, and the guest has no memory there', () => {
    expect(outcomes(bound, new RandomWalk(0.2))).toMatchObject({
      verdict: 'no-violation',
      seen: [
        [[0], [-EINVAL, -EFAULT]],
        [[0], [0, 0]],
      ].map((results) => JSON.stringify(results)),
    });
  });
});
