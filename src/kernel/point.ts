// The scheduling point: every access to shared memory, every wait, clock and random number of the kernel passes here.
// No other file looks at which build it is in: `fast` compiles each accessor to the bare instruction, `perturbed`
// counts down to an injected delay at atomic operations, `controlled` announces the operation to a scheduler before it is
// performed, which may suspend the virtual thread (control/threads.ts). After crossbeam's `primitive` module and Linux's READ_ONCE family.
import {
  SH_ORACLES, SH_STOP, SH_VARIANTS, STOP_OOPS, TASK_BARRIER, TASK_RNG,
} from './abi/layout';
import { CONTROL_RESULT } from './abi/control';
import {
  POINT_ADD, POINT_AND, POINT_ATOMIC_STORE, POINT_CAS, POINT_CAS_RELAXED, POINT_COPY, POINT_FILL, POINT_FUTEX_WAIT, POINT_FUTEX_WAKE, POINT_OR, POINT_SUB, POINT_XCHG,
} from './abi/point';
import {
  block, markDirty, pointAtomic, pointAtomicLoad, pointFutex, pointLoad, pointLoadRelaxed, pointRange, pointRelax, pointRelaxOn, pointStore,
} from './control/threads';
import { found32, found64 } from './freed';
import { perturbSlow } from './perturb';
import { rcuNoteContextSwitch } from './sync/rcu';

/** Wakes sleepers of the controlled build's scheduler. */
// @ts-ignore: decorator
@external("env", "futexWake")
declare function hostFutexWake(address: usize, count: u32): u32;
/** Monotonic clock of the host, one for all threads, nanoseconds. */
// @ts-ignore: decorator
@external("env", "nowNs")
declare function hostNowNs(): f64;
/** Whether this machine's plain stores are seen in their order, and after all loads before them (x86): then they are release stores. */
// @ts-ignore: decorator
@external("env", "storesInOrder")
declare const STORES_IN_ORDER: u32;
/** Throws a JavaScript exception: the run is over and this thread leaves the kernel as it stands. */
// @ts-ignore: decorator
@external("env", "stopped")
declare function hostStopped(): void;
/** Prints a pr_debug line; the host knows the format of each site. */
// @ts-ignore: decorator
@external("env", "prDebug")
export declare function hostPrDebug(site: i32, a: f64, b: f64, c: f64, d: f64, e: f64, f: f64): void;
/** The user's arch hook (HOOK_USER): gfns are [start, end). */
// @ts-ignore: decorator
@external("env", "userHook")
export declare function userHook(vmId: i32, slotId: i32, startGfn: f64, endGfn: f64): void;

/**
 * The task this thread runs: the CPU's register that names the thread, not state of the model. The controlled build's
 * scheduler sets it at every switch.
 */
export let current: usize = 0;
export function setCurrent(task: usize): void { current = task; }

/** Points until the next perturbation: private to the thread. */
let countdown: i32 = 1;

export function setCountdown(points: i32): void { countdown = points; }

// @ts-ignore: decorator
@inline
function perturb(): void {
  if (PERTURBED) {
    // By way of a local: V8 does not remember what it has just stored in a global.
    const left = countdown - 1;
    countdown = left;
    if (left <= 0) perturbSlow();
  }
}

/** Leaves the kernel for good when the run has oopsed: how a violation reaches every thread, wherever it is. */
export function checkStop(): void {
  if (atomic.load<u32>(SH_STOP) >= <u32>STOP_OOPS) hostStopped();
}

/** xoroshiro128+ on the task's own stream: the only source of randomness in the kernel. */
export function randomU32(): u32 {
  const s0 = load<u64>(current + TASK_RNG);
  let s1 = load<u64>(current + TASK_RNG + 8);
  const result = s0 + s1;
  s1 ^= s0;
  if (CONTROLLED) markDirty(current);
  store<u64>(current + TASK_RNG, rotl<u64>(s0, 24) ^ s1 ^ (s1 << 16));
  store<u64>(current + TASK_RNG + 8, rotl<u64>(s1, 37));
  return <u32>(result >> 32);
}

/** Looks at and changes a word as a part of the step before: for states that no step can tell apart, and for the heap's own look at freed memory. */
export function peek32(p: usize): u32 { return load<u32>(p); }
export function peek64(p: usize): u64 { return load<u64>(p); }
export function poke32(p: usize, value: u32): void { if (CONTROLLED) markDirty(p); store<u32>(p, value); }
export function poke64(p: usize, value: u64): void { if (CONTROLLED) markDirty(p); store<u64>(p, value); }

/** Counts an event that was injected. No point: it is a part of the delays at points. */
export function tally(p: usize): void { atomic.add<u64>(p, 1); }

