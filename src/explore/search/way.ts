// A state on the way from the start, as another thread or a later search can take it up: by making the steps again.

export interface Way {
  /** Threads whose steps were to be tried at first (how many), and those that are left, a bit each. */
  ways: number;
  todo: number;
  /** The thread that was tried last, and how many steps it made; -1 and 0 before the first. */
  chosen: number;
  steps: number;
  /** To the choices within the chosen thread's step: what they were answered, and what they will be the next time. */
  answers: readonly number[];
  again: readonly number[] | undefined;
}

/** What a way adds to the schedule: a choice is made in the last of its steps only. */
export function picks({ chosen, steps, answers }: Way): number[] {
  return [...Array.from({ length: steps }, () => chosen), ...answers];
}

/** Threads of a set. */
export function countThreads(mask: number): number {
  let threads = 0;
  for (let left = mask; left !== 0; left &= left - 1) threads++;
  return threads;
}

/** A part of a search: the ways from the start to where it is, and which share of all it is thought to be. */
export interface Part {
  weight: number;
  ways: readonly Way[];
}

/** Weights in words. */
const WHOLE = 2 ** 30;

/** A part as a list of words. */
export function encodePart({ weight, ways }: Part): Int32Array {
  const words = [Math.round(weight * WHOLE)];
  for (const { ways: count, todo, chosen, steps, answers, again } of ways) {
    words.push(count, todo, chosen, steps, answers.length, ...answers, again === undefined ? -1 : again.length);
    if (again !== undefined) words.push(...again);
  }
  return Int32Array.from(words);
}

export function decodePart(words: Int32Array): Part {
  const ways: Way[] = [];
  let at = 1;
  const list = (length: number): number[] => [...words.subarray(at, (at += length))];
  while (at < words.length) {
    const [count, todo, chosen, steps, answered] = list(5) as [number, number, number, number, number];
    const answers = list(answered);
    const more = words[at++]!;
    ways.push({ ways: count, todo, chosen, steps, answers, again: more < 0 ? undefined : list(more) });
  }
  return { weight: words[0]! / WHOLE, ways };
}
