// The kernel's locks for JavaScript. All calls block the calling thread (Atomics.wait and its like), the main thread of Node included.
// A lock whose holder died stays held: end threads by a flag of yours, never by terminate().
import {
  TIMED_MUTEX,
  TIMED_RWLOCK_READ,
  TIMED_RWLOCK_WRITE,
  TIMED_RWSEM_READ,
  TIMED_RWSEM_WRITE,
  TIMED_SPINLOCK,
} from '../kernel/abi/shm.js';
import { KernelError, UsageError } from '../host/errors.js';
import { within } from '../host/arguments.js';
import { shown } from '../host/options.js';
import { arenaOf, limitNs, lockClassOf, Shared, type Arena, type LockOptions } from './arena.js';

const LOCK_BYTES = 64;

/** Runs `body` between two calls, whatever it throws. A body that goes on after its return would run without the lock. */
function between<T>(enter: () => void, body: () => T, leave: () => void): T {
  if (typeof body !== 'function') throw new UsageError('section', `section: ${shown(body)} is not a function`);
  let result: T;
  enter();
  try {
    result = body();
  } finally {
    leave();
  }
  if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function')
    throw new UsageError(
      'section',
      'section: it must not be asynchronous, because the lock is released when it returns',
    );
  return result;
}

/** Makes the memory of a lock and names it for reports. */
function place(operation: string, arena: Arena): number {
  const address = arenaOf(operation, arena).alloc(LOCK_BYTES);
  arena.x.nameUserLock(address, LOCK_BYTES);
  return address;
}

/** A lock that can be tried for a time. */
abstract class Lock extends Shared {
  protected timed(kind: number, timeoutMs: number): boolean {
    return this.arena.x.lockTimed(kind, this.address, limitNs(timeoutMs)) !== 0;
  }
}

/** A lock that readers share and a writer has alone. */
abstract class ReaderWriterLock extends Lock {
  abstract readLock(): void;
  abstract readUnlock(): void;
  abstract writeLock(): void;
  abstract writeUnlock(): void;

  /** Runs `body` as a reader; ends reading also when that throws. */
  withRead<T>(body: () => T): T {
    return between(
      () => this.readLock(),
      body,
      () => this.readUnlock(),
    );
  }

  /** Runs `body` as the writer; ends writing also when that throws. */
  withWrite<T>(body: () => T): T {
    return between(
      () => this.writeLock(),
      body,
      () => this.writeUnlock(),
    );
  }
}

/** Sleeping mutual exclusion. kernel: struct mutex. */
export class Mutex extends Lock {
  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena, options: LockOptions = {}): Mutex {
    const lockClass = lockClassOf('Mutex.create', options);
    const mutex = new Mutex(arena, place('Mutex.create', arena), LOCK_BYTES);
    arena.x.mutexInit(mutex.address, lockClass);
    return mutex;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): Mutex {
    return new Mutex(arena, address, LOCK_BYTES);
  }

  /** Takes the lock; waits while another thread has it. */
  lock(): void {
    this.arena.x.mutexLock(this.address);
  }

  /** Takes it if that is possible at once, or within `timeoutMs`. */
  tryLock(timeoutMs = 0): boolean {
    return this.timed(TIMED_MUTEX, timeoutMs);
  }

  /** Gives the lock back. In builds that check, KernelOops when the thread does not hold it. */
  unlock(): void {
    this.arena.x.mutexUnlock(this.address);
  }

  /** Runs `body` with the lock, and gives it back also when that throws. */
  withLock<T>(body: () => T): T {
    return between(
      () => this.lock(),
      body,
      () => this.unlock(),
    );
  }
}

/** Mutual exclusion for sections of a microsecond or less: spins first, parks when it takes long. kernel: spinlock_t. */
export class SpinLock extends Lock {
  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena, options: LockOptions = {}): SpinLock {
    const lockClass = lockClassOf('SpinLock.create', options);
    const lock = new SpinLock(arena, place('SpinLock.create', arena), LOCK_BYTES);
    arena.x.spinLockInit(lock.address, lockClass);
    return lock;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): SpinLock {
    return new SpinLock(arena, address, LOCK_BYTES);
  }

  /** Takes the lock; waits while another thread has it. */
  lock(): void {
    this.arena.x.spinLock(this.address);
  }

  /** Takes it if that is possible at once, or within `timeoutMs`. */
  tryLock(timeoutMs = 0): boolean {
    return this.timed(TIMED_SPINLOCK, timeoutMs);
  }

  /** Gives the lock back. In builds that check, KernelOops when the thread does not hold it. */
  unlock(): void {
    this.arena.x.spinUnlock(this.address);
  }

  /** Runs `body` with the lock, and gives it back also when that throws. */
  withLock<T>(body: () => T): T {
    return between(
      () => this.lock(),
      body,
      () => this.unlock(),
    );
  }
}

