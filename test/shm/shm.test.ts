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
    expect(array.empty).toBe(true);
  });

  it('inserts where nothing is, exchanges what is expected, erases ranges, finds marks', () => {
    const array = XArray.create(Arena.create({ bytes: '1MiB' }));
    expect([array.insert(2 ** 53 - 1, 2 ** 31 - 1), array.insert(2 ** 53 - 1, 5)]).toEqual([true, false]);
    expect(array.load(2 ** 53 - 1)).toBe(2 ** 31 - 1);
    expect(array.compareExchange(9, undefined, 4)).toBeUndefined();
    expect([array.compareExchange(9, 5, 6), array.load(9)]).toEqual([4, 4]);
    expect([array.compareExchange(9, 4, 6), array.load(9)]).toEqual([4, 6]);
    expect([array.compareExchange(9, 6, undefined), array.load(9)]).toEqual([6, undefined]);
    for (let n = 100; n < 120; n++) array.store(n, n);
    array.setMark(105, 0);
    array.setMark(111, 0);
    array.clearMark(111, 0);
    expect([...array.entries(0, 1000, 0)]).toEqual([[105, 105]]);
    array.eraseRange(101, 118);
    expect([...array.entries(0, 1000)]).toEqual([
      [100, 100],
      [119, 119],
    ]);
    expect([...array.entries(101, 118)]).toEqual([]);
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
    expect(() => array.store(1, 2 ** 31)).toThrow('value: 2147483648 is not a whole number from 0 to 2147483647');
    expect(() => array.setMark(1, 3 as never)).toThrow('mark: 3 is not 0, 1 or 2');
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

  it("takes records of several producers that wait for space, loses none and keeps each one's order", async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const ring = Ring.create(arena, 4, 8);
    const [seen] = await threads(
      arena,
      3,
      (shm, view, index, address) => {
        const shared = shm.Ring.at(view, address);
        const last = [0, 0, 0];
        let orderly = 0;
        for (let n = 1; n <= 2000; n++) {
          if (index !== 0) shared.pushWait(new Uint8Array(Uint32Array.of(index, n).buffer));
          else {
            for (let half = 0; half < 2; half++) {
              const [from, number] = new Uint32Array(shared.popWait()!.buffer);
              if (last[from!] === number! - 1) orderly++;
              last[from!] = number!;
            }
          }
        }
        return index === 0 ? { orderly, last } : undefined;
      },
      ring.address,
    );
    expect(seen).toEqual({ orderly: 4000, last: [0, 2000, 2000] });
    expect(ring.length).toBe(0);
  });

  it('gives up waiting when the time is over', () => {
    const ring = Ring.create(Arena.create({ bytes: '1MiB' }), 2, 1, { oneProducer: true });
    expect(ring.popWait(5)).toBeUndefined();
    expect([1, 2, 3].map((n) => ring.pushWait(Uint8Array.of(n), 5))).toEqual([true, true, false]);
    expect([ring.pop(), ring.popWait(5), ring.pop()]).toEqual([Uint8Array.of(1), Uint8Array.of(2), undefined]);
  });

  it('carries large records round and round, and gives its memory back', () => {
    const arena = Arena.create({ bytes: '1MiB', maxThreads: 1 });
    for (let round = 0; round < 100; round++) {
      const ring = Ring.create(arena, 2, 40_000);
      for (let n = 0; n < 5; n++) {
        expect(ring.push(new Uint8Array(40_000).fill(round + n))).toBe(true);
        expect(ring.pop()!.every((byte) => byte === round + n)).toBe(true);
      }
      ring.free();
    }
  });

  it('says when it is full and when it is empty', () => {
    const ring = Ring.create(Arena.create({ bytes: '1MiB' }), 2, 1);
    expect(ring.pop()).toBeUndefined();
    expect([1, 2, 3].map((n) => ring.push(Uint8Array.of(n)))).toEqual([true, true, false]);
    expect([ring.length, ring.refused]).toEqual([2, 1]);
    expect(() => ring.push(new Uint8Array(2))).toThrow('records of 1');
    expect(() => Ring.create(Arena.create({ bytes: '1MiB' }), 3, 1)).toThrow('not a power of two');
  });
});

