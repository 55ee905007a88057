// The behavioural cases of the kernel's lib/test_xarray.c that hold for this XArray, one test a check.
import { beforeEach, describe, expect, it } from 'vitest';
import { EBUSY, EINVAL, ENOMEM } from '#src/kernel/abi/errno.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { mk, newXArray, RETRY_ENTRY, ULONG_MAX, type XArray, ZERO_ENTRY } from './xarray-kit.js';

let k: TestKernel;
let a: XArray;
beforeEach(() => {
  k = bootKernel();
  a = newXArray(k);
});

/** Ends a test: the array is empty by itself and every node is back. */
function expectClean(): void {
  expect(a.empty()).toBe(true);
  expect(a.liveNodes()).toBe(0);
}

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
      expectClean();
    },
  );

  it('refuses an empty range and the entries the tree uses itself', () => {
    expect(a.storeRange(5, 4, mk(1))).toBe(-EINVAL);
    expect(a.storeRange(4, 5, RETRY_ENTRY)).toBe(-EINVAL);
    expect(k.x.xaErr(a.store(4, ZERO_ENTRY))).toBe(-EINVAL);
    expect(Boolean(k.x.xaIsErr(a.store(4, 6)))).toBe(true);
    expectClean();
  });

  it('reaches over the whole 64-bit index range', () => {
    expect(a.storeRange(0, ULONG_MAX, mk(7))).toBe(0);
    for (const index of [0n, 1n, 2n ** 32n, 2n ** 63n, ULONG_MAX]) expect(a.load(index)).toBe(mk(7));
    expect([...a.forEach()]).toEqual([{ index: 0n, entry: mk(7) }]);
    a.storeRange(0, ULONG_MAX, 0);
    expect(a.storeRange(1, ULONG_MAX, mk(8))).toBe(0);
    expect([a.load(0), a.load(1), a.load(ULONG_MAX)]).toEqual([0, mk(8), mk(8)]);
    a.storeRange(0, ULONG_MAX, 0);
    expectClean();
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
    expectClean();
  });

  it('NULL of order 2 at 0 erases the entries at 1 and 2', () => {
    a.store(1, mk(1));
    a.store(2, mk(2));
    a.storeOrder(0, 2, 0);
    expectClean();
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
    expectClean();
  });

  it('a value replaced by a pointer leaves no slot counted as a value', () => {
    a.storeOrder(0, 3, mk(1));
    a.store(5, 0x1000);
    expect([0, 5, 7].map(a.load)).toEqual([0x1000, 0x1000, 0x1000]);
    expect(a.counts(a.topNode())).toEqual({ count: 8, values: 0 });
    a.store(6, mk(2));
    expect(a.counts(a.topNode())).toEqual({ count: 8, values: 8 });
    a.erase(7);
    expectClean();
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
    expectClean();
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
    expectClean();
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
    expectClean();
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
    expectClean();
  });

  it('find_4: an entry at ULONG_MAX is found once', () => {
    a.store(ULONG_MAX, mk(ULONG_MAX));
    expect(a.findAfter(0)).toEqual({ index: ULONG_MAX, entry: mk(ULONG_MAX) });
    expect(a.findAfter(ULONG_MAX)).toBeUndefined();
    expect([...a.forEach()]).toHaveLength(1);
    a.erase(ULONG_MAX);
    expectClean();
  });

  it('looks no further than last', () => {
    a.store(100, mk(100));
    expect(a.find(0, 99)).toBeUndefined();
    expect(a.find(0, 100)?.index).toBe(100n);
    expect(a.findAfter(99, 100)?.index).toBe(100n);
    expect(a.find(101)).toBeUndefined();
    a.erase(100);
    expectClean();
  });

  it('a cursor search that stopped at last goes on with a larger last without a gap', () => {
    for (const index of [3n, 64n, 65n, 4096n]) a.store(index, mk(index));
    k.x.xasInit(a.xas, a.xa, 0n);
    const step = (last: bigint): number => k.x.xasFind(a.xas, last) >>> 0;
    expect([step(3n), step(3n), step(64n), step(64n), step(70n), step(70n)]).toEqual([mk(3), 0, mk(64), 0, mk(65), 0]);
    expect(step(ULONG_MAX)).toBe(mk(4096));
    expect(a.at()).toBe(4096n);
    a.storeRange(0, ULONG_MAX, 0);
    expectClean();
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
      expectClean();
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
      expectClean();
    },
  );

  it('storing a block over marked entries gives it the union of their marks, NULL clears all', () => {
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
    expectClean();
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
    expectClean();
  });
});

