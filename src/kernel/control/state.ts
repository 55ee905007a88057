// Saving the state that the set-up left and bringing it back before each execution: only the blocks that were written, and each thread's stack as deep
// as it was. So an execution costs what it does, not what the host's tables measure.
import {
  BLOCK_SHIFT, BLOCK_SIZE, CONTROL_DIRTY, CONTROL_RESUMING, CONTROL_SAVED, CONTROL_SAVED_THREADS, CONTROL_STATE_END, CONTROL_STATE_START,
  CONTROL_SUSPENDING, CONTROL_THREAD_COUNT, REGION_SIZE_BYTES, THREADS, THREAD_REGION, THREAD_SIZE,
} from '../abi/control';

// @ts-ignore: decorator
@inline
function dirtyMap(): usize {
  return load<u32>(CONTROL_DIRTY) + (load<u32>(CONTROL_STATE_START) >> BLOCK_SHIFT);
}

// @ts-ignore: decorator
@inline
function blockCount(): usize {
  return (load<u32>(CONTROL_STATE_END) - load<u32>(CONTROL_STATE_START)) >> BLOCK_SHIFT;
}

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
  memory.fill(dirtyMap(), 0, blockCount());
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
  const dirty = dirtyMap();
  const count = blockCount();
  for (let n: usize = 0; n < count; n += 8) {
    if (load<u64>(dirty + n) == 0) continue;
    for (let at = n; at < n + 8; at++) {
      if (load<u8>(dirty + at) == 0) continue;
      store<u8>(dirty + at, 0);
      copyBlock(state + (at << BLOCK_SHIFT), saved + (at << BLOCK_SHIFT));
    }
  }
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
