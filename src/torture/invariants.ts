// The invariants of a run: which were looked at, when, and which did not hold. docs/oracles.md says what each of them means.
import type { Violation } from '../host/errors.js';
import { ORACLES } from '../host/oops.js';
import * as oracles from '../kernel/abi/oops.js';

export interface InvariantResult {
  oracle: string;
  /** Looked at as the run went on. Builds other than `perturbed` look at nothing then but progress and the kernel's own checks. */
  inline: boolean;
  /** Looked at over the whole state at the end. A run that has failed before is not. */
  atRest: boolean;
  /** Violations that were recorded. */
  violations: number;
  /** False after a violation; null when nobody looked. */
  holds: boolean | null;
}

/** Oracles of real threads, and where they look; ORACLE_ASSERTION belongs to programs of the explorer. */
const WHERE: [oracle: number, inline: 'always' | 'perturbed' | 'never', atRest: boolean][] = [
  [oracles.ORACLE_HOST_PAGE, 'perturbed', true],
  [oracles.ORACLE_STALE_MAPPING, 'perturbed', true],
  [oracles.ORACLE_BALANCE, 'perturbed', true],
  [oracles.ORACLE_CALLBACK, 'perturbed', true],
  [oracles.ORACLE_ONE_OWNER, 'perturbed', true],
  [oracles.ORACLE_GUEST_DATA, 'perturbed', false],
  [oracles.ORACLE_LOCKING, 'perturbed', true],
  [oracles.ORACLE_CONSERVATION, 'never', true],
  [oracles.ORACLE_PROGRESS, 'always', false],
  [oracles.ORACLE_KERNEL_BUG, 'always', false],
];

/** Each invariant with its verdict. `audited`: the state at rest was looked at. */
export function invariantsOf(build: string, audited: boolean, violations: readonly Violation[]): InvariantResult[] {
  return WHERE.map(([number, inlineIn, restToo]) => {
    const oracle = ORACLES[number]!;
    const inline = inlineIn === 'always' || (inlineIn === 'perturbed' && build === 'perturbed');
    const atRest = restToo && audited;
    const found = violations.filter((violation) => violation.oracle === oracle).length;
    const holds = found > 0 ? false : inline || atRest ? true : null;
    return { oracle, inline, atRest, violations: found, holds };
  });
}
