// Which words only one thread ever touches, or nobody writes: a step that touches nothing else can be made at once, because it commutes with every step of
// the others, so that the search need not branch there. What is local is not known before all has been seen: a word counts as local until two
// threads meet at it. A search that has met such a word late begins anew, knowing it; only one that met none is an answer.
// An ample set of one thread (Peled 1993; Clarke et al., "Model Checking", section 10.5: independent, invisible, and no loop of such steps alone,
// since a thread that waits for others turns a loop of reads that they write to).
import * as control from '../../kernel/abi/control.js';
import {
  POINT_COPY,
  POINT_FILL,
  POINT_FUTEX_WAIT,
  POINT_FUTEX_WAKE,
  POINT_LOAD,
  POINT_RELAX,
  POINT_STORE,
} from '../../kernel/abi/point.js';
import { MAX_THREADS } from '../clocks.js';
import { seedOf } from '../random.js';
import { RandomWalk } from '../strategies/random.js';
import type { Strategy, View } from '../strategy.js';
import type { Target } from '../target.js';
import { AccessLog, orderedWords } from './ordered-words.js';

// A word's byte: 0 not met yet, thread + 1 while only that thread has touched it, with WRITTEN once it wrote.
const WRITTEN = 0x40;
/** Read by several, written by nobody. */
const READ = 0x80;
/** Touched by several, but other words put all accesses to it in order (ordered-words.ts). */
const ORDERED = 0xfe;
const SHARED = 0xff;

/** What is known of all words, for other threads and for later searches. */
export interface LocalityTable {
  words: Uint8Array;
  spinners: number;
}

/** Two threads' knowledge of a word put together. */
function together(a: number, b: number): number {
  if (a === 0 || b === 0) return a | b;
  if (a === SHARED || b === SHARED) return SHARED;
  if (a === ORDERED || b === ORDERED) return ORDERED;
  if (a !== READ && b !== READ && (a & ~WRITTEN) === (b & ~WRITTEN)) return a | b;
  const isOnlyRead = (known: number): boolean => known === READ || (known & WRITTEN) === 0;
  return isOnlyRead(a) && isOnlyRead(b) ? READ : SHARED;
}

/** Puts together what several searches have learned. `isNews`: for one of them a word or a spin loop counted as local that is not. */
export function joinLocality(tables: readonly LocalityTable[]): LocalityTable & { isNews: boolean } {
  const words = tables[0]!.words.slice();
  for (const { words: more } of tables.slice(1)) {
    for (let word = 0; word < words.length; word++) {
      if (words[word] !== more[word]) words[word] = together(words[word]!, more[word]!);
    }
  }
  const spinners = tables.reduce((all, table) => all | table.spinners, 0);
  const isNews = tables.some(
    (table) =>
      table.spinners !== spinners ||
      table.words.some((known, word) => known !== 0 && known !== SHARED && words[word] === SHARED),
  );
  return { words, spinners, isNews };
}

export class Locality {
  readonly #words: Uint8Array;
  readonly #spinsAreEndless: boolean;
  /** Threads that turn spin loops: a bit each. Any write of another thread lets them turn once more, and how often they turn can matter. */
  #spinners = 0;
  /** Words were found to be shared since this was last false. */
  changed = false;

  /** `spinsAreEndless`: it does not matter how often (Target.spinsAreEndless). */
  constructor(stateEnd: number, spinsAreEndless = false) {
    this.#spinsAreEndless = spinsAreEndless;
    this.#words = new Uint8Array(stateEnd >>> 2);
  }

  /** Takes over what others have learned. */
  load({ words, spinners }: LocalityTable): void {
    this.#words.set(words);
    this.#spinners = spinners;
  }