/** Whether a named variant is on. Always false in builds without variants. */
// @ts-ignore: decorator
@inline
export function variant(bit: i32): bool {
  return VARIANTS && ((load<u32>(<usize>((bit >> 5) << 2) + SH_VARIANTS) >>> (bit & 31)) & 1) != 0;
}

/** Whether the inline oracles run. Always false in builds without them. */
// @ts-ignore: decorator
@inline
export function oraclesOn(): bool {
  return ORACLES && load<u32>(SH_ORACLES) != 0;
}

/** Host clock in nanoseconds. About 80 ns a call: not for fast paths. */
export function nowNs(): f64 { return hostNowNs(); }

/** The wait: compares and falls asleep in one step, as the hardware's and the kernel's futex do. */
function futexWaitControlled(p: usize, expected: u32, timed: bool): i32 {
  pointFutex(POINT_FUTEX_WAIT, p, <i32>expected, timed);
  if (load<u32>(p) != expected) return 1;
  block(timed);
  checkStop();
  return load<i32>(CONTROL_RESULT);
}

// --- plain accesses: a held lock protects the data, or only this task can reach it ---

// @ts-ignore: decorator
@inline
export function load8(p: usize): u32 { if (CONTROLLED) pointLoad(p, 1); return load<u8>(p); }
// @ts-ignore: decorator
@inline
export function store8(p: usize, value: u32): void { if (CONTROLLED) pointStore(p, 1, <i32>value, 0); store<u8>(p, value); }

// @ts-ignore: decorator
@inline
export function load16(p: usize): u32 { if (CONTROLLED) pointLoad(p, 2); return load<u16>(p); }
// @ts-ignore: decorator
@inline
export function load32(p: usize): u32 { if (CONTROLLED) pointLoad(p, 4); return found32(p, load<u32>(p)); }
// @ts-ignore: decorator
@inline
export function store32(p: usize, value: u32): void { if (CONTROLLED) pointStore(p, 4, <i32>value, 0); store<u32>(p, value); }

// @ts-ignore: decorator
@inline
export function load64(p: usize): u64 { if (CONTROLLED) pointLoad(p, 8); return found64(p, load<u64>(p)); }
// @ts-ignore: decorator
@inline
export function store64(p: usize, value: u64): void { if (CONTROLLED) pointStore(p, 8, <i32><u64>value, <i32>(<u64>value >> 32)); store<u64>(p, value); }

/**
 * As load32 and load64, without the look for freed memory: from what kfree never gets (tasks and their stacks, tables made at boot), and from an object that
 * has been looked at just before.
 */
// @ts-ignore: decorator
@inline
export function loadStatic32(p: usize): u32 { if (CONTROLLED) pointLoad(p, 4); return load<u32>(p); }
// @ts-ignore: decorator
@inline
export function loadStatic64(p: usize): u64 { if (CONTROLLED) pointLoad(p, 8); return load<u64>(p); }

// @ts-ignore: decorator
@inline
export function loadF64(p: usize): f64 { if (CONTROLLED) pointLoad(p, 8); return load<f64>(p); }
// @ts-ignore: decorator
@inline
export function storeF64(p: usize, value: f64): void { if (CONTROLLED) pointStore(p, 8, <i32>reinterpret<u64>(value), <i32>(reinterpret<u64>(value) >> 32)); store<f64>(p, value); }

// --- atomic accesses: sequentially consistent, for everything another task may touch at the same moment; those that read and write return what was there ---

/**
 * WRITE_ONCE: one whole store that others may read by atomic loads at any moment and that orders nothing: for hints, and for what the next locked
 * operation of this task publishes. A plain instruction (aligned ones are never seen half done), where atomicStore costs a full barrier.
 */
