// Whole numbers on the command line: decimal or 0x.
import { UsageError } from '../host/errors.js';

/** The number that `option` was given. Throws UsageError for what is none, or not from `least` to `most`. */
export function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most))
    throw new UsageError(option, `${option} ${text}: expected a whole number from ${least} to ${most}`);
  return value;
}