describe('Histogram', () => {
  it('keeps percentiles to within its precision, merged or not', () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const [a, b] = [Histogram.create(arena), Histogram.create(arena)];
    for (let n = 1; n <= 1000; n++) (n % 2 === 0 ? a : b).record(n);
    const merged = Histogram.merge([a, b]);
    expect([merged.count, merged.min, merged.max, merged.mean]).toEqual([1000, 1, 1000, 500.5]);
    expect(merged.standardDeviation).toBeCloseTo(Math.sqrt((1000 ** 2 - 1) / 12), 6);
    for (const share of [0.01, 0.5, 0.9, 0.999]) {
      expect(merged.percentile(share)).toBeGreaterThanOrEqual(share * 1000);
      expect(merged.percentile(share)).toBeLessThanOrEqual(share * 1000 * (1 + 1 / 32));
    }
    expect([merged.percentile(1), a.percentile(0), a.count]).toEqual([1000, 2, 500]);
  });

  it.each([1, 5, 12])('puts any value into a bucket at most 2^-%d wide, without gaps', (precision) => {
    const arena = Arena.create({ bytes: '16MiB', maxThreads: 2 });
    for (let exponent = 0; exponent < 53; exponent += 4) {
      for (const value of [2 ** exponent, 2 ** exponent * 1.37, 2 ** (exponent + 1) - 1]) {
        const histogram = Histogram.create(arena, { precision });
        histogram.record(Math.floor(value));
        histogram.record(2 ** 53 - 1);
        const found = histogram.percentile(0.5);
        expect(found).toBeGreaterThanOrEqual(Math.floor(value));
        expect(found).toBeLessThanOrEqual(Math.floor(value) * (1 + 2 ** -precision));
        histogram.free();
      }
    }
  });

  it('counts what several threads record at once, each in its own slice', async () => {
    const arena = Arena.create({ bytes: '4MiB' });
    const histogram = Histogram.create(arena);
    await threads(
      arena,
      3,
      (shm, view, index, address) => {
        const shared = shm.Histogram.at(view, address);
        for (let n = 0; n < 20_000; n++) shared.record(index);
      },
      histogram.address,
    );
    const { count, total, max, buckets } = histogram.summary();
    expect([count, total, max, ...buckets.slice(0, 4)]).toEqual([60_000, 60_000, 2, 20_000, 20_000, 20_000, 0]);
  });

  it('prints the percentile distribution as HdrHistogram does', () => {
    const histogram = Histogram.create(Arena.create({ bytes: '1MiB' }), { precision: 4 });
    for (let n = 1; n <= 4; n++) histogram.record(n * 1000);
    expect(histogram.toHdrText({ scale: 1000, ticks: 1 })).toBe(
      [
        '       Value     Percentile TotalCount 1/(1-Percentile)',
        '',
        '       1.023 0.000000000000          1           1.00',
        '       2.047 0.500000000000          2           2.00',
        '       3.071 0.750000000000          3           4.00',
        '       4.000 1.000000000000          4',
        '#[Mean    =        2.500, StdDeviation   =        1.118]',
        '#[Max     =        4.000, Total count    =            4]',
        '#[Buckets =           50, SubBuckets     =           16]',
        '',
      ].join('\n'),
    );
  });

  it('refuses what is no value, and summaries of another precision', () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const histogram = Histogram.create(arena);
    for (const value of [-1, Number.NaN, 2 ** 53, Infinity]) {
      expect(() => histogram.record(value)).toThrow(`value: ${value} is not a number from 0 up to 2^53`);
    }
    expect(histogram.percentile(0.5)).toBeNaN();
    expect(() => Histogram.merge([histogram, Histogram.create(arena, { precision: 3 })])).toThrow('precision: 3');
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

  it('stopped, lets a thread leave a lock that nobody will release', async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const mutex = Mutex.create(arena);
    mutex.lock();
    const left = threads(
      arena,
      1,
      (shm, view, _index, address) => {
        try {
          shm.Mutex.at(view, address).lock();
          return 'taken';
        } catch (error) {
          return `${(error as Shm.RmpTortureError).code}: ${(error as Error).message}`;
        }
      },
      mutex.address,
    );
    while (arena.waiting().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(arena.waiting()[0]).toMatch(
      /^task1 waiting for mutex lock0 for \d+ ms; class none, held by task0; it holds/,
    );
    arena.stop();
    expect(await left).toEqual(['ECANCELED: the arena was stopped']);
  });

  it('checked, finds locks of two kinds taken in either order, recursion, and a stranger unlocking', () => {
    const inverted = Arena.create({ bytes: '1MiB', checked: true });
    const a = Mutex.create(inverted, { lockClass: 0 });
    const b = RwSem.create(inverted, { lockClass: 1 });
    a.withLock(() => b.withRead(() => 1));
    b.writeLock();
    expect(() => a.lock()).toThrow(/lock order: .* taken under .*, but the reverse was seen before/);

    const recursive = Mutex.create(Arena.create({ bytes: '1MiB', checked: true }));
    recursive.lock();
    expect(() => recursive.lock()).toThrow('recursive locking of lock0');

    const stranger = Mutex.create(Arena.create({ bytes: '1MiB', checked: true }));
    expect(() => stranger.unlock()).toThrow('unlock of lock0');
    expect(() => Mutex.create(stranger.arena, { lockClass: 32 })).toThrow('lockClass: 32 is not a whole number');
  });
});