describe('reserve', () => {
  const index = 12345678;

  it('a reserved index reads as NULL, keeps the array from being empty, and is given back', () => {
    expect(k.x.xaReserve(a.xa, BigInt(index))).toBe(0);
    expect(a.empty()).toBe(false);
    expect(a.load(index)).toBe(0);
    k.x.xaRelease(a.xa, BigInt(index));
    expectClean();
  });

  it('release keeps what was stored meanwhile', () => {
    k.x.xaReserve(a.xa, BigInt(index));
    expect(a.store(index, mk(index))).toBe(0);
    k.x.xaRelease(a.xa, BigInt(index));
    expect(a.load(index)).toBe(mk(index));
    expect(k.x.xaReserve(a.xa, BigInt(index))).toBe(0);
    expect(a.erase(index)).toBe(mk(index));
    expectClean();
  });

  it('insert meets -EBUSY, cmpxchg from ZERO returns NULL and stores, cmpxchg from NULL changes nothing', () => {
    k.x.xaReserve(a.xa, BigInt(index));
    expect(k.x.xaInsert(a.xa, BigInt(index), mk(1))).toBe(-EBUSY);
    expect(k.x.xaCmpxchg(a.xa, BigInt(index), 0, mk(1))).toBe(0);
    expect(a.load(index)).toBe(0);
    expect(k.x.xaCmpxchg(a.xa, BigInt(index), ZERO_ENTRY, mk(index))).toBe(0);
    expect(a.load(index)).toBe(mk(index));
    a.erase(index);
    expectClean();
  });

  it('insert of NULL reserves', () => {
    expect(k.x.xaInsert(a.xa, 0n, 0)).toBe(0);
    expect(k.x.xaInsert(a.xa, 0n, 0)).toBe(-EBUSY);
    expect([a.load(0), a.empty()]).toEqual([0, false]);
    k.x.xaRelease(a.xa, 0n);
    expectClean();
  });

  it('iteration over 5, 6 (reserved) and 7 sees two entries', () => {
    a.store(5, mk(5));
    k.x.xaReserve(a.xa, 6n);
    a.store(7, mk(7));
    expect([...a.forEach()].map((f) => f.index)).toEqual([5n, 7n]);
    k.x.xaDestroy(a.xa);
    expectClean();
  });
});

describe('cmpxchg and insert', () => {
  it('store only on the expected entry', () => {
    const [index, five, lots] = [12345678, mk(5), mk(12345678)];
    expect(a.store(index, lots)).toBe(0);
    expect(k.x.xaInsert(a.xa, BigInt(index), five)).toBe(-EBUSY);
    expect(k.x.xaCmpxchg(a.xa, BigInt(index), mk(1), five)).toBe(lots);
    expect(k.x.xaCmpxchg(a.xa, BigInt(index), lots, five)).toBe(lots);
    expect(k.x.xaCmpxchg(a.xa, BigInt(index), five, lots)).toBe(five);
    expect(k.x.xaCmpxchg(a.xa, 5n, five, 0)).toBe(0);
    expect(k.x.xaCmpxchg(a.xa, 5n, 0, five)).toBe(0);
    expect([a.erase(index), a.erase(5)]).toEqual([lots, five]);
    expect(k.x.xaInsert(a.xa, 0n, five)).toBe(0);
    expect(a.erase(0)).toBe(five);
    expectClean();
  });
});

