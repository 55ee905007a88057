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
/** Threads that have come up. */
const UP = 3;
const WORDS = 4;
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

  /** The starter: whether all threads come up within the time; blocks the thread meanwhile. To start one takes longer than any attempt. */
  comeUp(limitMs: number): boolean {
    return this.#await(UP, this.#threads, limitMs);
  }

  /** The starter: lets all threads make the next attempt. Whether all are through within the time; blocks the thread meanwhile. */
  run(limitMs: number): boolean {
    this.#open(++this.#attempt);
    return this.#await(DONE, this.#attempt * this.#threads, limitMs);
  }

  /** The starter: no more attempts. */
  close(): void {
    this.#open(-1);
  }

  /** A thread: has come up. */
  up(): void {
    this.#count(UP);
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
    this.#count(DONE);
  }

  #count(word: number): void {
    Atomics.add(this.#words, word, 1);
    Atomics.notify(this.#words, word);
  }

  /** Waits until the word has come to `least`; false when it has not within the time. */
  #await(word: number, least: number, limitMs: number): boolean {
    for (let waitedMs = 0; waitedMs < limitMs; waitedMs += ROUND_MS) {
      for (let count = this.#load(word); count < least; count = this.#load(word)) {
        if (Atomics.wait(this.#words, word, count, ROUND_MS) === 'timed-out') break;
      }
      if (this.#load(word) >= least) return true;
    }
    return false;
  }

  #load(word: number): number {
    return Atomics.load(this.#words, word);
  }

  #open(started: number): void {
    Atomics.store(this.#words, STARTED, started);
    Atomics.notify(this.#words, STARTED);
  }
}
