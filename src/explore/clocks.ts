// Vector clocks in flat arrays: for each thread what it knows of every other, for each word that atomics touch what its last writers knew.
// After Flanagan and Freund, "FastTrack: Efficient and Precise Dynamic Race Detection", PLDI 2009; here for Wasm's sequentially consistent atomics.

/** Threads that an epoch's low bits can name; thread 0 is the set-up. */
export const MAX_THREADS = 16;
const THREAD_BITS = 4;
const CLOCK_LIMIT = 2 ** 27;

/** A moment of one thread in one number: clock above, thread in the low bits; 0 is "never". */
export function epochThread(epoch: number): number {
  return epoch & (MAX_THREADS - 1);
}

function epochClock(epoch: number): number {
  return epoch >>> THREAD_BITS;
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

  /** row := the later of row and other's `from`, thread by thread. */
  join(row: number, other: ClockTable, from: number): void {
    const to = row * MAX_THREADS;
    const at = from * MAX_THREADS;
    for (let n = 0; n < MAX_THREADS; n++) {
      const clock = other.#rows[at + n]!;
      if (clock > this.#rows[to + n]!) this.#rows[to + n] = clock;
    }
  }

  copy(row: number, other: ClockTable, from: number): void {
    const at = from * MAX_THREADS;
    this.#rows.set(other.#rows.subarray(at, at + MAX_THREADS), row * MAX_THREADS);
  }

  /** Forgets every row. */
  clear(): void {
    this.#rows.fill(0, 0, this.#used * MAX_THREADS);
    this.#used = 0;
  }
}

/** What each thread knows of the others: the happens-before order so far. */
export class ThreadClocks {
  readonly table = new ClockTable(MAX_THREADS);
  #base = 0;

  constructor() {
    for (let thread = 0; thread < MAX_THREADS; thread++) this.table.add();
  }

  /**
   * Starts an execution in which everything before happened before everything that comes: no cell has to be cleared. False when the
   * clocks have run so high that the caller must clear the cells after all.
   */
  restart(): boolean {
    let highest = this.#base;
    for (let thread = 0; thread < MAX_THREADS; thread++) highest = Math.max(highest, this.table.get(thread, thread));
    const fits = highest + 1 < CLOCK_LIMIT;
    this.#base = fits ? highest : 0;
    for (let thread = 0; thread < MAX_THREADS; thread++) {
      for (let other = 0; other < MAX_THREADS; other++) this.table.set(thread, other, this.#base);
      this.tick(thread);
    }
    return fits;
  }

  /** The present moment of a thread. */
  epoch(thread: number): number {
    return (this.table.get(thread, thread) << THREAD_BITS) | thread;
  }

  /** Whether what happened at `epoch` is known to `thread`, that is, happened before its next step. */
  knows(thread: number, epoch: number): boolean {
    return epochClock(epoch) <= this.table.get(thread, epochThread(epoch));
  }

  /** The thread that `row` of `cells` holds a moment of which `thread` does not know; -1 when it knows all. */
  unknownIn(thread: number, cells: ClockTable, row: number): number {
    for (let other = 0; other < MAX_THREADS; other++) {
      if (cells.get(row, other) > this.table.get(thread, other)) return other;
    }
    return -1;
  }

  /** The thread's next step is later than all it has let others know. */
  tick(thread: number): void {
    this.table.set(thread, thread, this.table.get(thread, thread) + 1);
  }
}
