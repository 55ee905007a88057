// rmptorture/shm from outside: XArray, Ring and Histogram, alone and used by several real threads over one arena.
import { describe, expect, it } from 'vitest';
import { Arena, Histogram, Ring, XArray } from '#src/shm/index.js';
import { threads } from './threads.js';

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
