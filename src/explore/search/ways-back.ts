// The ways back to the start that a breadth-first search keeps: for every state the entry of the state before it and the thread that ran in between. Of a
// search that was stopped only the ways to states that still wait are kept, and the states are made again from them.
import { UsageError } from '../../host/errors.js';
import type { SearchMachine } from './machine.js';

const THREAD_BITS = 5;

/** An entry as one number: the entry before it (-1: none, this is the start) and the thread whose step led on. */
export function entryWord(parent: number, thread: number): number {
  return (parent + 1) * 2 ** THREAD_BITS + thread;
}

export function parentOf(word: number): number {
  return Math.floor(word / 2 ** THREAD_BITS) - 1;
}

export function threadOf(word: number): number {
  return word % 2 ** THREAD_BITS;
}

/** Whether these can be entries: the start, and others that each come from one before them. */
export function areWays(words: Float64Array): boolean {
  return words.every((word, entry) => {
    const parent = parentOf(word);
    return Number.isInteger(word) && (entry === 0 ? parent === -1 : parent >= 0 && parent < entry);
  });
}

/** Entries, each behind the one before it; the last `waiting` of them are states that wait. */
export interface WaysBack {
  words: Float64Array;
  /** By entry: what the choices within its step were answered, where there were any. */
  answers: ReadonlyMap<number, readonly number[]>;
  waiting: number;
}

/** Of all entries those that lead to the last `waiting` ones, numbered anew. */
export function waysTo(
  waiting: number,
  words: Float64Array,
  answers: ReadonlyMap<number, readonly number[]>,
): WaysBack {
  const first = words.length - waiting;
  const isKept = new Uint8Array(words.length).fill(1, first);
  for (let entry = words.length - 1; entry > 0; entry--) if (isKept[entry] === 1) isKept[parentOf(words[entry]!)] = 1;
  const numbers = new Int32Array(words.length);
  const kept: number[] = [];
  const keptAnswers = new Map<number, readonly number[]>();
  for (let entry = 0; entry < words.length; entry++) {
    if (isKept[entry] === 0) continue;
    const word = words[entry]!;
    const parent = parentOf(word);
    numbers[entry] = kept.length;
    const given = answers.get(entry);
    if (given !== undefined) keptAnswers.set(kept.length, given);
    kept.push(entryWord(parent < 0 ? -1 : numbers[parent]!, threadOf(word)));
  }
  return { words: Float64Array.from(kept), answers: keptAnswers, waiting };
}

/** The states that wait, made again by going every way once. The machine is at the start, and somewhere else afterwards. Throws UsageError when a way fails. */
export function statesAt<S>(machine: SearchMachine<S>, { words, answers, waiting }: WaysBack): S[] {
  const first = words.length - waiting;
  if (first === 0) return [machine.save()];
  const children: number[][] = Array.from(words, () => []);
  for (let entry = words.length - 1; entry > 0; entry--) children[parentOf(words[entry]!)]!.push(entry);
  const states: S[] = Array.from({ length: waiting });
  const way = [{ entry: 0, mark: machine.mark() }];
  for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
    const next = children[top.entry]!.pop();
    if (next === undefined) {
      way.pop();
      continue;
    }
    machine.back(top.mark);
    const thread = threadOf(words[next]!);
    if ((machine.enabled() & (1 << thread)) === 0 || machine.step(thread, answers.get(next)) !== undefined)
      throw new UsageError('--resume', '--resume: a way that was gone before cannot be gone: ways.bin is damaged');
    // Nobody has gone on from a state that waits.
    if (next >= first) states[next - first] = machine.save();
    else way.push({ entry: next, mark: machine.mark() });
  }
  return states;
}
