// The gate of a group of threads that make one attempt after another together: the starter lets them off, they start at once, and it waits for all.
import type { ShardHandle } from './shard.js';

/** What a thread of such a group gets: the kernel whose task it is in every attempt, and the gate. */
export interface GateTask {
  handle: ShardHandle;
  /** From 1; the starter is task 0. */
  task: number;
  threads: number;
  gate: SharedArrayBuffer;
}

/** Attempts that were started; -1: no more come. */
const STARTED = 0;
/** Threads that have come to the line, and that are through, over all attempts. */
const READY = 1;
const DONE = 2;
const WORDS = 3;
/** Turns of a loop, some hundred microseconds. */
const PATIENCE = 20_000;
const ROUND_MS = 100;

export class Gate {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #threads: number;
  #attempt = 0;

  /** With a buffer: a thread's view of the gate of another thread. */
  constructor(threads: number, buffer = new SharedArrayBuffer(WORDS * 4)) {
    this.#threads = threads;
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** The starter: lets all threads make the next attempt. Whether all are through within the time; blocks the thread meanwhile. */
  run(limitMs: number): boolean {
    this.#open(++this.#attempt);
    const through = this.#attempt * this.#threads;
    for (let waitedMs = 0; waitedMs < limitMs; waitedMs += ROUND_MS) {
      for (let done = this.#load(DONE); done < through; done = this.#load(DONE)) {
        if (Atomics.wait(this.#words, DONE, done, ROUND_MS) === 'timed-out') break;
      }
      if (this.#load(DONE) >= through) return true;
    }
    return false;
  }

  /** The starter: no more attempts. */
  close(): void {
    this.#open(-1);
  }

  /** A thread: waits for the next attempt. False when no more come. */
  next(): boolean {
    Atomics.wait(this.#words, STARTED, this.#attempt++);
    return this.#load(STARTED) >= 0;
  }

  /** A thread: starts with the others. Who is woken late is waited for, and given the CPU when that takes long. */
  line(): void {
    Atomics.add(this.#words, READY, 1);
    const ready = this.#attempt * this.#threads;
    for (let turns = 0, come = 0; (come = this.#load(READY)) < ready; turns++) {
      if (turns > PATIENCE) Atomics.wait(this.#words, READY, come, 1);
    }
  }

  /** A thread: is through. */
  through(): void {
    Atomics.add(this.#words, DONE, 1);
    Atomics.notify(this.#words, DONE);
  }

  #load(word: number): number {
    return Atomics.load(this.#words, word);
  }

  #open(started: number): void {
    Atomics.store(this.#words, STARTED, started);
    Atomics.notify(this.#words, STARTED);
  }
}
