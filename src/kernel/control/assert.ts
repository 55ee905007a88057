// What a program of the explorer says of itself: that its own promise is broken, and that a thread of it has got on.
import { TASK_OPS } from '../abi/layout';
import { OOPS_ASSERTION, ORACLE_ASSERTION } from '../abi/oops';
import { oops } from '../oops';
import { current, store32 } from '../point';

/** Ends the execution as a failure when `condition` is false. `number` and the values tell assertions apart in the report. */
export function check(condition: bool, number: i32 = 0, a: i32 = 0, b: i32 = 0): void {
  if (!condition) oops(ORACLE_ASSERTION, OOPS_ASSERTION, number, a, b);
}

/**
 * The thread has done what it is there for once more. An execution that goes round for ever is no failure for threads that do so in each round; for one
 * that never does while others do it is starvation.
 */
export function progress(): void {
  // A mark, not a count, which the thread's suspended stack would still have of an earlier round.
  store32(current + TASK_OPS, 1);
}
