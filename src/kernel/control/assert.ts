// What a program of the explorer says when its own promise is broken.
import { OOPS_ASSERTION, ORACLE_ASSERTION } from '../abi/oops';
import { oops } from '../oops';

/** Ends the execution as a failure when `condition` is false. `number` and the values tell assertions apart in the report. */
export function check(condition: bool, number: i32 = 0, a: i32 = 0, b: i32 = 0): void {
  if (!condition) oops(ORACLE_ASSERTION, OOPS_ASSERTION, number, a, b);
}
