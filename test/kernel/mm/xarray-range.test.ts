// How the XArray cuts ranges into entries, what an overlapping range does to entries that are there, and batches over ranges.
import { beforeEach, describe, expect, it } from 'vitest';
import { bootKernel, type TestKernel } from '../harness.js';
import { expectClean, mk, newXArray, type XArray } from './xarray-kit.js';

let k: TestKernel;
let a: XArray;
beforeEach(() => {
  k = bootKernel();
  a = newXArray(k);
});

type Piece = [first: number, last: number, shift: number, sibs: number];

/** Pieces of a range as xasSetRange cuts it. */
function piecesOf(first: number, last: number): Piece[] {
  const pieces: Piece[] = [];
  k.x.xasInit(a.xas, a.xa, 0n);
  for (let at = first; at <= last;) {
    const size = Number(k.x.xasSetRange(a.xas, BigInt(at), BigInt(last)));
    pieces.push([at, at + size - 1, k.u32(a.xas + 12), k.u32(a.xas + 16)]);
    at += size;
  }
  return pieces;
}

describe('pieces of a binding', () => {
  const tail: Piece[] = [
    [0x100, 0xfff, 6, 59],
    [0x1000, 0x3ffff, 12, 62],
    [0x40000, 0x7ffff, 18, 0],
  ];
  const table: [first: number, last: number, pages: number, pieces: Piece[]][] = [
    [0x0, 0x7ffff, 524288, [[0x0, 0x7ffff, 18, 1]]],
    [0x0, 0xbf, 192, [[0x0, 0xbf, 6, 2]]],
    [0xa0, 0xbf, 32, [[0xa0, 0xbf, 0, 31]]],
    [0x100, 0x7ffff, 524032, tail],
    [0xe0, 0x7ffff, 524064, [[0xe0, 0xff, 0, 31], ...tail]],
    [0x80000, 0x3fffff, 3670016, [[0x80000, 0x3fffff, 18, 13]]],
    [0, 511, 512, [[0, 511, 6, 7]]],
    [
      0,
      512,
      513,
      [
        [0, 0x1ff, 6, 7],
        [0x200, 0x200, 0, 0],
      ],
    ],
    [
      1,
      512,
      512,
      [
        [1, 0x3f, 0, 62],
        [0x40, 0x1ff, 6, 6],
        [0x200, 0x200, 0, 0],
      ],
    ],
    [0, 63, 64, [[0, 63, 6, 0]]],
    [
      1,
      64,
      64,
      [
        [1, 0x3f, 0, 62],
        [0x40, 0x40, 0, 0],
      ],
    ],
    [
      63,
      64,
      2,
      [
        [0x3f, 0x3f, 0, 0],
        [0x40, 0x40, 0, 0],
      ],
    ],
  ];

  it.each(table)('[%i, %i], %i pages', (first, last, pages, pieces) => {
    expect(last - first + 1).toBe(pages);
    expect(piecesOf(first, last)).toEqual(pieces);
    a.storeRange(first, last, mk(1));
    expect([...a.forEach(first, last)].map((f) => Number(f.index))).toEqual(pieces.map((piece) => piece[0]));
    for (const [start, end] of pieces) {
      expect([a.load(start), a.load(end)]).toEqual([mk(1), mk(1)]);
      // Each piece is one entry: erasing its last index erases its first, and no other piece.
      expect(a.erase(end)).toBe(mk(1));
      expect(a.load(start)).toBe(0);
    }
    expectClean(a);
  });

  it('are disjoint and cover every range of a sample exactly', () => {
    for (let first = 0; first < 700; first += 13) {
      for (let last = first; last < 700; last += 7) {
        const pieces = piecesOf(first, last);
        const sizes = pieces.map(([, , shift, sibs]) => (sibs + 1) * 2 ** shift);
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(last - first + 1);
        for (const [start, , shift, sibs] of pieces) {
          const slot = Math.floor(start / 2 ** shift);
          if (start % 2 ** shift !== 0 || (slot % 64) + sibs > 63)
            throw new Error(`[${first}, ${last}]: piece at ${start}`);
        }
      }
    }
  });
});

