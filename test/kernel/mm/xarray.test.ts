// The behavioural cases of the kernel's lib/test_xarray.c that hold for this XArray, one test a check.
import { beforeEach, describe, expect, it } from 'vitest';
import { EINVAL } from '#src/kernel/abi/errno.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { expectClean, mk, newXArray, RETRY_ENTRY, ULONG_MAX, type XArray, ZERO_ENTRY } from './xarray-kit.js';

let k: TestKernel;
let a: XArray;
beforeEach(() => {
  k = bootKernel();
  a = newXArray(k);
});

describe('store_range', () => {
  it.each([0, 128, 4095, 4096, 123456, 2 ** 24])(
    'covers exactly [first, last] and a NULL range empties it, base %i',
    (base) => {
      for (let i = 0; i < 128; i++) {
        for (let j = i; j < 128; j++) {
          const [first, last, value] = [base + i, base + j, mk(base + i)];
          const before = BigInt.asUintN(64, BigInt(first) - 1n);
          if (a.storeRange(first, last, value) !== 0) throw new Error(`store ${first}-${last}`);
          const seen = [a.load(first), a.load(last), a.load(before), a.load(last + 1)].join();
          if (seen !== `${value},${value},0,0`) throw new Error(`[${first}, ${last}]: ${seen}`);
          a.storeRange(first, last, 0);
          if (!a.empty()) throw new Error(`[${first}, ${last}] is not empty after the NULL store`);
        }
      }
      expectClean(a);
    },
  );

  it('refuses an empty range and the entries the tree uses itself', () => {
    expect(a.storeRange(5, 4, mk(1))).toBe(-EINVAL);
    expect(a.storeRange(4, 5, RETRY_ENTRY)).toBe(-EINVAL);
    expect(k.x.xaErr(a.store(4, ZERO_ENTRY))).toBe(-EINVAL);
    expect(Boolean(k.x.xaIsErr(a.store(4, 6)))).toBe(true);
    expectClean(a);
  });

  it('reaches over the whole 64-bit index range', () => {
    expect(a.storeRange(0, ULONG_MAX, mk(7))).toBe(0);
    for (const index of [0n, 1n, 2n ** 32n, 2n ** 63n, ULONG_MAX]) expect(a.load(index)).toBe(mk(7));
    expect([...a.forEach()]).toEqual([{ index: 0n, entry: mk(7) }]);
    a.storeRange(0, ULONG_MAX, 0);
    expect(a.storeRange(1, ULONG_MAX, mk(8))).toBe(0);
    expect([a.load(0), a.load(1), a.load(ULONG_MAX)]).toEqual([0, mk(8), mk(8)]);
    a.storeRange(0, ULONG_MAX, 0);
    expectClean(a);
  });
});

