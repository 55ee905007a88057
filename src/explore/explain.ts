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
  // The rest as it was: what the default schedule would do instead is another change.
  for (let n = later + 1; n < events.length; n++) threads.push(events[n]!.thread);
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

/** For each event its place in the order that turns a pair round. */
function placesIn(events: readonly Event[], threads: readonly number[]): number[] {
  const own = new Map<number, number[]>();
  for (const [n, { thread }] of events.entries()) own.set(thread, [...(own.get(thread) ?? []), n]);
  const places = events.map((_, n) => n);
  for (const [place, thread] of threads.entries()) places[own.get(thread)!.shift()!] = place;
  return places;
}

/**
 * The pairs in conflict of a failing execution (the last `most` of them), each flipped alone. `fails` runs a prefix of threads (as far as they can run;
 * then the default schedule) and says whether the same failure came. Turning one pair round may turn others: of roots that turn another root round as
 * well, only the innermost are kept.
 */
export function constraintsOf(
  events: readonly Event[],
  threadCount: number,
  fails: (prefix: readonly number[]) => boolean,
  most = Infinity,
): Constraint[] {
  const order = new TraceOrder(events, threadCount);
  const all = reversiblePairs(events, order);
  const pairs = all.slice(Math.max(0, all.length - most));
  const passing = pairs.flatMap((pair) => {
    const threads = reversed(events, order, pair);
    if (fails(threads)) return [];
    const places = placesIn(events, threads);
    return [{ pair, turned: new Set(pairs.filter(({ earlier, later }) => places[earlier]! > places[later]!)) }];
  });
  const isOuter = (one: (typeof passing)[number]): boolean =>
    passing.some((other) => {
      if (other === one || !one.turned.has(other.pair)) return false;
      return !other.turned.has(one.pair) || other.turned.size < one.turned.size;
    });
  const innermost = passing.filter((one) => !isOuter(one));
  const roots = new Set(innermost.map(({ pair }) => pair));
  return pairs.map((pair) => ({ ...pair, root: roots.has(pair) }));
}
