// Why a schedule fails: of all pairs of conflicting events those whose other order alone makes it pass. They are the constraints that a schedule must meet to
// fail; their number is what PCT calls the depth of the bug. A pair is turned round by holding the first one's thread until the second has come.
import { conflict } from './dpor/dependence.js';
import type { Event } from './dpor/trace.js';

/** Two events in conflict, of two threads: indices. */
export interface Constraint {
  earlier: number;
  later: number;
}

/** What came of an execution in another order. */
export type Turned = 'passes' | 'fails' | 'not-turned';

/** Which pairs are turned round. */
export interface Pairs {
  /** Only events of these (indices) are looked at (default: all). */
  among?: ReadonlySet<number>;
  /** Asked before each try: false ends it (default: never). */
  goesOn?: () => boolean;
}

/** The events in an order that turns a pair round: all that comes between and is not of the earlier one's thread comes before it. */
function turnedOrder(events: readonly Event[], { earlier, later }: Constraint): number[] {
  const indices = events.map((_, n) => n);
  const between = indices.slice(earlier, later + 1);
  const isHeld = (n: number): boolean => events[n]!.thread === events[earlier]!.thread;
  return [
    ...indices.slice(0, earlier),
    ...between.filter((n) => !isHeld(n)),
    ...between.filter((n) => isHeld(n)),
    ...indices.slice(later + 1),
  ];
}

/** The pairs in conflict, those first of which fewest events come between. */
function conflictingPairs(events: readonly Event[], among: ReadonlySet<number> | undefined): Constraint[] {
  const indices = events.map((_, n) => n).filter((n) => among?.has(n) ?? true);
  const pairs = indices.flatMap((later, at) =>
    indices
      .slice(0, at)
      .filter((earlier) => {
        const [a, b] = [events[earlier]!, events[later]!];
        return a.thread !== b.thread && conflict(a.operation, b.operation);
      })
      .map((earlier): Constraint => ({ earlier, later })),
  );
  return pairs.toSorted((a, b) => a.later - a.earlier - (b.later - b.earlier));
}

/**
 * The orders that a failing execution needs. `outcome` runs the events (indices) in another order, as far as they come again, the pair being what is turned
 * round. Turning one pair round may turn others: of those that turn another one round as well, only the innermost are kept.
 */
export function constraintsOf(
  events: readonly Event[],
  outcome: (order: readonly number[], pair: Constraint) => Turned,
  { among, goesOn = () => true }: Pairs = {},
): Constraint[] {
  let roots: { pair: Constraint; places: number[] }[] = [];
  const turns = (places: readonly number[], { earlier, later }: Constraint): boolean =>
    places[earlier]! > places[later]!;
  for (const pair of conflictingPairs(events, among)) {
    const order = turnedOrder(events, pair);
    const places: number[] = [];
    for (const [place, event] of order.entries()) places[event] = place;
    if (roots.some((root) => turns(places, root.pair))) continue;
    if (!goesOn()) break;
    if (outcome(order, pair) !== 'passes') continue;
    roots = [...roots.filter((root) => !turns(root.places, pair)), { pair, places }];
  }
  return roots.map(({ pair }) => pair).toSorted((a, b) => a.earlier - b.earlier || a.later - b.later);
}