describe('overlapping bindings (exclusivity loosened)', () => {
  it('an alias of a part takes over the whole larger binding, and unbinding the alias erases it', () => {
    a.storeRange(0x0, 0x7ffff, mk(1));
    a.storeRange(0xa0, 0xbf, mk(2));
    for (const index of [0x0, 0x9f, 0xa0, 0xbf, 0x5000, 0x7ffff]) expect(a.load(index)).toBe(mk(2));
    a.storeRange(0xa0, 0xbf, 0);
    for (const index of [0x0, 0xa0, 0x5000, 0x7ffff]) expect(a.load(index)).toBe(0);
    expectClean(a);
  });

  it('of a binding in pieces only the piece that is touched changes', () => {
    a.storeRange(0x100, 0x7ffff, mk(1));
    a.storeRange(0x2000, 0x2fff, mk(2));
    expect([0x100, 0xfff, 0x1000, 0x3ffff, 0x40000].map(a.load)).toEqual([mk(1), mk(1), mk(2), mk(2), mk(1)]);
    a.storeRange(0x2000, 0x2000, 0);
    expect([0x100, 0xfff, 0x1000, 0x3ffff, 0x40000].map(a.load)).toEqual([mk(1), mk(1), 0, 0, mk(1)]);
    a.storeRange(0x100, 0x7ffff, 0);
    expectClean(a);
  });

  it('a store that begins among the siblings of an entry acts from its canonical slot, as many slots as asked for', () => {
    a.storeRange(0, 3, mk(1));
    a.storeRange(2, 5, mk(2));
    expect([0, 3, 4, 5].map(a.load)).toEqual([mk(2), mk(2), 0, 0]);
    a.storeRange(4, 5, mk(3));
    a.storeRange(2, 5, 0);
    expect([0, 3, 4, 5].map(a.load)).toEqual([0, 0, mk(3), mk(3)]);
    a.erase(5);
    expectClean(a);
  });

  it('an entry whose front is overwritten follows as siblings of siblings: all of it takes the new value', () => {
    a.storeRange(4, 9, mk(1));
    a.storeRange(0, 5, mk(2));
    expect(Array.from({ length: 11 }, (_, i) => a.load(i))).toEqual([...Array.from({ length: 10 }, () => mk(2)), 0]);
    expect([...a.forEach()]).toHaveLength(1);
    a.erase(9);
    expectClean(a);
  });

  it('find gives the start back unchanged inside a binding, and moves it to the first binding behind', () => {
    a.storeRange(0x100, 0x1ff, mk(1));
    expect(a.find(0x150, 0x300)).toEqual({ index: 0x150n, entry: mk(1) });
    expect(a.find(0x50, 0x300)).toEqual({ index: 0x100n, entry: mk(1) });
    expect(a.findAfter(0x150, 0x300)).toBeUndefined();
    a.erase(0x100);
    expectClean(a);
  });
});

/** All batches of xaGather over [start, last]. */
function gather(
  start: bigint,
  last: bigint,
  max: number,
): { batches: number[]; found: [index: bigint, value: number][] } {
  const [indexp, values, deltas] = [k.alloc(64), k.alloc(4096), k.alloc(4096)];
  const batches: number[] = [];
  const found: [bigint, number][] = [];
  k.setU64(indexp, start);
  for (let from = start; from <= last; from = k.u64(indexp)) {
    const count = k.x.xaGather(a.xa, indexp, last, values, deltas, max);
    batches.push(count);
    for (let i = 0; i < count; i++) found.push([from + BigInt(k.u32(deltas + i * 4)), k.u32(values + i * 4)]);
  }
  expect(k.u64(indexp)).toBe(last + 1n);
  return { batches, found };
}

