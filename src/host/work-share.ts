// Work that threads share out among themselves: a bag of jobs in shared memory. A thread that has none takes one or waits; a thread that has much puts a
// part of it into the bag when somebody waits; when the bag is empty and nobody works any more, all is done. A job is a list of words, whose meaning
// is the caller's. After Dijkstra and Scholten, "Termination Detection for Diffusing Computations", 1980, made simple by a counter of unfinished jobs.

export interface WorkShareHandle {
  buffer: SharedArrayBuffer;
  workers: number;
  jobs: number;
  jobWords: number;
}

// Header words.
const LOCK = 0;
/** Jobs that are not finished: in the bag, or somebody's. */
const UNFINISHED = 1;
const IN_BAG = 2;
const WAITING = 3;
const STOPPED = 4;
const HEADER_WORDS = 16;
/** What each worker tells of itself: so many numbers, f64. */
export const NOTES = 8;
/** Waiting threads look again after so long, should a wake-up have come too early. */
const LOOK_MS = 100;

export class WorkShare {
  readonly handle: WorkShareHandle;
  readonly #words: Int32Array;
  readonly #notes: Float64Array;
  readonly #first: number;

  private constructor(handle: WorkShareHandle) {
    this.handle = handle;
    this.#words = new Int32Array(handle.buffer);
    this.#notes = new Float64Array(handle.buffer, HEADER_WORDS * 4, handle.workers * NOTES);
    this.#first = HEADER_WORDS + handle.workers * NOTES * 2;
  }

  /** An empty bag for up to `jobs` jobs of up to `jobWords` words each. */
  static create(workers: number, jobs: number, jobWords: number): WorkShare {
    const words = HEADER_WORDS + workers * NOTES * 2 + jobs * (jobWords + 1);
    return new WorkShare({ buffer: new SharedArrayBuffer(words * 4), workers, jobs, jobWords });
  }

  /** The same bag on another thread. */
  static attach(handle: WorkShareHandle): WorkShare {
    return new WorkShare(handle);
  }

  /** Somebody waits for a job that is not in the bag. */
  get isWanted(): boolean {
    return Atomics.load(this.#words, WAITING) > Atomics.load(this.#words, IN_BAG);
  }

  /** Jobs in the bag. */
  get length(): number {
    return Atomics.load(this.#words, IN_BAG);
  }

  /** Puts a job in; false when there is no room, or the job is too long: it stays the caller's. */
  put(job: Int32Array): boolean {
    const { jobs, jobWords } = this.handle;
    if (job.length > jobWords) return false;
    this.#lock();
    const at = Atomics.load(this.#words, IN_BAG);
    if (at < jobs) {
      const slot = this.#first + at * (jobWords + 1);
      this.#words[slot] = job.length;
      this.#words.set(job, slot + 1);
      Atomics.add(this.#words, UNFINISHED, 1);
      Atomics.store(this.#words, IN_BAG, at + 1);
    }
    this.#unlock();
    Atomics.notify(this.#words, IN_BAG, 1);
    return at < jobs;
  }

  /** A job, which is the caller's until `finish`; waits for one. Undefined: all are finished, or the work was stopped. Blocks the thread. */
  take(): Int32Array | undefined {
    Atomics.add(this.#words, WAITING, 1);
    try {
      while (!this.isStopped) {
        const job = this.takeNow();
        if (job !== undefined) return job;
        if (Atomics.load(this.#words, UNFINISHED) === 0) return undefined;
        Atomics.wait(this.#words, IN_BAG, 0, LOOK_MS);
      }
      return undefined;
    } finally {
      Atomics.sub(this.#words, WAITING, 1);
    }
  }

  /** A job from the bag; undefined when it is empty. */
  takeNow(): Int32Array | undefined {
    this.#lock();
    const at = Atomics.load(this.#words, IN_BAG) - 1;
    let job: Int32Array | undefined;
    if (at >= 0) {
      const slot = this.#first + at * (this.handle.jobWords + 1);
      job = this.#words.slice(slot + 1, slot + 1 + this.#words[slot]!);
      Atomics.store(this.#words, IN_BAG, at);
    }
    this.#unlock();
    return job;
  }

  /** The caller's job is done. */
  finish(): void {
    if (Atomics.sub(this.#words, UNFINISHED, 1) === 1) Atomics.notify(this.#words, IN_BAG);
  }

  /** Nobody takes a job any more, and who works is asked to leave off. */
  stop(): void {
    Atomics.store(this.#words, STOPPED, 1);
    Atomics.notify(this.#words, IN_BAG);
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, STOPPED) !== 0;
  }

  /** What a worker tells of itself, for those who watch: written by itself, read by anybody. */
  note(worker: number, which: number, value: number): void {
    this.#notes[worker * NOTES + which] = value;
  }

  /** Sum of what all workers tell. */
  sum(which: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.handle.workers; worker++) sum += this.#notes[worker * NOTES + which]!;
    return sum;
  }

  /** Held for a copy of a job: nobody sleeps with it. */
  #lock(): void {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0) Atomics.wait(this.#words, LOCK, 1, 1);
  }

  #unlock(): void {
    Atomics.store(this.#words, LOCK, 0);
    Atomics.notify(this.#words, LOCK, 1);
  }
}