describe('shrink', () => {
  it('an entry that moves into the head leaves RETRY behind in its old node', () => {
    a.store(0, mk(0));
    a.store(1, mk(1));
    k.x.rcuReadLock(); // keeps the node
    const node = a.topNode();
    expect(a.erase(1)).toBe(mk(1));
    expect(a.topNode()).toBe(0);
    expect(k.u32(node + 64)).toBe(RETRY_ENTRY);
    expect(a.load(0)).toBe(mk(0));
    k.x.rcuReadUnlock();
    expect(a.erase(0)).toBe(mk(0));
    expectClean();
  });

  it('adding and erasing ULONG_MAX over order 0 to 14 gives back the same head', () => {
    for (let order = 0; order < 15; order++) {
      a.storeOrder(0, order, mk(0));
      const head = k.u32(a.xa + 16);
      a.store(ULONG_MAX, mk(1));
      expect(k.u32(a.xa + 16)).not.toBe(head);
      expect([a.load(0), a.load(2 ** order - 1), a.load(ULONG_MAX)]).toEqual([mk(0), mk(0), mk(1)]);
      a.erase(ULONG_MAX);
      expect(k.u32(a.xa + 16)).toBe(head);
      a.erase(0);
    }
    expectClean();
  });

  it('xas_retry: a cursor in the dead node reloads RETRY, and after a reset finds the entry in the head', () => {
    a.store(0, mk(0));
    a.store(1, mk(1));
    k.x.rcuReadLock();
    k.x.xasInit(a.xas, a.xa, 0n);
    expect(k.x.xasFind(a.xas, ULONG_MAX)).toBe(mk(0));
    a.erase(1);
    expect(k.x.xasReload(a.xas)).toBe(RETRY_ENTRY);
    expect(Boolean(k.x.xasRetry(a.xas, 0))).toBe(false);
    expect(Boolean(k.x.xasRetry(a.xas, RETRY_ENTRY))).toBe(true);
    expect(k.x.xasFind(a.xas, ULONG_MAX)).toBe(mk(0));
    k.x.rcuReadUnlock();
    a.erase(0);
    expectClean();
  });

  it('readers of a subtree that a block replaces meet RETRY', () => {
    for (let i = 64; i < 128; i++) a.store(i, mk(i));
    a.store(200, mk(200));
    k.x.rcuReadLock();
    k.x.xasInit(a.xas, a.xa, 70n);
    expect(k.x.xasLoad(a.xas)).toBe(mk(70));
    a.storeOrder(64, 6, mk(1));
    expect(k.x.xasNextEntry(a.xas, ULONG_MAX)).toBe(RETRY_ENTRY);
    expect(Boolean(k.x.xasRetry(a.xas, RETRY_ENTRY))).toBe(true);
    expect(k.x.xasFind(a.xas, ULONG_MAX)).toBe(mk(1));
    expect(k.x.xasNextEntry(a.xas, ULONG_MAX)).toBe(mk(200));
    k.x.rcuReadUnlock();
    a.storeRange(0, ULONG_MAX, 0);
    expectClean();
  });
});