/** Sleeping reader-writer lock: queueing, with a hand-off, so that neither side starves. kernel: struct rw_semaphore. */
export class RwSem extends ReaderWriterLock {
  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena, options: LockOptions = {}): RwSem {
    const lockClass = lockClassOf('RwSem.create', options);
    const sem = new RwSem(arena, place('RwSem.create', arena), LOCK_BYTES);
    arena.x.rwsemInit(sem.address, lockClass);
    return sem;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): RwSem {
    return new RwSem(arena, address, LOCK_BYTES);
  }

  /** Takes the lock for reading, beside other readers; waits for a writer. */
  readLock(): void {
    this.arena.x.downRead(this.address);
  }

  /** Takes it if that is possible at once, or within `timeoutMs`. */
  tryReadLock(timeoutMs = 0): boolean {
    return this.timed(TIMED_RWSEM_READ, timeoutMs);
  }

  /** Ends reading. */
  readUnlock(): void {
    this.arena.x.upRead(this.address);
  }

  /** Takes the lock for writing, alone; waits for readers and writers. */
  writeLock(): void {
    this.arena.x.downWrite(this.address);
  }

  /** Takes it if that is possible at once, or within `timeoutMs`. */
  tryWriteLock(timeoutMs = 0): boolean {
    return this.timed(TIMED_RWSEM_WRITE, timeoutMs);
  }

  /** Ends writing. */
  writeUnlock(): void {
    this.arena.x.upWrite(this.address);
  }

  /** Turns the write lock into a read lock; no writer gets in between. */
  downgrade(): void {
    this.arena.x.downgradeWrite(this.address);
  }
}

/** Spinning reader-writer lock, first come first served. kernel: qrwlock, as KVM's mmu_lock. */
export class RwLock extends ReaderWriterLock {
  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena, options: LockOptions = {}): RwLock {
    const lockClass = lockClassOf('RwLock.create', options);
    const lock = new RwLock(arena, place('RwLock.create', arena), LOCK_BYTES);
    arena.x.rwlockInit(lock.address, lockClass);
    return lock;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): RwLock {
    return new RwLock(arena, address, LOCK_BYTES);
  }

  /** Takes the lock for reading, beside other readers; waits for a writer. */
  readLock(): void {
    this.arena.x.readLock(this.address);
  }

  /** Takes it if that is possible at once, or within `timeoutMs`. */
  tryReadLock(timeoutMs = 0): boolean {
    return this.timed(TIMED_RWLOCK_READ, timeoutMs);
  }

  /** Ends reading. */
  readUnlock(): void {
    this.arena.x.readUnlock(this.address);
  }

  /** Takes the lock for writing, alone; waits for readers and writers. */
  writeLock(): void {
    this.arena.x.writeLock(this.address);
  }

  /** Takes it if that is possible at once, or within `timeoutMs`. */
  tryWriteLock(timeoutMs = 0): boolean {
    return this.timed(TIMED_RWLOCK_WRITE, timeoutMs);
  }

  /** Ends writing. */
  writeUnlock(): void {
    this.arena.x.writeUnlock(this.address);
  }

  /** Whether somebody waits: a long section may let go and come back. */
  get contended(): boolean {
    return this.arena.x.rwlockNeedbreak(this.address) !== 0;
  }
}

/** Readers that never wait; a writer waits until every reader that was inside has left. kernel: struct srcu_struct. */
export class Srcu extends Shared {
  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena): Srcu {
    const srcu = new Srcu(arena, place('Srcu.create', arena), LOCK_BYTES);
    const error = arena.x.srcuInit(srcu.address, 0);
    if (error !== 0) {
      arena.free(srcu.address, LOCK_BYTES);
      throw new KernelError('init_srcu_struct', error);
    }
    return srcu;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): Srcu {
    return new Srcu(arena, address, LOCK_BYTES);
  }

  /** Enters a read section; the number returned goes to readUnlock. Sections may nest. */
  readLock(): number {
    return this.arena.x.srcuReadLock(this.address);
  }

  /** Ends the section that readLock() began, which gave the index. */
  readUnlock(index: number): void {
    if (index !== 0 && index !== 1)
      throw new UsageError('index', `index: ${shown(index)} is not what readLock() returned, 0 or 1`);
    this.arena.x.srcuReadUnlock(this.address, index);
  }

  /** Runs `body` as a reader; ends reading also when that throws. */
  withRead<T>(body: () => T): T {
    let index = 0;
    return between(
      () => {
        index = this.readLock();
      },
      body,
      () => this.readUnlock(index),
    );
  }

  /** Waits until all read sections that began before the call have ended. Never inside a read section of the same SRCU. */
  synchronize(): void {
    this.arena.x.synchronizeSrcu(this.address);
  }

  /** Gives the readers' counters back. Nobody may use it any more. */
  destroy(): void {
    this.arena.x.srcuCleanup(this.address);
  }
}

/** A rendezvous of a fixed number of threads. */
export class Barrier extends Shared {
  /** Makes one in the arena; other threads reach it by its address. Throws KernelError when the arena is full. */
  static create(arena: Arena, parties: number): Barrier {
    within('parties', parties, 1, 1024);
    const barrier = new Barrier(arena, place('Barrier.create', arena), LOCK_BYTES);
    arena.x.barrierInit(barrier.address, parties);
    return barrier;
  }

  /** The one that lies at this address of the arena: for another thread. */
  static at(arena: Arena, address: number): Barrier {
    return new Barrier(arena, address, LOCK_BYTES);
  }

  /** Waits for the others; returns the number of the round. */
  wait(): number {
    return this.arena.x.barrierWait(this.address) >>> 0;
  }
}