describe('batches', () => {
  it('gather returns every value entry of the range once, in order, over as many batches as it takes', () => {
    for (let i = 0; i < 300; i++) a.store(i * 3, mk(i));
    k.x.xaReserve(a.xa, 7n);
    a.store(8, 0x1000);
    const { batches, found } = gather(3n, 600n, 64);
    expect(batches).toEqual([64, 64, 64, 8]);
    expect(found).toEqual(Array.from({ length: 200 }, (_, i) => [BigInt((i + 1) * 3), i + 1]));
    k.x.xaDestroy(a.xa);
    expectClean(a);
  });

  it('gather meets a block once, also when it reaches over both ends of the range', () => {
    a.storeOrder(512, 9, mk(5));
    a.store(1024, mk(6));
    a.storeOrder(2048, 9, mk(7));
    expect(gather(600n, 2100n, 1)).toEqual({
      batches: [1, 1, 1],
      found: [
        [600n, 5],
        [1024n, 6],
        [2048n, 7],
      ],
    });
    expect(gather(600n, 2100n, 8).found).toHaveLength(3);
    k.x.xaDestroy(a.xa);
    expectClean(a);
  });

  it('gather crosses a hole wider than its 32-bit deltas', () => {
    a.store(1, mk(1));
    a.store(2n ** 36n, mk(2));
    expect(gather(0n, 2n ** 40n, 8).found).toEqual([
      [1n, 1],
      [2n ** 36n, 2],
    ]);
    k.x.xaDestroy(a.xa);
    expectClean(a);
  });

  it('erase in batches returns each value once and leaves what lies outside', () => {
    for (let i = 0; i < 300; i++) a.store(i, mk(i));
    const [indexp, values] = [k.alloc(64), k.alloc(4096)];
    const erased: number[] = [];
    k.setU64(indexp, 10n);
    const batches: number[] = [];
    while (k.u64(indexp) <= 289n) {
      const count = k.x.xaEraseRangeBatch(a.xa, indexp, 289n, values, 100);
      batches.push(count);
      for (let i = 0; i < count; i++) erased.push(k.u32(values + i * 4));
    }
    expect(batches).toEqual([100, 100, 80]);
    expect(erased).toEqual(Array.from({ length: 280 }, (_, i) => i + 10));
    expect([...a.forEach()].map((f) => Number(f.index))).toEqual([
      ...Array.from({ length: 10 }, (_, i) => i),
      ...Array.from({ length: 10 }, (_, i) => i + 290),
    ]);
    k.setU64(indexp, 0n);
    expect(k.x.xaEraseRangeBatch(a.xa, indexp, 2n ** 50n, values, 100)).toBe(20);
    expect(k.u64(indexp)).toBe(2n ** 50n + 1n);
    expectClean(a);
  });

  it('erase in batches takes a block that reaches over the end as a whole', () => {
    a.storeOrder(512, 9, mk(5));
    const [indexp, values] = [k.alloc(64), k.alloc(64)];
    k.setU64(indexp, 600n);
    expect(k.x.xaEraseRangeBatch(a.xa, indexp, 700n, values, 4)).toBe(1);
    expect([k.u32(values), a.load(512), a.load(1023)]).toEqual([5, 0, 0]);
    expectClean(a);
  });
});

describe('a large page cache', () => {
  it('keeps 100,000 bindings of 512 pages apart', () => {
    const count = 100_000;
    for (let i = 0; i < count; i++) a.storeRange(i * 512, i * 512 + 511, mk(i));
    for (let i = 0; i < count; i += 997) {
      expect([a.load(i * 512), a.load(i * 512 + 511)]).toEqual([mk(i), mk(i)]);
      expect(a.findAfter(i * 512)?.index).toBe(i + 1 < count ? BigInt((i + 1) * 512) : undefined);
    }
    expect(a.load(count * 512)).toBe(0);

    k.x.xaDestroy(a.xa);
    expectClean(a);
  });
});
