// rmptorture/shm from outside: each lock used by several real threads over one arena.
import { describe, expect, it } from 'vitest';
import { Arena, Barrier, Mutex, RwLock, RwSem, SpinLock, Srcu } from '#src/shm/index.js';
import { threads } from './threads.js';

const EXCLUSIVE = [
  { name: 'Mutex', create: (arena: Arena) => Mutex.create(arena).address },
  { name: 'SpinLock', create: (arena: Arena) => SpinLock.create(arena).address },
  { name: 'RwSem', create: (arena: Arena) => RwSem.create(arena).address },
  { name: 'RwLock', create: (arena: Arena) => RwLock.create(arena).address },
];

describe.each(EXCLUSIVE)('$name', ({ name, create }) => {
  it('lets one thread at a time into its exclusive section', async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const cell = arena.alloc(4);
    const arg = { name, lock: create(arena), cell };
    await threads(
      arena,
      3,
      (shm, view, _index, { name: kind, lock, cell: at }) => {
        const count = new Int32Array(view.buffer, at, 1);
        const bump = (): void => {
          const seen = count[0]!;
          for (let n = 0; n < 20; n++) count[0] = -1;
          count[0] = seen + 1;
        };
        for (let n = 0; n < 3000; n++) {
          if (kind === 'Mutex') shm.Mutex.at(view, lock).withLock(bump);
          else if (kind === 'SpinLock') shm.SpinLock.at(view, lock).withLock(bump);
          else if (kind === 'RwSem') shm.RwSem.at(view, lock).withWrite(bump);
          else shm.RwLock.at(view, lock).withWrite(bump);
        }
      },
      arg,
    );
    expect(new Int32Array(arena.buffer, cell, 1)[0]).toBe(9000);
  });
});

describe('the other locks', () => {
  it('refuse a try while the lock is taken, and take it afterwards', () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const mutex = Mutex.create(arena);
    const sem = RwSem.create(arena);
    mutex.lock();
    expect(mutex.tryLock()).toBe(false);
    mutex.unlock();
    expect(mutex.tryLock()).toBe(true);
    sem.writeLock();
    expect(sem.tryReadLock()).toBe(false);
    sem.downgrade();
    expect(sem.tryReadLock()).toBe(true);
    expect(sem.tryWriteLock()).toBe(false);
  });

  it('refuse an attempt for a time when the time is over, and take a lock that comes free meanwhile', async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const locks = { mutex: Mutex.create(arena), sem: RwSem.create(arena), lock: RwLock.create(arena) };
    const go = arena.alloc(4);
    locks.mutex.lock();
    locks.sem.readLock();
    locks.lock.writeLock();
    const arg = { mutex: locks.mutex.address, sem: locks.sem.address, lock: locks.lock.address, go };
    const [taken] = await Promise.all([
      threads(
        arena,
        1,
        (shm, view, _index, at) => {
          const mutex = shm.Mutex.at(view, at.mutex);
          const early = [
            mutex.tryLock(20),
            shm.RwSem.at(view, at.sem).tryReadLock(1000),
            shm.RwSem.at(view, at.sem).tryWriteLock(20),
            shm.RwLock.at(view, at.lock).tryReadLock(20),
          ];
          Atomics.store(new Int32Array(view.buffer, at.go, 1), 0, 1);
          Atomics.notify(new Int32Array(view.buffer, at.go, 1), 0);
          const late = mutex.tryLock(60_000);
          mutex.unlock();
          shm.RwSem.at(view, at.sem).readUnlock();
          return [...early, late];
        },
        arg,
      ),
      Promise.resolve(Atomics.waitAsync(new Int32Array(arena.buffer, go, 1), 0, 0).value).then(() =>
        locks.mutex.unlock(),
      ),
    ]);
    expect(taken).toEqual([[false, true, false, false, true]]);
  });

  it('tell a time limit and a section that make no sense', () => {
    const mutex = Mutex.create(Arena.create({ bytes: '1MiB' }));
    expect(() => mutex.tryLock(-1)).toThrow('timeoutMs: -1 is not a number of at least 0');
    expect(() => mutex.withLock(async () => Promise.resolve(1))).toThrow('section: it must not be asynchronous');
    expect(mutex.tryLock()).toBe(true);
  });

  it('are not to be found at any address', () => {
    const arena = Arena.create({ bytes: '1MiB' });
    for (const address of [0, 65_600, arena.alloc(64) + 8, arena.buffer.byteLength, Number.NaN]) {
      expect(() => Mutex.at(arena, address)).toThrow(`address: ${address} is not the address of an object`);
    }
  });

  it('release when the section throws', () => {
    const mutex = Mutex.create(Arena.create({ bytes: '1MiB' }));
    const fail = (): never => {
      throw new Error('inside');
    };
    expect(() => mutex.withLock(fail)).toThrow('inside');
    expect(mutex.tryLock()).toBe(true);
  });

  it('Srcu waits for the readers that were inside', async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const srcu = Srcu.create(arena);
    const cells = arena.alloc(8);
    const stale = await threads(
      arena,
      2,
      (shm, view, index, arg) => {
        const side = shm.Srcu.at(view, arg.srcu);
        const live = new Int32Array(view.buffer, arg.cells, 2);
        let wrong = 0;
        for (let n = 1; n <= 400; n++) {
          if (index === 0) {
            // The writer retires value n - 1, waits for its readers, and only then marks it dead.
            Atomics.store(live, 0, n);
            side.synchronize();
            Atomics.store(live, 1, n - 1);
          } else {
            wrong += side.withRead(() => {
              const seen = Atomics.load(live, 0);
              for (let spin = 0; spin < 200; spin++) Atomics.load(live, 0);
              return seen > 0 && Atomics.load(live, 1) >= seen ? 1 : 0;
            });
          }
        }
        return wrong;
      },
      { srcu: srcu.address, cells },
    );
    expect(stale).toEqual([0, 0]);
  });

  it('Barrier lets nobody through before all have come', async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const barrier = Barrier.create(arena, 3);
    const cell = arena.alloc(4);
    const seen = await threads(
      arena,
      3,
      (shm, view, _index, arg) => {
        const count = new Int32Array(view.buffer, arg.cell, 1);
        Atomics.add(count, 0, 1);
        shm.Barrier.at(view, arg.barrier).wait();
        return Atomics.load(count, 0);
      },
      { barrier: barrier.address, cell },
    );
    expect(seen).toEqual([3, 3, 3]);
  });
});
