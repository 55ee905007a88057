// Virtual threads of the controlled build: each has a stack of its own in linear memory, put there and taken back by Binaryen's Asyncify pass.
// A point is the top of every such stack (it alone suspends and resumes), `runThreads` the bottom; all functions in between are instrumented.
// After Binaryen's src/passes/Asyncify.cpp, which lets the runtime live inside the module: imports from "asyncify" are calls into its own state.
import {
  BLOCK_SHIFT, CONTROL_DIRTY, CONTROL_DIRTY_COUNT, CONTROL_DIRTY_LIST, CONTROL_MAP, CONTROL_NEXT, CONTROL_REGION, CONTROL_RESUMING, CONTROL_SUSPENDING, MAP_ATOMIC, MAP_PLAIN, THREADS,
  THREAD_ENTRY, THREAD_REGION, THREAD_SIZE, THREAD_STARTED, THREAD_TASK,
} from '../abi/control';
import { FREED_WORD } from '../abi/layout';
import { POINT_ATOMIC_LOAD, POINT_LOAD, POINT_LOAD_RELAXED, POINT_RELAX, POINT_STORE } from '../abi/point';
import { setCurrent } from '../point';
import { freedAccess } from './freed';

// @ts-ignore: decorator
@external("asyncify", "start_unwind")
declare function startUnwind(region: usize): void;
// @ts-ignore: decorator
@external("asyncify", "stop_unwind")
declare function stopUnwind(): void;
// @ts-ignore: decorator
@external("asyncify", "start_rewind")
declare function startRewind(region: usize): void;
// @ts-ignore: decorator
@external("asyncify", "stop_rewind")
declare function stopRewind(): void;
/** The scheduler's decision at a point: 0 goes on, 1 suspends the thread and runs the one in CONTROL_NEXT. */
// @ts-ignore: decorator
@external("env", "point")
declare function hostPoint(kind: i32, address: usize, bytes: i32, low: i32, high: i32): i32;
/** The running thread is to sleep on the word that it announced: 0 it need not, 1 it suspends. */
// @ts-ignore: decorator
@external("env", "futexBlock")
declare function hostFutexBlock(timed: i32): i32;
/** The running thread has come to its end. */
// @ts-ignore: decorator
@external("env", "threadEnd")
declare function hostThreadEnd(): void;

/**
 * Announces what the thread is about to do; on return it is its turn. Whoever this is inlined into is the top of a stack, which Asyncify does not
 * instrument. It must be inlined no further: it has calls in it, and is exported, since Binaryen would inline the only call of a private function.
 */
// @ts-ignore: decorator
@inline
function stand(kind: i32, address: usize, bytes: i32, low: i32, high: i32): void {
  if (load<u32>(CONTROL_RESUMING) != 0) {
    store<u32>(CONTROL_RESUMING, 0);
    stopRewind();
  } else if (hostPoint(kind, address, bytes, low, high) != 0) {
    store<u32>(CONTROL_SUSPENDING, 1);
    startUnwind(load<u32>(CONTROL_REGION));
  }
}

/** Whether accesses of the sort MAP_* to the word at `p` are announced: the scheduler's map says so, word by word. */
// @ts-ignore: decorator
@inline
function announced(p: usize, sort: u32): bool {
  return (<u32>load<u8>(<usize>load<u32>(CONTROL_MAP) + (p >> 2)) & sort) != 0;
}

/** Notes that the block of memory around `p` is no longer as the set-up left it. */
// @ts-ignore: decorator
@inline
export function markDirty(p: usize): void {
  if (load<u8>(<usize>load<u32>(CONTROL_DIRTY) + (p >> BLOCK_SHIFT)) == 0) listDirty(p >> BLOCK_SHIFT);
}

/** The first write to a block since the state was saved. */
function listDirty(block: usize): void {
  store<u8>(<usize>load<u32>(CONTROL_DIRTY) + block, 1);
  const count = load<u32>(CONTROL_DIRTY_COUNT);
  store<u32>(<usize>load<u32>(CONTROL_DIRTY_LIST) + <usize>count * 4, <u32>block);
  store<u32>(CONTROL_DIRTY_COUNT, count + 1);
}

