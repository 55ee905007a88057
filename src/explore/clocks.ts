// Vector clocks in flat arrays: for each thread what it knows of every other, for each word that atomics touch what its last writers knew.
// After Flanagan and Freund, "FastTrack: Efficient and Precise Dynamic Race Detection", PLDI 2009; here for Wasm's sequentially consistent atomics.

/** Threads that an epoch's low bits can name; thread 0 is the set-up. */
export const MAX_THREADS = 16;
export const THREAD_BITS = 4;
const CLOCK_LIMIT = 2 ** 27;

/** A moment of one thread in one number: clock above, thread in the low bits; 0 is "never". */
export function epochThread(epoch: number): number {
  return epoch & (MAX_THREADS - 1);
}

/** Rows of MAX_THREADS clocks that grow as they are asked for. */
export class ClockTable {
  #rows: Uint32Array;
  #used = 0;

  constructor(rows: number) {
    this.#rows = new Uint32Array(Math.max(1, rows) * MAX_THREADS);
  }

  /** A fresh row of zeroes; its number. */
  add(): number {
    const row = this.#used++;
    if (row * MAX_THREADS === this.#rows.length) {
      const larger = new Uint32Array(this.#rows.length * 2);
      larger.set(this.#rows);
      this.#rows = larger;
    }
    return row;
  }

  get(row: number, thread: number): number {
    return this.#rows[row * MAX_THREADS + thread]!;
  }

  set(row: number, thread: number, clock: number): void {
    this.#rows[row * MAX_THREADS + thread] = clock;
  }

  /** Forgets every row. */
  clear(): void {
    this.#rows.fill(0, 0, this.#used * MAX_THREADS);
    this.#used = 0;
  }
}

/** What each thread knows of the others: the happens-before order so far. */
export class ThreadClocks {
  /** Row t, column u: the last moment of u that t knows of. */
  readonly known = new Uint32Array(MAX_THREADS * MAX_THREADS);
  /** The present moment of each thread. */
  readonly now = new Uint32Array(MAX_THREADS);
  #base = 0;
  #threads = MAX_THREADS;

  /**
   * Starts an execution of `threads` threads in which everything before happened before everything that comes: no cell has to be cleared. False when
   * the clocks have run so high that the caller must clear the cells after all.
   */
  restart(threads: number): boolean {
    let highest = this.#base;
    for (const epoch of this.now) highest = Math.max(highest, epoch >>> THREAD_BITS);
    const fits = highest + 1 < CLOCK_LIMIT;
    this.#base = fits ? highest : 0;
    this.#threads = threads;
    this.known.fill(this.#base);
    for (let thread = 0; thread < MAX_THREADS; thread++) this.#set(thread, this.#base + 1);
    return fits;
  }

  #set(thread: number, clock: number): void {
    this.known[thread * MAX_THREADS + thread] = clock;
    this.now[thread] = (clock << THREAD_BITS) | thread;
  }

  /** Whether what happened at `epoch` is known to `thread`, that is, happened before its next step. */
  knows(thread: number, epoch: number): boolean {
    return epoch >>> THREAD_BITS <= this.known[thread * MAX_THREADS + (epoch & (MAX_THREADS - 1))]!;
  }

  /** A thread that `row` of `cells` holds a moment of which `thread` does not know; -1 when it knows all. */
  unknownIn(thread: number, cells: ClockTable, row: number): number {
    for (let other = 0; other < this.#threads; other++) {
      if (cells.get(row, other) > this.known[thread * MAX_THREADS + other]!) return other;
    }
    return -1;
  }

  /** The thread's next step is later than all it has let others know. */
  tick(thread: number): void {
    this.#set(thread, (this.now[thread]! >>> THREAD_BITS) + 1);
  }

  /** `thread` learns all that `other` knows. */
  learnFrom(thread: number, other: number): void {
    for (let n = 0; n < this.#threads; n++) {
      const clock = this.known[other * MAX_THREADS + n]!;
      if (clock > this.known[thread * MAX_THREADS + n]!) this.known[thread * MAX_THREADS + n] = clock;
    }
  }

  /** `thread` learns what a row of `cells` holds. */
  learn(thread: number, cells: ClockTable, row: number): void {
    for (let n = 0; n < this.#threads; n++) {
      const clock = cells.get(row, n);
      if (clock > this.known[thread * MAX_THREADS + n]!) this.known[thread * MAX_THREADS + n] = clock;
    }
  }

  /** A row of `cells` takes what `thread` knows: all of it (`replace`), or what is later than what it holds. */
  teach(thread: number, cells: ClockTable, row: number, replace: boolean): void {
    for (let n = 0; n < this.#threads; n++) {
      const clock = this.known[thread * MAX_THREADS + n]!;
      if (replace || clock > cells.get(row, n)) cells.set(row, n, clock);
    }
  }
}
