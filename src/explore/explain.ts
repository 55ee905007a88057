// Why a schedule fails: of all pairs of events that raced in it, those whose other order alone makes it pass. They are the constraints that a schedule
// must meet to fail; their number is what PCT calls the depth of the bug.
import { conflict } from './dpor/dependence.js';
import { TraceOrder, type Event, type ReversibleRace } from './dpor/trace.js';

/** Two events in conflict that could have come the other way round (indices), and whether the failure needs this order. */
export interface Constraint extends ReversibleRace {
  /** With the two the other way round the execution passes. */
  root: boolean;
}

/** The threads' order of steps that runs a race the other way round: everything else that does not depend on its first event stays before it. */
export function reversed(events: readonly Event[], order: TraceOrder, { earlier, later }: ReversibleRace): number[] {
  const threads = events.slice(0, earlier).map(({ thread }) => thread);
  for (let n = earlier + 1; n < later; n++) {
    if (!order.before(earlier, n)) threads.push(events[n]!.thread);
  }
  threads.push(events[later]!.thread);
  for (let n = earlier; n < later; n++) {
    if (n === earlier || order.before(earlier, n)) threads.push(events[n]!.thread);
  }
  return threads;
}

/**
 * Pairs in conflict that some order of the threads turns round: all but those where the later one's thread had already seen the earlier one. More than
 * DPOR's races, which are next to each other: the reason may lie behind another pair, which flipping does not cure.
 */
function reversiblePairs(events: readonly Event[], order: TraceOrder): ReversibleRace[] {
  const pairs: ReversibleRace[] = [];
  for (const [later, { thread, operation, after }] of events.entries()) {
    const previous = events.findLastIndex((event, n) => n < later && event.thread === thread);
    for (let earlier = 0; earlier < later; earlier++) {
      const other = events[earlier]!;
      if (other.thread === thread || !conflict(other.operation, operation)) continue;
      const seen = [previous, after].some((n) => n >= 0 && order.before(earlier, n));
      if (!seen) pairs.push({ earlier, later });
    }
  }
  return pairs;
}

/**
 * The pairs in conflict of a failing execution, each flipped alone. `fails` runs a prefix of threads (as far as they can run; then the default schedule) and says
 * whether the same failure came.
 */
export function constraintsOf(
  events: readonly Event[],
  threadCount: number,
  fails: (prefix: readonly number[]) => boolean,
): Constraint[] {
  const order = new TraceOrder(events, threadCount);
  return reversiblePairs(events, order).map((pair) => ({ ...pair, root: !fails(reversed(events, order, pair)) }));
}
