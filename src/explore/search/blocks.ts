// Where a guess that a word's accesses are in order (ordered-words.ts) was wrong, found by the search itself. A thread's block is its last step that others may
// mind and the local ones behind it. What it touched there it has told nobody of yet, so that an access of another thread to the same word, one of
// the two a write, is in no order with it. And if there are two such accesses in any execution, there is one in blocks in which the second comes while the
// first one's block is its thread's last: leave out all that neither depends on, and put the two threads' last blocks where they belong. So a search that
// meets none has shown that there are none. The last blocks are a part of the state: else a state that was met before, but with others, would end the
// way on which they are met.
import { mixHigh, mixLow } from '../state-hash.js';

/** A word, and whether it was written. */
type Access = number;
const accessOf = (word: number, write: boolean): Access => word * 2 + (write ? 1 : 0);

/** By thread: what its last block touched of such words. Never changed, so that saved states share it. */
export interface Blocks {
  readonly threads: readonly ReadonlySet<Access>[];
  readonly low: number;
  readonly high: number;
}

const NOTHING: ReadonlySet<Access> = new Set();

export function noBlocks(threads: number): Blocks {
  return { threads: Array.from({ length: threads }, () => NOTHING), low: 0, high: 0 };
}

/** The blocks of all threads, as the step goes on that one of them makes. */
export class PresentBlocks {
  /** Words that turned out to be in no order. */
  readonly races: number[] = [];
  #blocks: Blocks;
  #open: Set<Access> | undefined;

  constructor(threads: number) {
    this.#blocks = noBlocks(threads);
  }

  /** As the last step left them. */
  get blocks(): Blocks {
    return this.#blocks;
  }

  set blocks(blocks: Blocks) {
    this.#blocks = blocks;
    this.#open = undefined;
  }

  /** The thread makes a step that others may mind. */
  begin(thread: number): void {
    if (this.#open === undefined && this.#blocks.threads[thread]!.size === 0) return;
    this.#open = new Set();
  }

  /** The thread touches a word whose accesses are taken to be in order. */
  touch(thread: number, word: number, write: boolean): void {
    this.#open ??= new Set(this.#blocks.threads[thread]);
    this.#open.add(accessOf(word, write));
    for (const [other, block] of this.#blocks.threads.entries()) {
      if (other === thread || block.size === 0) continue;
      if (block.has(accessOf(word, true)) || (write && block.has(accessOf(word, false)))) this.races.push(word);
    }
  }

  /** The thread's step is over. */
  end(thread: number): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    const { threads } = this.#blocks;
    let { low, high } = this.#blocks;
    const count = (access: Access, sign: number): void => {
      low = (low + sign * mixLow(access, thread + 1)) | 0;
      high = (high + sign * mixHigh(access, thread + 1)) | 0;
    };
    for (const access of threads[thread]!) count(access, -1);
    for (const access of open) count(access, 1);
    this.#blocks = { threads: threads.map((block, n) => (n === thread ? open : block)), low, high };
  }
}
