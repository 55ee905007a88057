// Making a failing schedule small: fewest threads that run, then fewest preemptions, then fewest switches (fewer.ts has taken needless operations away
// before). The caller says what is the same failure. After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (ddmin), TSE 2002.
import { type Block, type Deviation, deviationsOf } from './deviations.js';

/** Tries left, so that making it small ends in time even when a try is dear. */
export class Budget {
  #left: number;
  readonly #deadline: number;
  readonly #nowMs: () => number;

  constructor(tries: number, milliseconds: number, nowMs: () => number) {
    this.#left = tries;
    this.#nowMs = nowMs;
    this.#deadline = nowMs() + milliseconds;
  }

  /** Takes one try; false when there is none left. */
  take(): boolean {
    return this.#left-- > 0 && this.#nowMs() < this.#deadline;
  }
}

/**
 * A list of `items` of which none can be left out (alone) with the failure staying: ddmin. `fails` is asked about sublists in the same order, never
 * about the whole list.
 */
export function ddmin<T>(items: readonly T[], fails: (items: readonly T[]) => boolean, budget: Budget): T[] {
  let list = [...items];
  if (list.length > 0 && budget.take() && fails([])) return [];
  for (let parts = 2; list.length >= 2;) {
    const size = Math.ceil(list.length / parts);
    const smaller = smallerList(list, size, parts, fails, budget);
    if (smaller !== undefined) {
      parts = smaller.length === size ? 2 : Math.max(2, parts - 1);
      list = smaller;
    } else {
      if (size === 1) break;
      parts = Math.min(list.length, parts * 2);
    }
  }
  return list;
}

/** A part of the list that fails, or else the list without a part. */
function smallerList<T>(
  list: readonly T[],
  size: number,
  parts: number,
  fails: (items: readonly T[]) => boolean,
  budget: Budget,
): T[] | undefined {
  const cuts: [start: number, end: number][] = [];
  for (let start = 0; start < list.length; start += size) cuts.push([start, Math.min(start + size, list.length)]);
  if (parts > 2) {
    for (const [start, end] of cuts) {
      const part = list.slice(start, end);
      if (!budget.take()) return undefined;
      if (fails(part)) return part;
    }
  }
  for (const [start, end] of cuts) {
    const rest = [...list.slice(0, start), ...list.slice(end)];
    if (!budget.take()) return undefined;
    if (fails(rest)) return rest;
  }
  return undefined;
}

/** What a try came to, when it failed in the same way: how the schedule it really ran differs from the default. */
export interface Failing {
  deviations: readonly Deviation[];
  blocks: readonly Block[];
  preemptions: number;
  switches: number;
  /** Steps in all. */
  length: number;
}

const threadsOf = ({ blocks }: Failing): number => new Set(blocks.map(({ thread }) => thread)).size;

function better(a: Failing, b: Failing): boolean {
  if (threadsOf(a) !== threadsOf(b)) return threadsOf(a) < threadsOf(b);
  if (a.preemptions !== b.preemptions) return a.preemptions < b.preemptions;
  if (a.switches !== b.switches) return a.switches < b.switches;
  return a.deviations.length !== b.deviations.length ? a.deviations.length < b.deviations.length : a.length < b.length;
}

/**
 * A smaller schedule with the same failure. `attempt` runs a list of deviations and says what it came to; undefined when it passed or failed in
 * another way. Beside ddmin, two blocks of a thread are tried as one, at the place of the first and of the second.
 */
export function minimiseSchedule(
  failing: Failing,
  attempt: (deviations: readonly Deviation[]) => Failing | undefined,
  budget: Budget,
): Failing {
  let best = failing;
  const fails = (deviations: readonly Deviation[]): boolean => {
    const found = attempt(deviations);
    if (found !== undefined && better(found, best)) best = found;
    return found !== undefined;
  };
  for (let before: Failing | undefined; before !== best;) {
    before = best;
    ddmin(best.deviations, fails, budget);
    for (const blocks of [...withoutThread(best.blocks), ...merged(best.blocks)]) {
      if (!budget.take()) return best;
      fails(deviationsOf(blocks));
    }
  }
  return best;
}

/** The blocks of all threads but one. */
function withoutThread(blocks: readonly Block[]): Block[][] {
  const threads = [...new Set(blocks.map(({ thread }) => thread))];
  return threads.length === 1 ? [] : threads.map((left) => blocks.filter(({ thread }) => thread !== left));
}

/** Each block joined with the next one of its thread. */
function* merged(blocks: readonly Block[]): Generator<Block[]> {
  for (const [n, { thread, steps }] of blocks.entries()) {
    const next = blocks.findIndex((block, at) => at > n && block.thread === thread);
    if (next < 0) continue;
    const joined = { thread, steps: steps + blocks[next]!.steps };
    yield blocks.with(next, joined).toSpliced(n, 1);
    yield blocks.with(n, joined).toSpliced(next, 1);
  }
}