// @ts-ignore: decorator
@inline
export function storeOnce32(p: usize, value: u32): void { if (CONTROLLED) pointAtomic(POINT_ATOMIC_STORE, p, 4, <i32>value, 0); perturb(); store<u32>(p, value); }
// @ts-ignore: decorator
@inline
export function storeOnce64(p: usize, value: u64): void {
  if (CONTROLLED) pointAtomic(POINT_ATOMIC_STORE, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  perturb();
  store<u64>(p, value);
}

/**
 * smp_store_release: whoever sees the store sees all that this task did before it; what this task reads after it may be read before it. A full barrier
 * only on machines that need one for that. No delay: it ends or publishes what other points lie in.
 */
// @ts-ignore: decorator
@inline
export function storeRelease8(p: usize, value: u32): void {
  if (CONTROLLED) pointAtomic(POINT_ATOMIC_STORE, p, 1, <i32>value, 0);
  if (CONTROLLED || STORES_IN_ORDER != 0) store<u8>(p, value); else atomic.store<u8>(p, value);
}
// @ts-ignore: decorator
@inline
export function storeRelease32(p: usize, value: u32): void {
  if (CONTROLLED) pointAtomic(POINT_ATOMIC_STORE, p, 4, <i32>value, 0);
  if (CONTROLLED || STORES_IN_ORDER != 0) store<u32>(p, value); else atomic.store<u32>(p, value);
}
// @ts-ignore: decorator
@inline
export function storeRelease64(p: usize, value: u64): void {
  if (CONTROLLED) pointAtomic(POINT_ATOMIC_STORE, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  if (CONTROLLED || STORES_IN_ORDER != 0) store<u64>(p, value); else atomic.store<u64>(p, value);
}

// @ts-ignore: decorator
@inline
export function atomicLoad8(p: usize): u32 { if (CONTROLLED) pointAtomicLoad(p, 1); return atomic.load<u8>(p); }
// @ts-ignore: decorator
@inline
export function atomicLoad32(p: usize): u32 { perturb(); return atomicLoadNear32(p); }
/** Atomic loads with another point right before or behind them, or behind a release store (later, they only see more): as atomicLoad32 and atomicLoad64, without a delay. */
// @ts-ignore: decorator
@inline
export function atomicLoadNear32(p: usize): u32 { if (CONTROLLED) pointAtomicLoad(p, 4); return found32(p, atomic.load<u32>(p)); }
// @ts-ignore: decorator
@inline
export function atomicLoadNear64(p: usize): u64 { if (CONTROLLED) pointAtomicLoad(p, 8); return found64(p, atomic.load<u64>(p)); }
/** The same without the look for freed memory: from what kfree never gets (the RMP, pages, regions), and from an object that has been looked at just before. */
// @ts-ignore: decorator
@inline
export function atomicLoadStatic32(p: usize): u32 { if (CONTROLLED) pointAtomicLoad(p, 4); return atomic.load<u32>(p); }
// @ts-ignore: decorator
@inline
export function atomicLoadStatic64(p: usize): u64 { if (CONTROLLED) pointAtomicLoad(p, 8); return atomic.load<u64>(p); }
/** READ_ONCE: one whole load that orders nothing. WebAssembly has none weaker than sequentially consistent; under a scheduler the race detector takes it at its word. */
// @ts-ignore: decorator
@inline
export function loadRelaxed32(p: usize): u32 {
  if (CONTROLLED) pointLoadRelaxed(p);
  perturb();
  return found32(p, atomic.load<u32>(p));
}
/** Compare-and-exchange that orders nothing, as loadRelaxed32; returns the old value. */
// @ts-ignore: decorator
@inline
export function casRelaxed32(p: usize, expected: u32, replacement: u32): u32 {
  if (CONTROLLED) pointAtomic(POINT_CAS_RELAXED, p, 4, <i32>replacement, <i32>expected);
  perturb();
  return atomic.cmpxchg<u32>(p, expected, replacement);
}
// @ts-ignore: decorator
@inline
export function atomicStore32(p: usize, value: u32): void {
  if (CONTROLLED) pointAtomic(POINT_ATOMIC_STORE, p, 4, <i32>value, 0);
  perturb();
  atomic.store<u32>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicXchg32(p: usize, value: u32): u32 {
  if (CONTROLLED) pointAtomic(POINT_XCHG, p, 4, <i32>value, 0);
  perturb();
  return atomic.xchg<u32>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicAdd32(p: usize, value: u32): u32 {
  if (CONTROLLED) pointAtomic(POINT_ADD, p, 4, <i32>value, 0);
  perturb();
  return atomic.add<u32>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicSub32(p: usize, value: u32): u32 {
  if (CONTROLLED) pointAtomic(POINT_SUB, p, 4, <i32>value, 0);
  perturb();
  return atomic.sub<u32>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicOr32(p: usize, value: u32): u32 {
  if (CONTROLLED) pointAtomic(POINT_OR, p, 4, <i32>value, 0);
  perturb();
  return atomic.or<u32>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicAnd32(p: usize, value: u32): u32 {
  if (CONTROLLED) pointAtomic(POINT_AND, p, 4, <i32>value, 0);
  perturb();
  return atomic.and<u32>(p, value);
}
/** Compare-and-exchange; returns the old value (equal to `expected` on success). */
// @ts-ignore: decorator
@inline
export function atomicCas32(p: usize, expected: u32, replacement: u32): u32 {
  if (CONTROLLED) pointAtomic(POINT_CAS, p, 4, <i32>replacement, <i32>expected);
  perturb();
  return atomic.cmpxchg<u32>(p, expected, replacement);
}

// @ts-ignore: decorator
@inline
export function atomicLoad64(p: usize): u64 { perturb(); return atomicLoadNear64(p); }
// @ts-ignore: decorator
@inline
export function atomicStore64(p: usize, value: u64): void {
  if (CONTROLLED) pointAtomic(POINT_ATOMIC_STORE, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  perturb();
  atomic.store<u64>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicXchg64(p: usize, value: u64): u64 {
  if (CONTROLLED) pointAtomic(POINT_XCHG, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  perturb();
  return atomic.xchg<u64>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicAdd64(p: usize, value: u64): u64 {
  if (CONTROLLED) pointAtomic(POINT_ADD, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  perturb();
  return atomic.add<u64>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicSub64(p: usize, value: u64): u64 {
  if (CONTROLLED) pointAtomic(POINT_SUB, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  perturb();
  return atomic.sub<u64>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicOr64(p: usize, value: u64): u64 {
  if (CONTROLLED) pointAtomic(POINT_OR, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  perturb();
  return atomic.or<u64>(p, value);
}
// @ts-ignore: decorator
@inline
export function atomicAnd64(p: usize, value: u64): u64 {
  if (CONTROLLED) pointAtomic(POINT_AND, p, 8, <i32><u64>value, <i32>(<u64>value >> 32));
  perturb();
  return atomic.and<u64>(p, value);
}
/** Compare-and-exchange; returns the old value (equal to `expected` on success). */
// @ts-ignore: decorator
@inline
export function atomicCas64(p: usize, expected: u64, replacement: u64): u64 {
  if (CONTROLLED) pointAtomic(POINT_CAS, p, 8, <i32><u64>replacement, <i32>(<u64>replacement >> 32));
  perturb();
  return atomic.cmpxchg<u64>(p, expected, replacement);
}

/** Full barrier: a locked operation on the task's own line, 3 ns, where Wasm's atomic.fence costs 20 (and asc 0.28.20's own validator refuses it). */
// @ts-ignore: decorator
@inline
export function fence(): void {
  // Under a scheduler every access is sequentially consistent: a barrier orders nothing and is no point.
  if (!CONTROLLED) atomic.add<u32>(current + TASK_BARRIER, 0);
}

export function fillBytes(p: usize, byte: u32, n: usize): void {
  if (CONTROLLED && n != 0) pointRange(POINT_FILL, p, n, <i32>byte);
  memory.fill(p, <u8>byte, n);
}

export function copyBytes(to: usize, from: usize, n: usize): void {
  if (CONTROLLED && n != 0) pointRange(POINT_COPY, to, n, <i32>from);
  memory.copy(to, from, n);
}

/**
 * Sleeps until `futexWake(p)`, unless *p differs from `expected`. Returns 0 woken, 1 not equal, 2 timed out.
 * @context sleeps; a timeout of -1 waits for ever, which only tests may ask for (no wait without a bound).
 */
export function futexWait(p: usize, expected: u32, timeoutNs: i64): i32 {
  if (CONTROLLED) return futexWaitControlled(p, expected, timeoutNs >= 0);
  rcuNoteContextSwitch();
  return doze(p, expected, timeoutNs);
}

/** The bare wait: for delays at points, which are no context switches. */
export function doze(p: usize, expected: u32, timeoutNs: i64): i32 {
  const result = memory.atomic.wait32(p, <i32>expected, timeoutNs);
  // A sleeper leaves when the run has oopsed meanwhile. And the call keeps Binaryen from inlining this function: code of V8's baseline compiler
  // (Node 20.20) loses the value of a caller's local that wait32 got as `expected`, which nobody can notice here.
  checkStop();
  return result;
}

/** Wakes up to `count` waiters of p; returns how many. 25-70 ns even without a waiter: call it only when one is recorded. */
export function futexWake(p: usize, count: u32): u32 {
  if (CONTROLLED) {
    pointFutex(POINT_FUTEX_WAKE, p, <i32>count, 0);
    return hostFutexWake(p, count);
  }
  return atomic.notify(p, <i32>count);
}

/** A turn of a loop that only a write to the word at `p` can end. @context CONTROLLED only. */
export function relaxOn(p: usize): void { if (CONTROLLED) pointRelaxOn(p); }

/** One turn of a spin loop: marks the loop as a spin for the scheduler. */
export function cpuRelax(): void {
  if (CONTROLLED) pointRelax();
  perturb();
  // Wasm has no PAUSE: a locked operation on the task's own line keeps the contended line quiet for some nanoseconds instead.
  if (!CONTROLLED) atomic.add<u32>(current + TASK_BARRIER, 0);
}