/** A plain load of `bytes` bytes at `p`. @context here and below: any thread; a thread of a scenario may be suspended. */
export function pointLoad(p: usize, bytes: i32): void {
  if (announced(p, MAP_PLAIN)) stand(POINT_LOAD, p, bytes, 0, 0);
  if (load<u32>(p & ~3) == FREED_WORD) freedAccess(p);
}

/** A plain store; `low` and `high` are the words of the value. */
export function pointStore(p: usize, bytes: i32, low: i32, high: i32): void {
  if (announced(p, MAP_PLAIN)) stand(POINT_STORE, p, bytes, low, high);
  if (load<u32>(p & ~3) == FREED_WORD) freedAccess(p);
  markDirty(p);
}

/** An atomic load; it changes nothing, so pointAtomic has no part in it. */
export function pointAtomicLoad(p: usize, bytes: i32): void {
  if (announced(p, MAP_ATOMIC)) stand(POINT_ATOMIC_LOAD, p, bytes, 0, 0);
  if (load<u32>(p & ~3) == FREED_WORD) freedAccess(p);
}

/** @context as pointAtomicLoad. */
export function pointLoadRelaxed(p: usize): void {
  if (announced(p, MAP_ATOMIC)) stand(POINT_LOAD_RELAXED, p, 4, 0, 0);
  if (load<u32>(p) == FREED_WORD) freedAccess(p);
}

/** Every atomic that writes; `high` of a 32-bit compare-and-exchange is the value it expects. */
export function pointAtomic(kind: i32, p: usize, bytes: i32, low: i32, high: i32): void {
  if (announced(p, MAP_ATOMIC)) stand(kind, p, bytes, low, high);
  if (load<u32>(p & ~3) == FREED_WORD) freedAccess(p);
  markDirty(p);
}

/** A fill or copy is one step; it is announced when its first or last word is. */
export function pointRange(kind: i32, p: usize, n: usize, low: i32): void {
  if (announced(p, MAP_PLAIN) || announced(p + n - 1, MAP_PLAIN)) stand(kind, p, <i32>n, low, 0);
  for (let at = p >> BLOCK_SHIFT; at <= (p + n - 1) >> BLOCK_SHIFT; at++) markDirty(at << BLOCK_SHIFT);
}

/** A turn of a spin loop. */
export function pointRelax(): void {
  stand(POINT_RELAX, 0, 0, 0, 0);
}

/** A turn of a loop that only a write to the word at `p` can end. Apart, because the frames of the loops above would have more in them, and so more states. */
export function pointRelaxOn(p: usize): void {
  stand(POINT_RELAX, p, 4, 0, 0);
}

/** Futex operations on the word at `p`. */
export function pointFutex(kind: i32, p: usize, low: i32, high: i32): void {
  if (announced(p, MAP_ATOMIC)) stand(kind, p, 4, low, high);
}

/** Sleeps until the scheduler says otherwise: a wake-up, a timeout. @context the word was just found to have the expected value. */
export function block(timed: i32): void {
  if (load<u32>(CONTROL_RESUMING) != 0) {
    store<u32>(CONTROL_RESUMING, 0);
    stopRewind();
    return;
  }
  if (hostFutexBlock(timed) == 0) return;
  store<u32>(CONTROL_SUSPENDING, 1);
  startUnwind(load<u32>(CONTROL_REGION));
}

/**
 * Runs thread `first`, then whom the scheduler names, until it names none (-1).
 * @context the scheduler, outside of every thread.
 */
export function runThreads(first: i32): void {
  let thread = first;
  while (thread >= 0) {
    const block = <usize>thread * THREAD_SIZE + THREADS;
    const region = load<u32>(block + THREAD_REGION);
    setCurrent(load<u32>(block + THREAD_TASK));
    store<u32>(CONTROL_REGION, region);
    if (load<u32>(block + THREAD_STARTED) != 0) {
      store<u32>(CONTROL_RESUMING, 1);
      startRewind(region);
    } else {
      store<u32>(block + THREAD_STARTED, 1);
    }
    call_indirect<void>(load<u32>(block + THREAD_ENTRY));
    if (load<u32>(CONTROL_SUSPENDING) != 0) {
      store<u32>(CONTROL_SUSPENDING, 0);
      stopUnwind();
    } else {
      hostThreadEnd();
    }
    thread = load<i32>(CONTROL_NEXT);
  }
}