  table(): LocalityTable {
    return { words: this.#words.slice(), spinners: this.#spinners };
  }

  /** Whether what `thread` announces touches only words that, as far as is known, no other thread minds. */
  isLocal(view: View, thread: number): boolean {
    if (!this.#spinsAreEndless && view.writes(thread) && (this.#spinners & ~(1 << thread)) !== 0) return false;
    return this.#touchesLocal(view, thread);
  }

  /** Whether a write concerns no thread that spins. */
  isQuiet(view: View, thread: number): boolean {
    return this.#spinsAreEndless && this.#touchesLocal(view, thread);
  }

  #touchesLocal(view: View, thread: number): boolean {
    const kind = view.kind(thread);
    if (kind === 0 || kind === POINT_RELAX || kind === POINT_FUTEX_WAIT || kind === POINT_FUTEX_WAKE) return false;
    const bytes = view.bytes(thread);
    if (kind === POINT_COPY && !this.#isLocal(thread, view.low(thread) >>> 0, bytes, false)) return false;
    return this.#isLocal(thread, view.address(thread), bytes, view.writes(thread));
  }

  #isLocal(thread: number, address: number, bytes: number, writes: boolean): boolean {
    const end = (address + Math.max(1, bytes) + 3) >>> 2;
    for (let word = address >>> 2; word < end; word++) {
      const known = this.#words[word]!;
      if (known === 0 || known === ORDERED || (known & ~WRITTEN) === thread + 1) continue;
      if (known === READ ? writes : writes || known === SHARED || (known & WRITTEN) !== 0) return false;
    }
    return true;
  }

  /** Calls back for each word of what `thread` announces whose accesses are taken to be in order. */
  eachOrdered(view: View, thread: number, call: (word: number, write: boolean) => void): void {
    const kind = view.kind(thread);
    if (kind === 0 || kind === POINT_RELAX) return;
    const bytes = Math.max(1, view.bytes(thread));
    const range = (address: number, write: boolean): void => {
      for (let word = address >>> 2; word < (address + bytes + 3) >>> 2; word++)
        if (this.#words[word] === ORDERED) call(word, write);
    };
    if (kind === POINT_COPY) range(view.low(thread) >>> 0, false);
    range(view.address(thread), view.writes(thread));
  }

  /** Words that several threads have met at. */
  shared(): number[] {
    return this.#wordsThatAre(SHARED);
  }

  /** Those of them whose accesses are taken to be in order. */
  ordered(): number[] {
    return this.#wordsThatAre(ORDERED);
  }

  #wordsThatAre(known: number): number[] {
    const found: number[] = [];
    for (let word = this.#words.indexOf(known); word >= 0; word = this.#words.indexOf(known, word + 1))
      found.push(word);
    return found;
  }

  /** Takes the accesses to a shared word to be in order. */
  setOrdered(word: number): void {
    this.#words[word] = ORDERED;
  }

  /** The accesses to a word are in no order after all. */
  setShared(word: number): void {
    if (this.#words[word] === SHARED) return;
    this.#words[word] = SHARED;
    this.changed = true;
  }

  /** Takes note of what `thread` announces and does now. */
  note(view: View, thread: number): void {
    const kind = view.kind(thread);
    // Who waits for a write to a word has touched it before.
    if (kind === POINT_RELAX && view.address(thread) === 0) this.#noteSpinner(thread);
    if (kind === 0 || kind === POINT_RELAX || kind === POINT_FUTEX_WAKE) return;
    const bytes = view.bytes(thread);
    if (kind === POINT_COPY) this.#note(thread, view.low(thread) >>> 0, bytes, false);
    this.#note(thread, view.address(thread), bytes, view.writes(thread));
  }

  #noteSpinner(thread: number): void {
    if ((this.#spinners & (1 << thread)) !== 0) return;
    this.#spinners |= 1 << thread;
    this.changed = true;
  }

  #note(thread: number, address: number, bytes: number, writes: boolean): void {
    const words = this.#words;
    const end = (address + Math.max(1, bytes) + 3) >>> 2;
    for (let word = address >>> 2; word < end; word++) {
      const known = words[word]!;
      if (known === SHARED || known === ORDERED) continue;
      if (known === 0 || (known & ~WRITTEN) === thread + 1) {
        words[word] = known | (thread + 1) | (writes ? WRITTEN : 0);
      } else if (!writes && (known === READ || (known & WRITTEN) === 0)) {
        words[word] = READ;
      } else {
        words[word] = SHARED;
        this.changed = true;
      }
    }
  }
}

/** A walk that takes note of all that it does. */
class Probe extends RandomWalk implements Strategy {
  readonly #locality: Locality;
  readonly #log: AccessLog;

  constructor(locality: Locality, log: AccessLog, switches: number) {
    super(switches);
    this.#locality = locality;
    this.#log = log;
  }

  performed(thread: number, view: View): void {
    this.#locality.note(view, thread);
    this.#log.note(thread, view);
  }
}

const PROBES = 60;
const SWITCHES = [0.002, 0.02, 0.2, 1] as const;

const PLAIN = new Set<number>([POINT_LOAD, POINT_STORE, POINT_FILL, POINT_COPY]);

/**
 * What random executions touch, plain accesses included: so most shared words are known before a search begins, and whose accesses are in order. Leaves
 * the machine at rest.
 */
export function probeLocality({ machine, spinsAreEndless }: Target): Locality {
  const { map, stateEnd } = machine.memory;
  const locality = new Locality(stateEnd, spinsAreEndless);
  const log = new AccessLog();
  const announced = map.slice();
  for (let word = 0; word < map.length; word++) {
    if (map[word] !== 0) map[word] = control.MAP_ATOMIC | control.MAP_PLAIN;
  }
  for (let n = 0; n < PROBES; n++) {
    const probe = new Probe(locality, log, SWITCHES[n % SWITCHES.length]!);
    probe.begin(n, seedOf(1, n));
    log.begin();
    machine.run(probe);
  }
  map.set(announced);
  if (machine.threadCount < MAX_THREADS) {
    const isPoint = (word: number, kind: number): boolean =>
      (map[word]! & (PLAIN.has(kind) ? control.MAP_PLAIN : control.MAP_ATOMIC)) !== 0;
    for (const word of orderedWords(log, locality.shared(), isPoint)) locality.setOrdered(word);
  }
  locality.changed = false;
  return locality;
}
