// Tasks: one per thread (and one CPU each). What lockdep, the watchdog, traces and counterexamples read about a thread lies here.
// Models the parts of Linux's task_struct and per-CPU data that this engine needs.
import { oops } from './oops';
import {
  SH_MAX_TASKS, SH_SEED, SH_TASKS, TASK_CPU, TASK_EXITED, TASK_FREE, TASK_HEARTBEAT, TASK_HELD_COUNT, TASK_ID, TASK_KILLED,
  RING_ENTRY_SIZE, RING_FIRST, RING_FLAGS, RING_MAX, RING_OP, RING_PAGES, RING_PENDING, RING_RET, RING_START_NS, RING_TARGET, TASK_RCU_KERNEL, TASK_RING, TASK_RING_NEXT, TASK_RNG, TASK_RUNNING, TASK_SIZE, TASK_STACK, TASK_STACK_END, TASK_STACK_TOP,
  TASK_STATE, TASK_WAIT_KIND, TASK_WAIT_LOCK, TASK_WAIT_SINCE_NS, WAIT_NONE, WAIT_RCU, WAIT_SRCU,
} from './abi/layout';
import { EV_WAIT } from './abi/trace';
import { OOPS_HELD_AT_EXIT, OOPS_STACK_OVERFLOW, ORACLE_KERNEL_BUG, ORACLE_LOCKING } from './abi/oops';
import {
  atomicCas32, atomicLoad32, atomicStore32, current, load32, load64, loadF64, loadStatic32, nowNs, setCurrent, store32, store64, storeF64,
} from './point';
import { traceSpan } from './trace';

export { current };

/** The task with this id. */
// @ts-ignore: decorator
@inline
export function taskAddress(id: u32): usize {
  return <usize>load32(SH_TASKS) + <usize>id * TASK_SIZE;
}

/** Id of the calling task. */
// @ts-ignore: decorator
@inline
export function currentId(): u32 {
  return loadStatic32(current + TASK_ID);
}

/**
 * Makes the calling thread a task: claims a free entry of the table. Returns its id, or -1 when all are taken.
 * @context any thread, once, before any other call into the kernel.
 */
export function taskAttach(): i32 {
  const max = load32(SH_MAX_TASKS);
  for (let id: u32 = 0; id < max; id++) {
    const task = taskAddress(id);
    if (atomicCas32(task + TASK_STATE, TASK_FREE, TASK_RUNNING) != TASK_FREE) continue;
    taskBind(id);
    return <i32>id;
  }
  return -1;
}

/** Gives the calling thread the identity of entry `id`, whose state the caller owns, and seeds its random stream. */
export function taskBind(id: u32): void {
  const task = taskAddress(id);
  setCurrent(task);
  atomicStore32(task + TASK_STATE, TASK_RUNNING);
  store32(task + TASK_ID, id);
  store32(task + TASK_CPU, id);
  store32(task + TASK_KILLED, 0);
  store32(task + TASK_RCU_KERNEL, 0);
  store32(task + TASK_STACK_TOP, TASK_STACK);
  seedTask(load64(SH_SEED));
}

/** Starts the task's random stream from a seed: splitmix64 of (seed, task id), so streams differ and repeat. */
export function seedTask(seed: u64): void {
  let x = seed + (<u64>currentId() + 1) * 0x9e3779b97f4a7c15;
  for (let i: usize = 0; i < 16; i += 8) {
    x += 0x9e3779b97f4a7c15;
    let z = x;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    store64(current + TASK_RNG + i, z ^ (z >> 31));
  }
}

/** Gives the task entry back. @context no lock may be held. */
export function taskDetach(): void {
  if (loadStatic32(current + TASK_HELD_COUNT) != 0) oops(ORACLE_LOCKING, OOPS_HELD_AT_EXIT, 0, 0);
  atomicStore32(current + TASK_STATE, TASK_FREE);
  setCurrent(0);
}

/** Marks the task as ended without giving its entry back (its statistics stay readable). */
export function taskExit(): void {
  atomicStore32(current + TASK_STATE, TASK_EXITED);
}

/** TASK_FREE, TASK_RUNNING or TASK_EXITED. */
export function taskState(id: u32): u32 {
  return atomicLoad32(taskAddress(id) + TASK_STATE);
}

/** Takes `n` bytes (a multiple of 8) of the task's private stack: a local struct. Contents undefined. */
// @ts-ignore: decorator
@inline
export function stackPush(n: usize): usize {
  const top = loadStatic32(current + TASK_STACK_TOP);
  if (<usize>top + n > <usize>TASK_STACK_END) oops(ORACLE_KERNEL_BUG, OOPS_STACK_OVERFLOW, <f64>currentId());
  store32(current + TASK_STACK_TOP, top + <u32>n);
  return current + <usize>top;
}

/** Gives back the `n` bytes taken last. Pairs with stackPush. */
// @ts-ignore: decorator
@inline
export function stackPop(n: usize): void {
  store32(current + TASK_STACK_TOP, loadStatic32(current + TASK_STACK_TOP) - <u32>n);
}

/** Says what this task is about to wait for; the watchdog reads it. Pairs with waitEnd. */
export function waitBegin(lock: usize, kind: u32): void {
  storeF64(current + TASK_WAIT_SINCE_NS, nowNs());
  store32(current + TASK_WAIT_KIND, kind);
  atomicStore32(current + TASK_WAIT_LOCK, <u32>lock);
}

/** The wait is over: an event of the trace. */
export function waitEnd(): void {
  const kind = loadStatic32(current + TASK_WAIT_KIND);
  // Grace periods have events of their own, which say more.
  if (kind != <u32>WAIT_SRCU && kind != <u32>WAIT_RCU) traceSpan(EV_WAIT, loadF64(current + TASK_WAIT_SINCE_NS), nowNs(), kind, loadStatic32(current + TASK_WAIT_LOCK), 0, 0);
  atomicStore32(current + TASK_WAIT_LOCK, 0);
  store32(current + TASK_WAIT_KIND, WAIT_NONE);
}

/** A sign of life, at operation boundaries and in every round of a slow-path wait. */
// @ts-ignore: decorator
@inline
export function heartbeat(): void {
  store32(current + TASK_HEARTBEAT, loadStatic32(current + TASK_HEARTBEAT) + 1);
}

/**
 * Notes an operation that begins in the ring of recent operations: what a failed run is explained from. It lies in the task's own memory and is read
 * when the task has ended, so plain stores do.
 */
export function ringBegin(op: u32, target: usize, flags: u32, first: u64, pages: u64, startNs: f64): void {
  const n = loadStatic32(current + TASK_RING_NEXT);
  const entry = current + TASK_RING + <usize>(n % RING_MAX) * RING_ENTRY_SIZE;
  store32(entry + RING_OP, op);
  store32(entry + RING_RET, RING_PENDING);
  store32(entry + RING_TARGET, <u32>target);
  store32(entry + RING_FLAGS, flags);
  store32(entry + RING_FIRST, <u32>first);
  store32(entry + RING_PAGES, <u32>pages);
  storeF64(entry + RING_START_NS, startNs);
  store32(current + TASK_RING_NEXT, n + 1);
}

/** Notes what the operation begun last has returned. */
export function ringEnd(ret: i32): void {
  const n = loadStatic32(current + TASK_RING_NEXT) - 1;
  store32(current + TASK_RING + <usize>(n % RING_MAX) * RING_ENTRY_SIZE + RING_RET, <u32>ret);
}
