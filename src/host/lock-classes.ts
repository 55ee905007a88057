// Names of lock classes in reports: `mmu` for LC_MMU.
import * as classes from '../kernel/abi/classes.js';

const NAMES = new Map<number, string>(
  Object.entries(classes)
    .filter(([name]) => name.startsWith('LC_'))
    .map(([name, value]) => [value, name.slice(3).toLowerCase()]),
);

/** The name of a lock class. */
export function lockClassName(lockClass: number): string {
  return NAMES.get(lockClass) ?? `class${lockClass}`;
}
