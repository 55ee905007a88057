// What a search over states keeps of memory, kept here because it is done at every step: the words as the search knows them (a copy of all memory, `known`
// bytes further up), their hash, and a journal of what each change replaced. Left out is what no later step reads: stacks above their tops, signs of
// life, what a finished thread last announced. Statistics are put back, too, but do not count in the hash. That is a sum of 64
// bits over all words, kept up to date by what changed. After Zobrist, "A New Hashing Method with Application for Game Playing", 1970.
import {
  BLOCK_SHIFT, BLOCK_SIZE, CONTROL_DIRTY, CONTROL_DIRTY_COUNT, CONTROL_DIRTY_LIST, CONTROL_HASH_LOW, CONTROL_JOURNAL, CONTROL_JOURNAL_END, CONTROL_JOURNAL_LIMIT,
  CONTROL_KNOWN, CONTROL_SORTS, CONTROL_THREAD_COUNT, CONTROL_WORDS_MAP, MAP_LOOSE, SORT_SHARED, SORT_STACK, STATUS_FINISHED, THREADS, THREAD_KIND, THREAD_REGION,
  THREAD_RESULT, THREAD_SIZE, THREAD_STATUS, THREAD_TASK,
} from '../abi/control';
import { SH_TASKS, TASK_HEARTBEAT, TASK_OPS, TASK_SIZE, TASK_STACK_TOP } from '../abi/layout';

const PAGE_SHIFT = 16;
const ENTRY_SIZE = 8;

/** Two finalisers of 32 bits in one of 64: place and content of a word, well mixed. A zero word counts nothing. */
// @ts-ignore: decorator
@inline
function mix(place: u32, value: u32): u64 {
  if (value == 0) return 0;
  let h = ((<u64>place << 32) | <u64>value) * 0x9e3779b97f4a7c15;
  h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93;
  return h ^ (h >> 32);
}

/** The journal lies behind all else, so that it grows with the memory. */
function grow(): void {
  const bytes = load<u32>(CONTROL_JOURNAL_LIMIT) - load<u32>(CONTROL_JOURNAL);
  if (memory.grow(<i32>(bytes >> PAGE_SHIFT)) < 0) unreachable();
  store<u32>(CONTROL_JOURNAL_LIMIT, load<u32>(CONTROL_JOURNAL_LIMIT) + bytes);
}

/** The word at `p` counts as `value` from here on. @context here and below: the scheduler, outside of every thread. */
export function journalNote(p: usize, value: u32): void {
  const known = p + <usize>load<u32>(CONTROL_KNOWN);
  const before = load<u32>(known);
  if (before == value) return;
  if (load<u32>(CONTROL_JOURNAL_END) == load<u32>(CONTROL_JOURNAL_LIMIT)) grow();
  const end: usize = load<u32>(CONTROL_JOURNAL_END);
  store<u32>(end, <u32>p);
  store<u32>(end, before, 4);
  store<u32>(CONTROL_JOURNAL_END, <u32>end + ENTRY_SIZE);
  store<u32>(known, value);
  const place = <u32>(p >> 2);
  if ((<u32>load<u8>(<usize>load<u32>(CONTROL_WORDS_MAP) + place) & MAP_LOOSE) != 0) return;
  store<u64>(CONTROL_HASH_LOW, load<u64>(CONTROL_HASH_LOW) + mix(place, value) - mix(place, before));
}

/** Takes in the words [p, end) as they lie in memory. */
function take(p: usize, end: usize): void {
  const known: usize = load<u32>(CONTROL_KNOWN);
  for (; p + 8 <= end; p += 8) {
    if (load<u64>(p) == load<u64>(p + known)) continue;
    journalNote(p, load<u32>(p));
    journalNote(p + 4, load<u32>(p, 4));
  }
  if (p < end) journalNote(p, load<u32>(p));
}

/** The words [p, end) count as 0, whatever they hold. */
function noteZero(p: usize, end: usize): void {
  const known: usize = load<u32>(CONTROL_KNOWN);
  for (; p + 8 <= end; p += 8) {
    if (load<u64>(p + known) == 0) continue;
    journalNote(p, 0);
    journalNote(p + 4, 0);
  }
  if (p < end) journalNote(p, 0);
}

