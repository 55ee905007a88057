// The kernel's locks for JavaScript. All calls block the calling thread (Atomics.wait and its like), the main thread of Node included.
// A lock whose holder died stays held: end threads by a flag of yours, never by terminate().
import { LC_USER } from '../kernel/abi/classes.js';
import { KernelError } from '../host/errors.js';
import { Shared, type Arena } from './arena.js';

const LOCK_BYTES = 64;

/** Runs `body` between two calls, whatever it throws. */
function between<T>(enter: () => void, body: () => T, leave: () => void): T {
  enter();
  try {
    return body();
  } finally {
    leave();
  }
}

/** Sleeping mutual exclusion. kernel: struct mutex. */
export class Mutex extends Shared {
  static create(arena: Arena): Mutex {
    const mutex = new Mutex(arena, arena.alloc(LOCK_BYTES));
    arena.x.mutexInit(mutex.address, LC_USER);
    return mutex;
  }

  static at(arena: Arena, address: number): Mutex {
    return new Mutex(arena, address);
  }

  lock(): void {
    this.arena.x.mutexLock(this.address);
  }

  tryLock(): boolean {
    return this.arena.x.mutexTrylock(this.address) !== 0;
  }

  unlock(): void {
    this.arena.x.mutexUnlock(this.address);
  }

  withLock<T>(body: () => T): T {
    return between(
      () => this.lock(),
      body,
      () => this.unlock(),
    );
  }
}

/** Mutual exclusion for sections of a microsecond or less: spins first, parks when it takes long. kernel: spinlock_t. */
export class SpinLock extends Shared {
  static create(arena: Arena): SpinLock {
    const lock = new SpinLock(arena, arena.alloc(LOCK_BYTES));
    arena.x.spinLockInit(lock.address, LC_USER + 1);
    return lock;
  }

  static at(arena: Arena, address: number): SpinLock {
    return new SpinLock(arena, address);
  }

  lock(): void {
    this.arena.x.spinLock(this.address);
  }

  tryLock(): boolean {
    return this.arena.x.spinTrylock(this.address) !== 0;
  }

  unlock(): void {
    this.arena.x.spinUnlock(this.address);
  }

  withLock<T>(body: () => T): T {
    return between(
      () => this.lock(),
      body,
      () => this.unlock(),
    );
  }
}

/** Sleeping reader-writer lock: queueing, with a hand-off, so that neither side starves. kernel: struct rw_semaphore. */
export class RwSem extends Shared {
  static create(arena: Arena): RwSem {
    const sem = new RwSem(arena, arena.alloc(LOCK_BYTES));
    arena.x.rwsemInit(sem.address, LC_USER + 2);
    return sem;
  }

  static at(arena: Arena, address: number): RwSem {
    return new RwSem(arena, address);
  }

  readLock(): void {
    this.arena.x.downRead(this.address);
  }

  tryReadLock(): boolean {
    return this.arena.x.downReadTrylock(this.address) !== 0;
  }

  readUnlock(): void {
    this.arena.x.upRead(this.address);
  }

  writeLock(): void {
    this.arena.x.downWrite(this.address);
  }

  tryWriteLock(): boolean {
    return this.arena.x.downWriteTrylock(this.address) !== 0;
  }

  writeUnlock(): void {
    this.arena.x.upWrite(this.address);
  }

  /** Turns the write lock into a read lock; no writer gets in between. */
  downgrade(): void {
    this.arena.x.downgradeWrite(this.address);
  }

  withRead<T>(body: () => T): T {
    return between(
      () => this.readLock(),
      body,
      () => this.readUnlock(),
    );
  }

  withWrite<T>(body: () => T): T {
    return between(
      () => this.writeLock(),
      body,
      () => this.writeUnlock(),
    );
  }
}

/** Spinning reader-writer lock, first come first served. kernel: qrwlock, as KVM's mmu_lock. */
export class RwLock extends Shared {
  static create(arena: Arena): RwLock {
    const lock = new RwLock(arena, arena.alloc(LOCK_BYTES));
    arena.x.rwlockInit(lock.address, LC_USER + 3);
    return lock;
  }

  static at(arena: Arena, address: number): RwLock {
    return new RwLock(arena, address);
  }

  readLock(): void {
    this.arena.x.readLock(this.address);
  }

  tryReadLock(): boolean {
    return this.arena.x.readTrylock(this.address) !== 0;
  }

  readUnlock(): void {
    this.arena.x.readUnlock(this.address);
  }

  writeLock(): void {
    this.arena.x.writeLock(this.address);
  }

  tryWriteLock(): boolean {
    return this.arena.x.writeTrylock(this.address) !== 0;
  }

  writeUnlock(): void {
    this.arena.x.writeUnlock(this.address);
  }

  withRead<T>(body: () => T): T {
    return between(
      () => this.readLock(),
      body,
      () => this.readUnlock(),
    );
  }

  withWrite<T>(body: () => T): T {
    return between(
      () => this.writeLock(),
      body,
      () => this.writeUnlock(),
    );
  }
}

/** Readers that never wait; a writer waits until every reader that was inside has left. kernel: struct srcu_struct. */
export class Srcu extends Shared {
  static create(arena: Arena): Srcu {
    const srcu = new Srcu(arena, arena.alloc(LOCK_BYTES));
    const error = arena.x.srcuInit(srcu.address, LC_USER + 4);
    if (error !== 0) throw new KernelError('init_srcu_struct', error);
    return srcu;
  }

  static at(arena: Arena, address: number): Srcu {
    return new Srcu(arena, address);
  }

  /** Enters a read section; the number returned goes to readUnlock. Sections may nest. */
  readLock(): number {
    return this.arena.x.srcuReadLock(this.address);
  }

  readUnlock(index: number): void {
    this.arena.x.srcuReadUnlock(this.address, index);
  }

  withRead<T>(body: () => T): T {
    const index = this.readLock();
    try {
      return body();
    } finally {
      this.readUnlock(index);
    }
  }

  /** Waits until all read sections that began before the call have ended. Never inside a read section of the same SRCU. */
  synchronize(): void {
    this.arena.x.synchronizeSrcu(this.address);
  }
}

/** A rendezvous of a fixed number of threads. */
export class Barrier extends Shared {
  static create(arena: Arena, parties: number): Barrier {
    const barrier = new Barrier(arena, arena.alloc(LOCK_BYTES));
    arena.x.barrierInit(barrier.address, parties);
    return barrier;
  }

  static at(arena: Arena, address: number): Barrier {
    return new Barrier(arena, address);
  }

  /** Waits for the others; returns the number of the round. */
  wait(): number {
    return this.arena.x.barrierWait(this.address) >>> 0;
  }
}
