// Why the thread that ran until now does not run on, in the words of a report: it has ended, it waits for somebody, it spins, or it was preempted.
import * as control from '../kernel/abi/control.js';
import { waitsForLock, waitText } from './blocked.js';
import { OPERATIONS } from './operation-names.js';
import type { Target } from './target.js';

/** Looked at when another thread is about to perform its step. */
export function switchReason(target: Target, before: number): string {
  const { machine, threadNames } = target;
  const name = threadNames[before] ?? `thread${before}`;
  switch (machine.status(before)) {
    case control.STATUS_FINISHED:
      return `${name} has ended`;
    case control.STATUS_BLOCKED:
      return waitText(target, before);
    case control.STATUS_BLOCKED_TIMED:
      return `${waitText(target, before)}, for a time at most`;
    case control.STATUS_SPINNING:
      return waitsForLock(target, before)
        ? `${waitText(target, before)}: it spins`
        : `${name} spins until somebody writes`;
    default: {
      const kind = machine.kind(before);
      const next =
        kind === 0 ? 'its return from a wait' : `${OPERATIONS[kind]} ${target.nameOf(machine.address(before))}`;
      return `the scheduler preempts ${name} before ${next}`;
    }
  }
}