describe('multi_store', () => {
  it('a smaller store, a neighbour and a larger store count slots and values as the kernel does', () => {
    a.storeOrder(0, 1, mk(0));
    expect([0, 1, 2].map(a.load)).toEqual([mk(0), mk(0), 0]);
    expect(a.counts(a.topNode())).toEqual({ count: 2, values: 2 });

    a.store(3, 0x1000);
    expect([0, 1, 2, 3].map(a.load)).toEqual([mk(0), mk(0), 0, 0x1000]);
    expect(a.counts(a.topNode())).toEqual({ count: 3, values: 2 });

    a.storeOrder(0, 2, mk(1));
    expect([0, 1, 2, 3, 4].map(a.load)).toEqual([mk(1), mk(1), mk(1), mk(1), 0]);
    expect(a.counts(a.topNode())).toEqual({ count: 4, values: 4 });

    a.storeOrder(0, 63, 0);
    expectClean(a);
  });

  it('NULL of order 2 at 0 erases the entries at 1 and 2', () => {
    a.store(1, mk(1));
    a.store(2, mk(2));
    a.storeOrder(0, 2, 0);
    expectClean(a);
  });

  it('order j over order i at 0: the larger of both holds the new value, and erasing index 0 empties', () => {
    for (let i = 0; i < 60; i++) {
      for (let j = 0; j < 60; j++) {
        a.storeOrder(0, i, mk(i));
        a.storeOrder(0, j, mk(j));
        for (let bit = 0; bit < 60; bit++) {
          const expected = i < bit && j < bit ? 0 : mk(j);
          if (a.load(2n ** BigInt(bit) - 1n) !== expected) throw new Error(`orders ${i}, ${j}: load(2^${bit} - 1)`);
        }
        a.erase(0);
        if (!a.empty()) throw new Error(`orders ${i}, ${j}: not empty`);
      }
    }
    expectClean(a);
  });

  it('a value replaced by a pointer leaves no slot counted as a value', () => {
    a.storeOrder(0, 3, mk(1));
    a.store(5, 0x1000);
    expect([0, 5, 7].map(a.load)).toEqual([0x1000, 0x1000, 0x1000]);
    expect(a.counts(a.topNode())).toEqual({ count: 8, values: 0 });
    a.store(6, mk(2));
    expect(a.counts(a.topNode())).toEqual({ count: 8, values: 8 });
    a.erase(7);
    expectClean(a);
  });

  it('multi_store_1: an entry covers its aligned block, and a plain store or erase changes all of it', () => {
    for (let order = 0; order < 20; order++) {
      for (const index of [200, 0, 2 ** order + 1]) {
        const min = Math.floor(index / 2 ** order) * 2 ** order;
        const max = min + 2 ** order;
        const before = BigInt.asUintN(64, BigInt(min) - 1n);
        a.storeOrder(index, order, mk(index));
        expect([min, max - 1, max, before].map(a.load)).toEqual([mk(index), mk(index), 0, 0]);
        expect(a.store(index, mk(min))).toBe(mk(index));
        expect([min, max - 1, max, before].map(a.load)).toEqual([mk(min), mk(min), 0, 0]);
        expect(a.erase(min)).toBe(mk(min));
        expect([min, max - 1].map(a.load)).toEqual([0, 0]);
      }
    }
    expectClean(a);
  });

  it('multi_store_3: iteration meets an entry once, also from inside it', () => {
    for (let order = 1; order < 20; order++) {
      for (const index of [0, 2 ** order]) {
        a.storeOrder(index, order, mk(index));
        expect([...a.forEach()]).toEqual([{ index: BigInt(index), entry: mk(index) }]);
        expect([...a.forEach(index + 1)]).toEqual([{ index: BigInt(index + 1), entry: mk(index) }]);
        a.erase(index);
      }
    }
    expectClean(a);
  });

  it('multi_find_2: erasing inside the iteration terminates and empties', () => {
    for (let order = 0; order < 10; order++) {
      const index = 2 ** order;
      for (let inside = 0; inside < index; inside++) {
        a.storeOrder(index, order, mk(index));
        for (const found of a.forEach(index + inside)) a.erase(found.index);
        expect(a.empty()).toBe(true);
      }
    }
    expectClean(a);
  });
});

describe('find', () => {
  it('find_1: of two entries the first at or behind k, present or marked', () => {
    const problems: string[] = [];
    for (let i = 0; i < 100; i++) {
      a.store(i, mk(i));
      k.x.xaSetMark(a.xa, BigInt(i), 0);
      for (let j = 0; j < i; j++) {
        a.store(j, mk(j));
        k.x.xaSetMark(a.xa, BigInt(j), 0);
        for (let from = 0; from < 100; from++) {
          const expected = from <= j ? j : from <= i ? i : undefined;
          const found = a.find(from);
          const marked = a.find(from, ULONG_MAX, 0);
          const is = (f: typeof found): boolean =>
            expected === undefined ? f === undefined : f?.index === BigInt(expected) && f.entry === mk(expected);
          if (!is(found) || !is(marked)) problems.push(`${i} ${j} ${from}`);
        }
        a.erase(j);
      }
      a.erase(i);
    }
    expect(problems).toEqual([]);
    expectClean(a);
  });

  it('find_4: an entry at ULONG_MAX is found once', () => {
    a.store(ULONG_MAX, mk(ULONG_MAX));
    expect(a.findAfter(0)).toEqual({ index: ULONG_MAX, entry: mk(ULONG_MAX) });
    expect(a.findAfter(ULONG_MAX)).toBeUndefined();
    expect([...a.forEach()]).toHaveLength(1);
    a.erase(ULONG_MAX);
    expectClean(a);
  });

  it('looks no further than last', () => {
    a.store(100, mk(100));
    expect(a.find(0, 99)).toBeUndefined();
    expect(a.find(0, 100)?.index).toBe(100n);
    expect(a.findAfter(99, 100)?.index).toBe(100n);
    expect(a.find(101)).toBeUndefined();
    a.erase(100);
    expectClean(a);
  });

  it('a cursor search that stopped at last goes on with a larger last without a gap', () => {
    for (const index of [3n, 64n, 65n, 4096n]) a.store(index, mk(index));
    k.x.xasInit(a.xas, a.xa, 0n);
    const step = (last: bigint): number => k.x.xasFind(a.xas, last) >>> 0;
    expect([step(3n), step(3n), step(64n), step(64n), step(70n), step(70n)]).toEqual([mk(3), 0, mk(64), 0, mk(65), 0]);
    expect(step(ULONG_MAX)).toBe(mk(4096));
    expect(a.at()).toBe(4096n);
    a.storeRange(0, ULONG_MAX, 0);
    expectClean(a);
  });

  it.each([0, 1, 2])(
    'a search for mark %i skips entries without it, across nodes, and meets a marked block once',
    (mark) => {
      for (let i = 0; i < 600; i++) a.store(i * 7, mk(i));
      a.storeOrder(2 ** 20, 10, mk(1));
      for (const index of [7n, 63n * 7n, 64n * 7n, 599n * 7n, 2n ** 20n + 5n]) k.x.xaSetMark(a.xa, index, mark);
      expect([...a.forEach(0, ULONG_MAX, mark)].map((f) => f.index)).toEqual([7n, 441n, 448n, 4193n, 2n ** 20n]);
      expect([...a.forEach(2 ** 20 + 9, ULONG_MAX, mark)].map((f) => f.index)).toEqual([2n ** 20n + 9n]);
      expect(a.find(0, ULONG_MAX, (mark + 1) % 3)).toBeUndefined();
      a.storeRange(0, ULONG_MAX, 0);
      expect(Boolean(k.x.xaMarked(a.xa, mark))).toBe(false);
      expectClean(a);
    },
  );
});