describe('cursor', () => {
  it('pause: an iteration that leaves the tree after each entry still sees each once', () => {
    let index = 1n;
    const stored: bigint[] = [];
    for (let order = 0; order <= 18; order++) {
      a.storeOrder(index, order, mk(index));
      stored.push(index);
      index += 2n ** BigInt(order);
    }
    const seen: bigint[] = [];
    k.x.xasInit(a.xas, a.xa, 0n);
    for (let entry = k.x.xasFind(a.xas, ULONG_MAX); entry !== 0; entry = k.x.xasFind(a.xas, ULONG_MAX)) {
      seen.push(a.at());
      k.x.xasPause(a.xas);
    }
    expect(seen).toEqual(stored);
    k.x.xaDestroy(a.xa);
    expectClean();
  });

  it('pause behind ULONG_MAX ends the iteration', () => {
    a.store(ULONG_MAX, mk(1));
    k.x.xasInit(a.xas, a.xa, 5n);
    expect(k.x.xasFind(a.xas, ULONG_MAX)).toBe(mk(1));
    k.x.xasPause(a.xas);
    expect(k.x.xasFind(a.xas, ULONG_MAX)).toBe(0);
    a.erase(ULONG_MAX);
    expectClean();
  });

  it.each([1, 2, 3, 63, 64, 65, 130, 300])(
    'move_small: next and prev give NULL but at 0 and %i, and wrap around',
    (idx) => {
      a.store(0, mk(0));
      a.store(idx, mk(idx));
      const expected = (i: number): number => (i === 0 || i === idx ? mk(i) : 0);
      k.x.xasInit(a.xas, a.xa, 0n);
      for (let i = 0; i < idx * 4; i++) {
        expect([i, k.x.xasNext(a.xas)]).toEqual([i, expected(i)]);
        expect(a.at()).toBe(BigInt(i));
      }
      k.x.xasNext(a.xas);
      for (let i = idx * 4 - 1; i >= 0; i--) {
        expect([i, k.x.xasPrev(a.xas)]).toEqual([i, expected(i)]);
        expect(a.at()).toBe(BigInt(i));
      }
      expect(k.x.xasPrev(a.xas)).toBe(0);
      expect(a.at()).toBe(ULONG_MAX);
      expect(k.x.xasNext(a.xas)).toBe(mk(0));
      expect(a.at()).toBe(0n);
      a.storeRange(0, ULONG_MAX, 0);
      expectClean();
    },
  );

  it('next and prev stay inside a block, one index at a time', () => {
    a.storeOrder(8, 3, mk(8));
    k.x.xasInit(a.xas, a.xa, 6n);
    const up = Array.from({ length: 11 }, () => k.x.xasNext(a.xas));
    expect(up).toEqual([0, 0, ...Array.from({ length: 8 }, () => mk(8)), 0]);
    const down = Array.from({ length: 10 }, () => k.x.xasPrev(a.xas));
    expect(down).toEqual([...Array.from({ length: 8 }, () => mk(8)), 0, 0]);
    a.erase(15);
    expectClean();
  });

  it('get_order: every index of a block knows its order, empty slots have none', () => {
    for (let order = 0; order < 20; order++) {
      for (let i = 0; i < 10; i++) {
        const first = i * 2 ** order;
        a.storeOrder(first, order, mk(i));
        const step = Math.max(1, (2 ** order) >> 4);
        for (let j = first; j < first + 2 ** order; j += step) expect(k.x.xaGetOrder(a.xa, BigInt(j))).toBe(order);
        expect(k.x.xaGetOrder(a.xa, BigInt(first + 2 ** order))).toBe(0);
        a.erase(first);
      }
    }
    expectClean();
  });

  it('sequential NULL stores through the cursor return every entry and free every node', () => {
    const count = 5000;
    k.x.xaLock(a.xa);
    k.x.xasInit(a.xas, a.xa, 10n);
    for (let i = 0; i < count; i++) {
      if (k.x.xasStore(a.xas, mk(i)) !== 0) throw new Error(`index ${10 + i} was not empty`);
      k.x.xasNext(a.xas);
    }
    k.x.xaUnlock(a.xa);
    expect(a.liveNodes()).toBeGreaterThan(count / 64);
    k.x.xaLock(a.xa);
    k.x.xasInit(a.xas, a.xa, 0n);
    let found = 0;
    for (let entry = k.x.xasFind(a.xas, ULONG_MAX); entry !== 0; entry = k.x.xasNextEntry(a.xas, ULONG_MAX)) {
      const right = entry === mk(found) && a.at() === BigInt(10 + found) && k.x.xasStoreNull(a.xas) === entry;
      if (!right) throw new Error(`entry ${found} is ${entry} at ${a.at()}`);
      found++;
    }
    k.x.xaUnlock(a.xa);
    expect(found).toBe(count);
    expectClean();
  });
});

