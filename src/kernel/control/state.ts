// Saving the state that the set-up left and bringing it back before each execution: only the blocks that were written, and each thread's stack as deep
// as it was. So an execution costs what it does, not what the host's tables measure.
import {
  BLOCK_SHIFT, BLOCK_SIZE, CONTROL_DIRTY, CONTROL_DIRTY_COUNT, CONTROL_DIRTY_LIST, CONTROL_RESUMING, CONTROL_SAVED, CONTROL_SAVED_THREADS, CONTROL_STATE_END, CONTROL_STATE_START,
  CONTROL_SUSPENDING, CONTROL_THREAD_COUNT, REGION_SIZE_BYTES, THREADS, THREAD_REGION, THREAD_SIZE,
} from '../abi/control';

/** Copy of a thread: its block, then its region as far as it is in use. */
// @ts-ignore: decorator
@inline
function savedThread(thread: u32): usize {
  return <usize>load<u32>(CONTROL_SAVED_THREADS) + <usize>thread * (REGION_SIZE_BYTES + THREAD_SIZE);
}

/** Takes the present state as the one that every execution starts from. @context the scheduler, outside of every thread. */
export function saveState(): void {
  const start: usize = load<u32>(CONTROL_STATE_START);
  memory.copy(load<u32>(CONTROL_SAVED), start, <usize>load<u32>(CONTROL_STATE_END) - start);
  memory.fill(load<u32>(CONTROL_DIRTY), 0, load<u32>(CONTROL_STATE_END) >> BLOCK_SHIFT);
  store<u32>(CONTROL_DIRTY_COUNT, 0);
  const count = load<u32>(CONTROL_THREAD_COUNT);
  for (let thread: u32 = 0; thread < count; thread++) {
    const block = <usize>thread * THREAD_SIZE + THREADS;
    const region: usize = load<u32>(block + THREAD_REGION);
    memory.copy(savedThread(thread), block, THREAD_SIZE);
    memory.copy(savedThread(thread) + THREAD_SIZE, region, <usize>load<u32>(region) - region);
  }
}

/** Brings the saved state back. @context the scheduler, outside of every thread, also after one was left by an exception. */
export function restoreState(): void {
  const state: usize = load<u32>(CONTROL_STATE_START);
  const saved: usize = load<u32>(CONTROL_SAVED);
  const dirty: usize = load<u32>(CONTROL_DIRTY);
  const list: usize = load<u32>(CONTROL_DIRTY_LIST);
  const end = list + <usize>load<u32>(CONTROL_DIRTY_COUNT) * 4;
  for (let at = list; at < end; at += 4) {
    const block: usize = load<u32>(at);
    store<u8>(dirty + block, 0);
    copyBlock(block << BLOCK_SHIFT, saved + (block << BLOCK_SHIFT) - state);
  }
  store<u32>(CONTROL_DIRTY_COUNT, 0);
  const threads = load<u32>(CONTROL_THREAD_COUNT);
  for (let thread: u32 = 0; thread < threads; thread++) restoreThread(thread);
  store<u32>(CONTROL_RESUMING, 0);
  store<u32>(CONTROL_SUSPENDING, 0);
}

function copyBlock(to: usize, from: usize): void {
  for (let n: usize = 0; n < <usize>BLOCK_SIZE; n += 32) {
    store<u64>(to + n, load<u64>(from + n));
    store<u64>(to + n, load<u64>(from + n, 8), 8);
    store<u64>(to + n, load<u64>(from + n, 16), 16);
    store<u64>(to + n, load<u64>(from + n, 24), 24);
  }
}

function restoreThread(thread: u32): void {
  const from = savedThread(thread);
  const block = <usize>thread * THREAD_SIZE + THREADS;
  for (let n: usize = 0; n < <usize>THREAD_SIZE; n += 8) store<u64>(block + n, load<u64>(from + n));
  const region: usize = load<u32>(block + THREAD_REGION);
  const bytes: usize = <usize>load<u32>(from + THREAD_SIZE) - region;
  for (let n: usize = 0; n < bytes; n += 4) store<u32>(region + n, load<u32>(from + THREAD_SIZE + n));
}
