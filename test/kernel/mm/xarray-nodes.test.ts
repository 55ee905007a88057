// The behavioural cases of the kernel's lib/test_xarray.c about reservations, cursors and the life of nodes, one test a check.
import { beforeEach, describe, expect, it } from 'vitest';
import { EBUSY, ENOMEM } from '#src/kernel/abi/errno.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { expectClean, mk, newXArray, RETRY_ENTRY, ULONG_MAX, type XArray, ZERO_ENTRY } from './xarray-kit.js';

let k: TestKernel;
let a: XArray;
beforeEach(() => {
  k = bootKernel();
  a = newXArray(k);
});

describe('reserve', () => {
  const index = 12345678;

  it('a reserved index reads as NULL, keeps the array from being empty, and is given back', () => {
    expect(k.x.xaReserve(a.xa, BigInt(index))).toBe(0);
    expect(a.empty()).toBe(false);
    expect(a.load(index)).toBe(0);
    k.x.xaRelease(a.xa, BigInt(index));
    expectClean(a);
  });

  it('release keeps what was stored meanwhile', () => {
    k.x.xaReserve(a.xa, BigInt(index));
    expect(a.store(index, mk(index))).toBe(0);
    k.x.xaRelease(a.xa, BigInt(index));
    expect(a.load(index)).toBe(mk(index));
    expect(k.x.xaReserve(a.xa, BigInt(index))).toBe(0);
    expect(a.erase(index)).toBe(mk(index));
    expectClean(a);
  });

  it('insert meets -EBUSY, cmpxchg from ZERO returns NULL and stores, cmpxchg from NULL changes nothing', () => {
    k.x.xaReserve(a.xa, BigInt(index));
    expect(k.x.xaInsert(a.xa, BigInt(index), mk(1))).toBe(-EBUSY);
    expect(k.x.xaCmpxchg(a.xa, BigInt(index), 0, mk(1))).toBe(0);
    expect(a.load(index)).toBe(0);
    expect(k.x.xaCmpxchg(a.xa, BigInt(index), ZERO_ENTRY, mk(index))).toBe(0);
    expect(a.load(index)).toBe(mk(index));
    a.erase(index);
    expectClean(a);
  });

  it('insert of NULL reserves', () => {
    expect(k.x.xaInsert(a.xa, 0n, 0)).toBe(0);
    expect(k.x.xaInsert(a.xa, 0n, 0)).toBe(-EBUSY);
    expect([a.load(0), a.empty()]).toEqual([0, false]);
    k.x.xaRelease(a.xa, 0n);
    expectClean(a);
  });

  it('iteration over 5, 6 (reserved) and 7 sees two entries', () => {
    a.store(5, mk(5));
    k.x.xaReserve(a.xa, 6n);
    a.store(7, mk(7));
    expect([...a.forEach()].map((f) => f.index)).toEqual([5n, 7n]);
    k.x.xaDestroy(a.xa);
    expectClean(a);
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
    expectClean(a);
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
    expectClean(a);
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
    expectClean(a);
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
    expectClean(a);
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
    expectClean(a);
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
    expectClean(a);
  });

  it('pause behind ULONG_MAX ends the iteration', () => {
    a.store(ULONG_MAX, mk(1));
    k.x.xasInit(a.xas, a.xa, 5n);
    expect(k.x.xasFind(a.xas, ULONG_MAX)).toBe(mk(1));
    k.x.xasPause(a.xas);
    expect(k.x.xasFind(a.xas, ULONG_MAX)).toBe(0);
    a.erase(ULONG_MAX);
    expectClean(a);
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
      expectClean(a);
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
    expectClean(a);
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
    expectClean(a);
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
    expectClean(a);
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
        expectClean(a);
      }
    },
  );

  it('create_range keeps entries that are there', () => {
    a.store(7, mk(7));
    a.storeOrder(4096, 12, mk(1));
    expect(k.x.xaCreateRange(a.xa, 0n, 8191n)).toBe(0);
    expect([a.load(7), a.load(4096), a.load(8191)]).toEqual([mk(7), mk(1), mk(1)]);
    k.x.xaDestroy(a.xa);
    expectClean(a);
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
      expectClean(a);
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
    expectClean(a);
  });
});
