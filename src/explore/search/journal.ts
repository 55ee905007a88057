// The journal of a search over states, as seen from outside: it lies in the machine's own memory, behind all else, and is kept by the model's module
// (src/kernel/control/journal.ts), so that a step costs one call. A copy of every word as the search knows it comes first, then what each block of memory
// holds, then the journal, which grows.
import * as control from '../../kernel/abi/control.js';
import type { MachineExports } from '../machine-types.js';
import type { MachineMemory } from '../memory.js';

const PAGE = 65536;
const FIRST_PAGES = 8;
const ENTRY_WORDS = 2;
const END = control.CONTROL_JOURNAL_END / 4;
const LOW = control.CONTROL_HASH_LOW / 4;
const HIGH = control.CONTROL_HASH_HIGH / 4;

/** Makes room behind a memory that has none yet. */
function place({ memory, words, stateEnd }: MachineMemory): void {
  if (words[control.CONTROL_KNOWN / 4] !== 0) return;
  const known = memory.buffer.byteLength;
  const sorts = known * 2;
  const journal = sorts + Math.ceil((stateEnd >>> control.BLOCK_SHIFT) / PAGE) * PAGE;
  const limit = journal + FIRST_PAGES * PAGE;
  memory.grow((limit - known) / PAGE);
  words[control.CONTROL_KNOWN / 4] = known;
  words[control.CONTROL_SORTS / 4] = sorts;
  words[control.CONTROL_JOURNAL / 4] = journal;
  words[control.CONTROL_JOURNAL_LIMIT / 4] = limit;
}

export class Journal {
  readonly #memory: WebAssembly.Memory;
  readonly #exports: MachineExports;
  readonly #words: Int32Array;
  /** Word index of the copy of word 0. */
  readonly #known: number;
  readonly #start: number;

  /** `sorts`: what each block of memory holds, SORT_*. A memory has one journal at a time. */
  constructor(memory: MachineMemory, exports: MachineExports, sorts: Uint8Array) {
    place(memory);
    this.#memory = memory.memory;
    this.#exports = exports;
    const bytes = new Uint8Array(memory.memory.buffer);
    this.#words = new Int32Array(memory.memory.buffer);
    const known = memory.words[control.CONTROL_KNOWN / 4]! >>> 0;
    this.#known = known / 4;
    this.#start = memory.words[control.CONTROL_JOURNAL / 4]! >>> 0;
    bytes.set(sorts, memory.words[control.CONTROL_SORTS / 4]! >>> 0);
    this.#words[END] = this.#start;
    bytes.copyWithin(known, 0, known);
    this.low = this.high = 0;
  }

  get low(): number {
    return this.#words[LOW]!;
  }

  set low(value: number) {
    this.#words[LOW] = value;
  }

  get high(): number {
    return this.#words[HIGH]!;
  }

  set high(value: number) {
    this.#words[HIGH] = value;
  }

  /** End of what is in use: where `back` can go to. */
  get end(): number {
    return this.#words[END]! >>> 0;
  }

  /** The word as the search knows it; 0 where no later step reads. */
  known(index: number): number {
    return this.#words[this.#known + index]!;
  }

  /** A word counts as `value` from here on. */
  note(index: number, value: number): void {
    this.#exports.journalNote(index * 4, value);
  }

  /** Undoes all changes behind an earlier end, in memory too. The hash is the caller's to put back. */
  back(end: number): void {
    this.#exports.journalBack(end);
  }

  /** Indices of the words changed since the beginning, each once. */
  changed(): Set<number> {
    const entries = new Uint32Array(this.#memory.buffer, this.#start, (this.end - this.#start) / 4);
    const found = new Set<number>();
    for (let at = 0; at < entries.length; at += ENTRY_WORDS) found.add(entries[at]! >>> 2);
    return found;
  }
}