/** Words [p, end) that no later step reads. They are cleared, so that what becomes of them does not depend on what they were. */
export function journalForget(p: usize, end: usize): void {
  if (end <= p) return;
  memory.fill(p, 0, end - p);
  noteZero(p, end);
}

/** Undoes all changes behind an earlier end of the journal, in memory too. The hash is the caller's to put back. */
export function journalBack(end: usize): void {
  const known: usize = load<u32>(CONTROL_KNOWN);
  for (let at: usize = load<u32>(CONTROL_JOURNAL_END); at > end; ) {
    at -= ENTRY_SIZE;
    const p: usize = load<u32>(at);
    const before = load<u32>(at, 4);
    store<u32>(p, before);
    store<u32>(p + known, before);
  }
  store<u32>(CONTROL_JOURNAL_END, <u32>end);
}

/** Takes in a block of memory, by what it holds. */
export function journalTakeBlock(block: u32): void {
  const first: usize = <usize>block << BLOCK_SHIFT;
  const end = first + BLOCK_SIZE;
  const sort = <u32>load<u8>(<usize>load<u32>(CONTROL_SORTS) + block);
  if (sort == SORT_SHARED) return take(first, end);
  const task = first - (first - <usize>load<u32>(SH_TASKS)) % TASK_SIZE;
  if (sort == SORT_STACK) {
    const top = task + <usize>load<u32>(task + TASK_STACK_TOP);
    const live = max(first, min(end, top));
    take(first, live);
    return journalForget(live, end);
  }
  // What only the watchdog reads is cleared, since the stack may hold a copy of what was counted.
  store<u32>(task + TASK_HEARTBEAT, 0);
  store<u64>(task + TASK_OPS, 0);
  take(first, end);
}

/** The stack a thread was suspended with, as deep as it is in use. */
function takeRegion(block: usize): void {
  const region: usize = load<u32>(block + THREAD_REGION);
  const isFinished = load<u32>(block + THREAD_STATUS) == <u32>STATUS_FINISHED;
  const end: usize = isFinished ? region : <usize>load<u32>(region);
  const before: usize = load<u32>(region + <usize>load<u32>(CONTROL_KNOWN));
  take(region, end);
  noteZero(max(region, end), before);
}

/**
 * The threads' blocks. The result of a wait is read only by a thread that returns from one, and what a finished thread last announced by nobody. Both are
 * cleared in memory, too: going back puts words back that counted as something else, and such a word may have counted as 0 before.
 */
export function journalTakeThreads(): void {
  const end = <usize>load<u32>(CONTROL_THREAD_COUNT) * THREAD_SIZE + THREADS;
  for (let block: usize = THREADS; block < end; block += THREAD_SIZE) {
    take(block, block + THREAD_KIND);
    if (load<u32>(block + THREAD_STATUS) == <u32>STATUS_FINISHED) {
      journalForget(block + THREAD_KIND, block + THREAD_RESULT + 4);
    } else {
      if (load<u32>(block + THREAD_KIND) != 0) store<u32>(block + THREAD_RESULT, 0);
      take(block + THREAD_KIND, block + THREAD_RESULT + 4);
    }
  }
}

/** Takes in what a step of `thread` wrote, -1: what was written outside of every thread. */
export function journalLearn(thread: i32): void {
  const block = <usize>max(thread, 0) * THREAD_SIZE + THREADS;
  const task: usize = load<u32>(block + THREAD_TASK);
  const before = load<u32>(task + TASK_STACK_TOP + <usize>load<u32>(CONTROL_KNOWN));
  const list: usize = load<u32>(CONTROL_DIRTY_LIST);
  const end = list + <usize>load<u32>(CONTROL_DIRTY_COUNT) * 4;
  for (let at = list; at < end; at += 4) {
    store<u8>(<usize>load<u32>(CONTROL_DIRTY) + load<u32>(at), 0);
    journalTakeBlock(load<u32>(at));
  }
  store<u32>(CONTROL_DIRTY_COUNT, 0);
  if (thread >= 0) {
    // More of the task's own stack may be in use no longer than was written.
    const top = load<u32>(task + TASK_STACK_TOP);
    if (top < before) journalForget(task + top, task + before);
    takeRegion(block);
  }
  journalTakeThreads();
}