describe('create_range, destroy', () => {
  it.each([0, 1, 5, 6, 7, 11, 12, 13])(
    'create_range of 2^%i indices: stores need no more memory, erasing them frees all',
    (order) => {
      const size = 2 ** order;
      for (const first of [0, size, size * 5]) {
        expect(k.x.xaCreateRange(a.xa, BigInt(first), BigInt(first + size - 1))).toBe(0);
        const nodes = a.liveNodes();
        let right = 0;
        for (let i = first; i < first + size; i++) if (a.store(i, mk(i)) === 0) right++;
        expect(a.liveNodes()).toBe(nodes);
        for (let i = first; i < first + size; i++) if (a.erase(i) === mk(i)) right++;
        expect(right).toBe(size * 2);
        expectClean();
      }
    },
  );

  it('create_range keeps entries that are there', () => {
    a.store(7, mk(7));
    a.storeOrder(4096, 12, mk(1));
    expect(k.x.xaCreateRange(a.xa, 0n, 8191n)).toBe(0);
    expect([a.load(7), a.load(4096), a.load(8191)]).toEqual([mk(7), mk(1), mk(1)]);
    k.x.xaDestroy(a.xa);
    expectClean();
  });

  it('destroy empties: a single entry, ULONG_MAX, a block of order 11 at 2048, reservations and marks', () => {
    for (const fill of [
      () => a.store(0, mk(0)),
      () => a.store(ULONG_MAX, mk(1)),
      () => a.storeOrder(2048, 11, mk(2)),
      () => k.x.xaReserve(a.xa, 5n),
      () => a.storeRange(1, 2 ** 40, mk(3)),
      () => (a.store(3, mk(3)), k.x.xaSetMark(a.xa, 3n, 1)),
    ]) {
      fill();
      expect(a.empty()).toBe(false);
      k.x.xaDestroy(a.xa);
      expectClean();
      expect(Boolean(k.x.xaMarked(a.xa, 1))).toBe(false);
    }
  });
});

describe('out of memory', () => {
  it('a store that cannot get its nodes returns -ENOMEM and leaves the tree as it was', () => {
    a.store(1, mk(1));
    a.store(64, mk(2));
    const before = a.liveNodes();
    a.store(2n ** 30n, mk(3));
    a.erase(2n ** 30n); // the deferred frees have their block now; without memory for one they would lose nodes
    const taken: number[] = [];
    const lastOfHeap = (): number => k.x.kmalloc(320) >>> 0;
    for (let p = lastOfHeap(); p !== 0; p = lastOfHeap()) taken.push(p);
    expect(k.x.xaErr(a.store(2n ** 40n, mk(3)))).toBe(-ENOMEM);
    expect(a.storeRange(2n ** 40n, 2n ** 41n, mk(3))).toBe(-ENOMEM);
    expect(k.x.xaReserve(a.xa, 5000n)).toBe(-ENOMEM);
    // Enough for the levels above, but not for all below: what was built is taken down again.
    for (let n = 0; n < 9; n++) k.x.kfree(taken.pop()!, 320);
    expect(k.x.xaErr(a.store(2n ** 40n, mk(3)))).toBe(-ENOMEM);
    expect([...a.forEach()].map((f) => f.index)).toEqual([1n, 64n]);
    for (const p of taken) k.x.kfree(p, 320);
    expect(a.store(2n ** 40n, mk(3))).toBe(0);
    a.erase(2n ** 40n);
    expect(a.liveNodes()).toBe(before);
    a.storeRange(0, ULONG_MAX, 0);
    expectClean();
  });
});
