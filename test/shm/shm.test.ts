// rmptorture/shm from outside: each lock and table used by several real threads over one arena.
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Arena, Barrier, Histogram, Mutex, Ring, RwLock, RwSem, SpinLock, Srcu, XArray } from '#src/shm/index.js';
import type * as Shm from '#src/shm/index.js';

type Body<A, R> = (shm: typeof Shm, arena: Arena, index: number, arg: A) => R;

const ENTRY = new URL('../../dist/src/shm/index.js', import.meta.url).href;
const SOURCE = `
const { workerData, parentPort } = require('node:worker_threads');
import(workerData.entry).then((shm) => {
  const arena = shm.Arena.attach(workerData.handle);
  const result = (0, eval)('(' + workerData.body + ')')(shm, arena, workerData.index, workerData.arg);
  arena.detach();
  parentPort.postMessage(result);
});`;

/** Runs `body` (sent as text) on real threads attached to the arena. */
async function threads<A, R>(arena: Arena, count: number, body: Body<A, R>, arg: A): Promise<R[]> {
  return Promise.all(
    Array.from(
      { length: count },
      (_, index) =>
        new Promise<R>((resolve, reject) => {
          const workerData = { entry: ENTRY, handle: arena.handle(), body: body.toString(), index, arg };
          const worker = new Worker(SOURCE, { eval: true, workerData });
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
}

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

describe('XArray', () => {
  it('stores, finds and erases values, ranges and marks', () => {
    const array = XArray.create(Arena.create({ bytes: '1MiB' }));
    expect(array.store(5, 50)).toBeUndefined();
    expect(array.store(5, 51)).toBe(50);
    array.storeRange(64, 127, 7);
    array.setMark(5, 1);
    expect(array.hasMark(5, 1)).toBe(true);
    expect([...array.entries()]).toEqual([
      [5, 51],
      [64, 7],
    ]);
    expect(array.load(100)).toBe(7);
    expect(array.erase(100)).toBe(7);
    expect(array.load(64)).toBeUndefined();
    array.clear();
    expect([...array.entries()]).toEqual([]);
  });

  it('takes stores of several threads at once', async () => {
    const arena = Arena.create({ bytes: '4MiB' });
    const array = XArray.create(arena);
    await threads(
      arena,
      2,
      (shm, view, index, address) => {
        for (let n = 0; n < 2000; n++) shm.XArray.at(view, address).store(n * 2 + index, n);
      },
      array.address,
    );
    expect([...array.entries()].map(([index]) => index)).toEqual(Array.from({ length: 4000 }, (_, n) => n));
  });

  it('refuses indices and values it cannot hold', () => {
    const array = XArray.create(Arena.create({ bytes: '1MiB' }));
    expect(() => array.store(-1, 1)).toThrow('index: -1 is not a whole number');
    expect(() => array.store(1, 2 ** 30)).toThrow('value: 1073741824 is not a whole number from 0 to 1073741823');
  });
});

describe('Ring', () => {
  it('hands every record over, once and in order', async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const ring = Ring.create(arena, 8, 4);
    const [, popped] = await threads(
      arena,
      2,
      (shm, view, index, address) => {
        const shared = shm.Ring.at(view, address);
        const got: number[] = [];
        const record = new Uint8Array(4);
        for (let n = 0; n < 5000;) {
          if (index === 0) {
            new DataView(record.buffer).setUint32(0, n);
            if (shared.push(record)) n++;
          } else {
            const next = shared.pop();
            if (next !== undefined) {
              got.push(new DataView(next.buffer).getUint32(0));
              n++;
            }
          }
        }
        return got;
      },
      ring.address,
    );
    expect(popped).toEqual(Array.from({ length: 5000 }, (_, n) => n));
  });

  it('says when it is full and when it is empty', () => {
    const ring = Ring.create(Arena.create({ bytes: '1MiB' }), 2, 1);
    expect(ring.pop()).toBeUndefined();
    expect([1, 2, 3].map((n) => ring.push(Uint8Array.of(n)))).toEqual([true, true, false]);
    expect(ring.length).toBe(2);
    expect(() => ring.push(new Uint8Array(2))).toThrow('records of 1');
    expect(() => Ring.create(Arena.create({ bytes: '1MiB' }), 3, 1)).toThrow('not a power of two');
  });
});

describe('Histogram', () => {
  it('keeps percentiles to within a sixteenth, merged or not', () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const [a, b] = [Histogram.create(arena), Histogram.create(arena)];
    for (let n = 1; n <= 1000; n++) (n % 2 === 0 ? a : b).record(n);
    const merged = Histogram.merge([a, b]);
    expect(merged.count).toBe(1000);
    expect(Math.abs(merged.percentile(0.9) - 900)).toBeLessThanOrEqual(900 / 16);
    expect(a.toHdrText()).toMatch(/1\.000000000000 +500\n#\[Buckets = \d+, SubBuckets = 16, Total count = 500\]\n$/);
  });
});

describe('an arena', () => {
  it('refuses options that make no sense, in one line', () => {
    expect(() => Arena.create({ bytes: 'lots' })).toThrow('"lots" is not a size');
    expect(() => Arena.create({ maxThreads: 0 })).toThrow('maxThreads: 0 is not a whole number from 1 to 1024');
    expect(() => Arena.create({ bytes: '8GiB' })).toThrow('at most 4000MiB');
  });

  it('says that it has no memory left', () => {
    expect(() => Arena.create({ bytes: '1MiB' }).alloc(64 << 20)).toThrow('ENOMEM');
  });

  it('is over an ordinary SharedArrayBuffer', () => {
    const arena = Arena.create({ bytes: '1MiB' });
    expect(arena.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(arena.alloc(8) % 64).toBe(0);
  });
});