const get = (index: number | bigint, mark = 0): boolean => Boolean(k.x.xaGetMark(a.xa, BigInt(index), mark));

describe('marks', () => {
  it.each([0, 1, 2, 3, 4, 63, 64, 4096, 2 ** 40])(
    'a NULL index %i takes no mark, a store makes none, an erase clears it',
    (index) => {
      k.x.xaSetMark(a.xa, BigInt(index), 0);
      expect(get(index)).toBe(false);
      a.store(index, mk(index));
      expect(get(index)).toBe(false);
      k.x.xaSetMark(a.xa, BigInt(index), 0);
      expect([get(index), get(index, 1), get(index + 1)]).toEqual([true, false, false]);
      a.store(index, mk(index) ^ 2);
      expect(get(index)).toBe(true);
      a.erase(index);
      expect(get(index)).toBe(false);
      a.store(index, mk(index));
      expect(get(index)).toBe(false);
      a.erase(index);
      expectClean(a);
    },
  );

  it('a block over marked entries has each mark that one of them had, NULL leaves none', () => {
    for (let order = 2; order < 14; order++) {
      const [base, next] = [2 ** order, 2 ** order * 2];
      a.store(base, mk(1));
      a.store(base + 1, mk(2));
      a.store(next, mk(3));
      k.x.xaSetMark(a.xa, BigInt(base), 0);
      k.x.xaSetMark(a.xa, BigInt(base + 1), 1);
      k.x.xaSetMark(a.xa, BigInt(next), 2);
      a.storeOrder(base, order, mk(4));
      for (const index of [base, base + 1, next - 1])
        expect([0, 1, 2].map((m) => get(index, m))).toEqual([true, true, false]);
      expect([0, 1, 2].map((m) => get(next, m))).toEqual([false, false, true]);
      k.x.xaClearMark(a.xa, BigInt(base + 1), 1);
      expect([get(base, 1), Boolean(k.x.xaMarked(a.xa, 1))]).toEqual([false, false]);
      a.storeOrder(base, order, 0);
      a.storeOrder(base, order, mk(5));
      expect([0, 1, 2].map((m) => get(base, m))).toEqual([false, false, false]);
      a.storeRange(0, ULONG_MAX, 0);
    }
    expectClean(a);
  });

  it('the mark of index 0 survives the tree growing above the head and shrinking back', () => {
    a.store(0, mk(0));
    k.x.xaSetMark(a.xa, 0n, 2);
    a.store(ULONG_MAX, mk(1));
    expect([get(0, 2), get(ULONG_MAX, 2)]).toEqual([true, false]);
    a.erase(ULONG_MAX);
    expect(get(0, 2)).toBe(true);
    a.erase(0);
    expect(Boolean(k.x.xaMarked(a.xa, 2))).toBe(false);
    expectClean(a);
  });
});
