// Loops among the states of a depth-first search: its strongly connected components, each looked at when the search leaves it. Threads run for ever in one
// without a fair scheduler ending it if none of those that can run in all of its states is left out of all of its steps: a livelock. Looking at whole
// components is exact: a way round that runs more threads and meets more states is fair wherever a shorter one is.
// After Tarjan, "Depth-First Search and Linear Graph Algorithms", SIAM J. Comput. 1972; weak fairness as in Clarke et al., "Model Checking", chapter 7.

/** States that can reach one another. */
export interface Component {
  /** Their hashes: low, high, low, high, ... */
  hashes: readonly number[];
  /** Threads whose steps lead from one of them to another, a bit each. */
  ran: number;
  /** Threads that can run in all of them. */
  always: number;
  /** Threads that say in such a step that they get on: whether the loop is a failure is not known then (way-round.ts). */
  progressed: number;
}

const FIELDS = 6;
const [INDEX, LOW, HIGH, ENABLED, RAN, PROGRESSED] = [0, 1, 2, 3, 4, 5] as const;

export class Loops {
  /** Of each state whose component is not known yet, in the order they were met. */
  #entries = new Int32Array(1024 * FIELDS);
  #count = 0;
  #next = 1;

  /** Number of the next state: not 0. */
  get next(): number {
    return this.#next;
  }

  /** A state that was not met before; its place. */
  enter(low: number, high: number, enabled: number): number {
    if ((this.#count + 1) * FIELDS > this.#entries.length) {
      const larger = new Int32Array(this.#entries.length * 2);
      larger.set(this.#entries);
      this.#entries = larger;
    }
    const at = this.#count * FIELDS;
    this.#entries[at + INDEX] = this.#next++;
    this.#entries[at + LOW] = low;
    this.#entries[at + HIGH] = high;
    this.#entries[at + ENABLED] = enabled;
    this.#entries[at + RAN] = 0;
    this.#entries[at + PROGRESSED] = 0;
    return this.#count++;
  }

  /** The place of the state with a number, which the search has met again; -1: its component is done with, no way leads back from there. */
  placeOf(index: number): number {
    let [first, end] = [0, this.#count];
    while (first < end) {
      const middle = (first + end) >>> 1;
      const there = this.#entries[middle * FIELDS + INDEX]!;
      if (there === index) return middle;
      if (there < index) first = middle + 1;
      else end = middle;
    }
    return -1;
  }

  /** A step of `thread` leads from the state at a place to one of the same component. `progressed`: in it the thread says that it gets on. */
  ran(place: number, thread: number, progressed: boolean): void {
    this.#entries[place * FIELDS + RAN]! |= 1 << thread;
    if (progressed) this.#entries[place * FIELDS + PROGRESSED]! |= 1 << thread;
  }

  /** The search leaves the first state of a component: it is what was met since. Undefined when a fair scheduler ends it, or it is one state. */
  leave(place: number): Component | undefined {
    let [ran, always, progressed] = [0, -1, 0];
    for (let at = place * FIELDS; at < this.#count * FIELDS; at += FIELDS) {
      ran |= this.#entries[at + RAN]!;
      always &= this.#entries[at + ENABLED]!;
      progressed |= this.#entries[at + PROGRESSED]!;
    }
    const isEndless = ran !== 0 && (always & ~ran) === 0;
    const component = isEndless ? { hashes: this.#hashes(place), ran, always, progressed } : undefined;
    this.#count = place;
    return component;
  }

  #hashes(place: number): number[] {
    const hashes: number[] = [];
    for (let at = place * FIELDS; at < this.#count * FIELDS; at += FIELDS)
      hashes.push(this.#entries[at + LOW]! >>> 0, this.#entries[at + HIGH]! >>> 0);
    return hashes;
  }
}
