// Errors of the library. Every error names the operation, the kernel's errno and the offending values.
import * as errno from '../kernel/abi/errno.js';

const NAMES = new Map<number, string>(Object.entries(errno).map(([name, value]) => [value, name]));

/** `EINVAL` for 22 or -22; `E<number>` for a number this engine does not use. */
export function errnoName(code: number): string {
  return NAMES.get(Math.abs(code)) ?? `E${Math.abs(code)}`;
}

/** Base of every error this library throws. `code` is an errno name, or a name of ours such as `EBADPROFILE`. */
export class RmpTortureError extends Error {
  readonly code: string;
  readonly operation: string;
  readonly values: Readonly<Record<string, unknown>>;
  constructor(operation: string, code: string, message: string, values: Record<string, unknown> = {}) {
    super(message);
    this.name = 'RmpTortureError';
    this.operation = operation;
    this.code = code;
    this.values = values;
  }
}

/** A modelled call returned a negative errno. */
export class KernelError extends RmpTortureError {
  constructor(operation: string, error: number, values: Record<string, unknown> = {}) {
    const shown = Object.entries(values)
      .map(([key, value]) => `${key}=${String(value)}`)
      .join(' ');
    super(operation, errnoName(error), `${operation}: ${errnoName(error)}${shown === '' ? '' : ` (${shown})`}`, values);
    this.name = 'KernelError';
  }
}

/** Bad input of the user's: profile, option or argument. The command line maps it to exit code 2. */
export class UsageError extends RmpTortureError {
  constructor(operation: string, message: string, values: Record<string, unknown> = {}) {
    super(operation, 'EUSAGE', message, values);
    this.name = 'UsageError';
  }
}

/** An invariant was violated: the shard has stopped and stays stopped. */
export class KernelOops extends RmpTortureError {
  readonly violations: readonly Violation[];
  constructor(violations: readonly Violation[]) {
    super('oops', 'EOOPS', violations[0]?.message ?? 'the run was stopped by an invariant violation', {
      count: violations.length,
    });
    this.name = 'KernelOops';
    this.violations = violations;
  }
}

/** One recorded violation, as result documents carry it. */
export interface Violation {
  oracle: string;
  message: string;
  thread: string;
  details: Record<string, unknown>;
}
