// How a source-DPOR search is divided. What makes that hard is that races met below a decision add threads to it: so a decision that is divided is closed
// first, all its threads that are not asleep being tried from there on, by whoever has the part. More of them than the races would have asked for; but
// sleep sets see to it that each trace is still run to its end once, and the surplus is given up early.
// After Simsa, Bryant, Gibson, Hickey, "Scalable Dynamic Partial Order Reduction", RV 2012, who divide at frontier nodes likewise.
import { weightOf } from '../strategies/decisions.js';
import type { Operation } from './dependence.js';

/** One decision between threads: bits are thread numbers, up to 31. */
export interface Decision {
  enabled: number;
  /** Threads to try here. */
  wanted: number;
  /** Threads whose choice here leads to what is known already. */
  asleep: number;
  done: number;
  chosen: number;
  /** Threads that others try. */
  given: number;
  /** Races add nothing any more: every thread is tried by somebody. */
  isClosed: boolean;
  /** What the threads were about to do; empty until the execution has come here again. */
  operations: readonly (Operation | undefined)[];
}

/** A choice that is no thread (who of several sleepers is woken): every alternative is tried, by others when it is closed. */
export interface Choice {
  count: number;
  taken: number;
  isClosed: boolean;
}

/** Where a search is, in a form that JSON keeps. */
export interface DporState {
  decisions: Omit<Decision, 'operations'>[];
  /** By the number of events before them. */
  choices: [depth: number, here: Choice[]][];
}

export interface DporPart {
  /** What share of all traces it is thought to be. */
  weight: number;
  state: DporState;
}

/** Threads of a set. */
export function bits(mask: number): number[] {
  const found: number[] = [];
  for (let left = mask; left !== 0; left &= left - 1) found.push(31 - Math.clz32(left & -left));
  return found;
}

/** What the threads were about to do is seen again when the execution comes there. */
function withoutOperations(decision: Decision): Omit<Decision, 'operations'> {
  const { enabled, wanted, asleep, done, chosen, given, isClosed } = decision;
  return { enabled, wanted, asleep, done, chosen, given, isClosed };
}

function partOf(decisions: readonly Decision[], choices: DporState['choices']): DporPart {
  const ways = decisions.map(({ wanted, done, given, asleep, chosen }) => ({
    left: 1 + bits(wanted & ~done & ~asleep & ~(1 << chosen)).length,
    count: bits(((wanted | done | given) & ~asleep) | (1 << chosen)).length,
  }));
  return {
    weight: weightOf(ways),
    state: { decisions: decisions.map(withoutOperations), choices },
  };
}

/** The whole of what is left, the stack being that of the next execution. */
export function restOf(stack: readonly Decision[], choices: ReadonlyMap<number, readonly Choice[]>): DporPart {
  return partOf(
    stack,
    [...choices].map(([depth, here]) => [depth, here.map((choice) => ({ ...choice }))]),
  );
}

/** Closes the decisions nearest to the start until one has threads to give away, and gives them away. Changes the stack. */
export function divide(stack: Decision[], choices: ReadonlyMap<number, readonly Choice[]>): DporPart | undefined {
  for (const [depth, decision] of stack.entries()) {
    if (decision.isClosed && (decision.wanted & ~decision.done & ~(1 << decision.chosen)) === 0) continue;
    const { enabled, asleep, done, chosen, given } = decision;
    const others = enabled & ~asleep & ~done & ~given & ~(1 << chosen);
    decision.isClosed = true;
    decision.wanted = done | (1 << chosen);
    decision.given |= others;
    if (others === 0) continue;
    const part = {
      ...decision,
      wanted: others,
      // Who is tried here sleeps below them.
      done: done | given | (1 << chosen),
      given: 0,
      chosen: bits(others)[0]!,
    };
    const before = stack.slice(0, depth).map((each) => ({ ...each, wanted: 1 << each.chosen, given: each.given }));
    const fixed = [...choices]
      .filter(([at]) => at <= depth)
      .map(([at, here]): [number, Choice[]] => [at, here.map((choice) => ({ ...choice, isClosed: true }))]);
    return partOf([...before, part], fixed);
  }
  return undefined;
}
