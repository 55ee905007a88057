// The engine's cycle once more in TypeScript with `Atomics` over a SharedArrayBuffer: what it would cost without WebAssembly. The same algorithm, step by
// step as in src/kernel: this file has the memory and the locks. A release store is a plain one, as in the engine on x86; an atomic load is `Atomics.load`. Where the hardware's format is 64 bits wide and changed atomically (page-table entries,
// RMP entries) it is here, too, by BigUint64Array; software counters are 32 bits here, which favours this version. Paths that an uncontended cycle never
// takes are left out; one that would be needed throws.

const BYTES = 1 << 24;
const buffer = new SharedArrayBuffer(BYTES);
/** Memory as 32-bit words; structures are word offsets into it. */
export const w = new Int32Array(buffer);
/** The same memory as 64-bit words, for what the hardware reads. */
export const q = new BigUint64Array(buffer);

let end = 64;

/** Fresh zeroed words at a cache line's start. */
export function allocate(words: number): number {
  const at = (end + 15) & ~15;
  end = at + words;
  if (end > w.length) throw new RangeError('the JavaScript cycle is out of memory');
  return at;
}

/** Stands for what an uncontended cycle never meets. */
export function never(what: string): never {
  throw new Error(`the JavaScript cycle has no path for ${what}`);
}

/** This thread's task: held sections of RCU, its counters, its private stack. */
export const task = { rcuNesting: allocate(16), rcuCtr: allocate(16), counters: allocate(16), stack: allocate(512) };
export const TASK_ID = 0;

// --- spinlock, mutex: one word each, owner and waiters beside it ---

export function lock(at: number): void {
  if (Atomics.compareExchange(w, at, 0, 1) !== 0) never('a contended lock');
  w[at + 1] = TASK_ID + 1;
}

export function unlock(at: number): void {
  w[at + 1] = 0;
  w[at] = 0;
  if (Atomics.load(w, at + 2) !== 0) never('waiters of a lock');
}

// --- rw_semaphore (restrictedmem.lock) and rwlock (mmu_lock): readers count in steps, a writer owns the low byte ---

const READER = 0x100;
const WRITER = 0xff;

export function readLock(at: number): void {
  if ((Atomics.add(w, at, READER) & WRITER) !== 0) never('a writer');
  w[at + 1] = (TASK_ID + 1) | 0x10000;
}

export function readUnlock(at: number): void {
  if ((Atomics.sub(w, at, READER) & WRITER) !== 0) never('a writer');
}

export function writeLock(at: number): void {
  if (Atomics.compareExchange(w, at, 0, WRITER) !== 0) never('another holder');
  w[at + 1] = TASK_ID + 1;
}

export function writeUnlock(at: number): void {
  w[at + 1] = 0;
  w[at] = 0;
  if (Atomics.load(w, at + 2) !== 0) never('waiters');
}

// --- SRCU: two banks of lock and unlock counters of this CPU, `draining` of a grace period ---

const SRCU_DRAINING = 16;
const SRCU_COUNTERS = 32;

export function srcuNew(): number {
  return allocate(64);
}

export function srcuReadLock(s: number): number {
  const bank = Atomics.load(w, s) & 1;
  const counter = s + SRCU_COUNTERS + bank * 2;
  Atomics.store(w, counter, w[counter]! + 1);
  return bank;
}

export function srcuReadUnlock(s: number, bank: number): void {
  const counter = s + SRCU_COUNTERS + 4 + bank * 2;
  w[counter]!++;
  if (Atomics.load(w, s + SRCU_DRAINING) === bank + 1) never('a grace period');
}

// --- RCU: the newest grace period, published by who is inside, and left published during a stay in the kernel, as this whole cycle is ---

const gp = allocate(16);
const waiting = gp + 1;
w[gp] = 1;

export function rcuReadLock(): void {
  const nesting = w[task.rcuNesting]!;
  if (nesting === 0) {
    const newest = Atomics.load(w, gp);
    if (w[task.rcuCtr] !== newest) Atomics.store(w, task.rcuCtr, newest);
  }
  w[task.rcuNesting] = nesting + 1;
}

export function rcuReadUnlock(): void {
  const nesting = w[task.rcuNesting]! - 1;
  w[task.rcuNesting] = nesting;
  if (nesting !== 0) return;
  if (Atomics.load(w, waiting) !== 0) never('a waiting grace period');
}

// --- deferred frees: blocks of 126, each freed one grace period later ---

const DEFERRED_MAX = 126;
const deferred: number[][] = [[]];

/** Frees by `free` when every reader that is inside now has left. */
export function kfreeRcu(object: number, free: (object: number) => void): void {
  const open = deferred.at(-1)!;
  open.push(object);
  if (open.length < DEFERRED_MAX) return;
  Atomics.add(w, gp, 1);
  deferred.push([]);
  if (w[task.rcuNesting] !== 0) never('a grace period inside a read section');
  w[task.rcuCtr] = 0;
  while (deferred.length > 1) for (const one of deferred.shift()!) free(one);
}
