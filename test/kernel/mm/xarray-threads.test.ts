// The XArray under real threads, with random delays at every atomic access: readers without the lock against writers that grow, shrink and
// rewrite the tree. After the kernel's tools/testing/radix-tree/multiorder.c.
import { describe, expect, it } from 'vitest';
import { bootKernel, type TestKernel } from '../harness.js';
import { mk, newXArray } from './xarray-kit.js';

/** Short distances between delays: the windows of the races are a few instructions wide. */
const racing = (): TestKernel => bootKernel({ perturbMeanPoints: 40, perturbNs: 3000 });

interface RaceArg {
  xa: number;
  /** Word that is 1 when the writer is done; in the two behind it readers 1 and 2 count what they have seen so far. */
  done: number;
  /** Of the writer, at least: it goes on, up to 200 times as long, until each reader has seen `least`. */
  rounds: number;
  least: number;
}

describe('readers without the lock', () => {
  it('load_race: index 191 under blocks of order 1 to 5 that come and go reads as NULL or one of them', async () => {
    const k = racing();
    const a = newXArray(k);
    a.store(192, mk(1000));
    a.store(128, mk(1001));
    const [writer, ...readers] = await k.threads(
      3,
      ({ x, words }, thread, { xa, done, rounds, least }: RaceArg): Record<string, number> => {
        const seen: Record<string, number> = {};
        if (thread === 0) {
          const late = (): boolean => [1, 2].some((reader) => Atomics.load(words, done / 4 + reader) < least);
          for (let round = 0; round < rounds || (late() && round < 200 * rounds); round++) {
            for (let order = 1; order < 6; order++) {
              const index = BigInt(192 - 2 ** order);
              x.xaStoreOrder(xa, index, order, (order << 1) | 1);
              x.xaErase(xa, index);
            }
          }
          Atomics.store(words, done / 4, 1);
          return seen;
        }
        while (Atomics.load(words, done / 4) === 0) {
          for (let n = 0; n < 50; n++) {
            const entry = x.xaLoad(xa, 191n) >>> 0;
            seen[entry] = (seen[entry] ?? 0) + 1;
          }
          Atomics.store(words, done / 4 + thread, Object.keys(seen).length);
        }
        return seen;
      },
      { xa: a.xa, done: k.alloc(64), rounds: 1500, least: 2 },
    );
    expect(writer).toEqual({});
    const allowed = new Set(['0', ...[1, 2, 3, 4, 5].map((order) => String(mk(order)))]);
    for (const seen of readers) {
      expect(Object.keys(seen).filter((entry) => !allowed.has(entry))).toEqual([]);
      expect(Object.keys(seen).length).toBeGreaterThan(1);
    }
    k.x.xaDestroy(a.xa);
    expect(a.liveNodes()).toBe(0);
  });

  it('load_race: [188, 191] and [184, 191] stored over each other are never seen as a sibling', async () => {
    const k = racing();
    const a = newXArray(k);
    a.store(192, mk(1000));
    const [, ...readers] = await k.threads(
      3,
      ({ x, words }, thread, { xa, done, rounds, least }: RaceArg): number[] => {
        const seen = new Set<number>();
        if (thread === 0) {
          const late = (): boolean => [1, 2].some((reader) => Atomics.load(words, done / 4 + reader) < least);
          for (let round = 0; round < rounds || (late() && round < 200 * rounds); round++) {
            x.xaStoreRange(xa, 188n, 191n, 3);
            x.xaStoreRange(xa, 184n, 191n, 5);
            x.xaStoreRange(xa, 184n, 191n, 0);
          }
          Atomics.store(words, done / 4, 1);
        }
        while (Atomics.load(words, done / 4) === 0) {
          for (let n = 0; n < 50; n++) seen.add(x.xaLoad(xa, 191n) >>> 0);
          Atomics.store(words, done / 4 + thread, seen.size);
        }
        return [...seen];
      },
      { xa: a.xa, done: k.alloc(64), rounds: 2500, least: 2 },
    );
    for (const seen of readers) {
      expect(seen.filter((entry) => ![0, 3, 5].includes(entry))).toEqual([]);
      expect(seen.length).toBeGreaterThan(1);
    }
    k.x.xaDestroy(a.xa);
    expect(a.liveNodes()).toBe(0);
  });

  it('growing and shrinking the tree hides no entry that stays', async () => {
    const k = racing();
    const a = newXArray(k);
    a.store(0, mk(7));
    const [, ...readers] = await k.threads(
      3,
      ({ x, words }, thread, { xa, done, rounds, least }: RaceArg): { missed: number; loads: number } => {
        let missed = 0;
        if (thread === 0) {
          const far = [1n, 64n, 4096n, 2n ** 30n, 2n ** 64n - 1n];
          const late = (): boolean => [1, 2].some((reader) => Atomics.load(words, done / 4 + reader) < least);
          for (let round = 0; round < rounds || (late() && round < 200 * rounds); round++) {
            const index = far[round % far.length]!;
            x.xaStore(xa, index, 9);
            x.xaErase(xa, index);
          }
          Atomics.store(words, done / 4, 1);
        }
        while (Atomics.load(words, done / 4) === 0) {
          for (let n = 0; n < 50; n++) if (x.xaLoad(xa, 0n) >>> 0 !== 15) missed++;
          Atomics.add(words, done / 4 + thread, 50);
        }
        return { missed, loads: Atomics.load(words, done / 4 + thread) };
      },
      { xa: a.xa, done: k.alloc(64), rounds: 4000, least: 1000 },
    );
    expect(mk(7)).toBe(15);
    for (const { missed, loads } of readers) {
      expect(missed).toBe(0);
      expect(loads).toBeGreaterThanOrEqual(1000);
    }
    a.erase(0);
    expect(a.empty()).toBe(true);
    expect(a.liveNodes()).toBe(0);
  });

  it('iteration while blocks come and go sees each entry that stays exactly once, in order', async () => {
    const k = racing();
    const a = newXArray(k);
    const stable = [0, 5, 63, 64, 130, 4095, 4096, 70000];
    for (const index of stable) a.store(index, mk(index));
    const [, ...readers] = await k.threads(
      3,
      (kernel, thread, { xa, done, rounds, least }: RaceArg): { wrong: string[]; walks: number } => {
        const { x, words } = kernel;
        if (thread === 0) {
          const blocks: [bigint, number][] = [
            [8n, 1],
            [16n, 3],
            [256n, 7],
            [8192n, 12],
            [2n ** 20n, 1],
            [192n, 6],
          ];
          const late = (): boolean => [1, 2].some((reader) => Atomics.load(words, done / 4 + reader) < least);
          for (let round = 0; round < rounds || (late() && round < 200 * rounds); round++) {
            const [index, order] = blocks[round % blocks.length]!;
            x.xaStoreOrder(xa, index, order, 0x7fffffff);
            x.xaErase(xa, index + (1n << BigInt(order)) - 1n);
          }
          Atomics.store(words, done / 4, 1);
          return { wrong: [], walks: 0 };
        }
        const wrong: string[] = [];
        const indexp = done + 64 * thread;
        while (Atomics.load(words, done / 4) === 0) {
          const met: number[] = [];
          let before = -1n;
          kernel.setU64(indexp, 0n);
          let entry = x.xaFind(xa, indexp, 2n ** 64n - 1n, 8) >>> 0;
          while (entry !== 0) {
            if (kernel.u64(indexp) <= before) wrong.push(`index ${kernel.u64(indexp)} after ${before}`);
            before = kernel.u64(indexp);
            if (entry !== 0x7fffffff) met.push(entry);
            entry = x.xaFindAfter(xa, indexp, 2n ** 64n - 1n, 8) >>> 0;
          }
          if (met.join() !== '1,11,127,129,261,8191,8193,140001') wrong.push(met.join());
          Atomics.add(words, done / 4 + thread, 1);
        }
        return { wrong: wrong.slice(0, 5), walks: Atomics.load(words, done / 4 + thread) };
      },
      { xa: a.xa, done: k.alloc(256), rounds: 4000, least: 20 },
    );
    for (const { wrong, walks } of readers) {
      expect(wrong).toEqual([]);
      expect(walks).toBeGreaterThanOrEqual(20);
    }
    k.x.xaDestroy(a.xa);
    expect(a.liveNodes()).toBe(0);
  });
});

describe('writers', () => {
  it("on indices of their own, with marks, keep each other's entries", async () => {
    const k = racing();
    const a = newXArray(k);
    const expected = await k.threads(
      3,
      ({ x }, thread, { xa, rounds }: { xa: number; rounds: number }): [number, number][] => {
        const mine = new Map<number, number>();
        for (let round = 0; round < rounds; round++) {
          const index = ((x.randomU32() >>> 0) % 3000) * 3 + thread;
          const old = mine.get(index) ?? 0;
          const entry = round % 3 === 0 ? 0 : (round << 1) | 1;
          const seen = entry === 0 ? x.xaErase(xa, BigInt(index)) : x.xaStore(xa, BigInt(index), entry);
          if (seen !== old) throw new Error(`index ${index}: ${seen}, expected ${old}`);
          if (entry === 0) mine.delete(index);
          else mine.set(index, entry);
          if (entry !== 0) x.xaSetMark(xa, BigInt(index), thread);
        }
        return [...mine];
      },
      { xa: a.xa, rounds: 4000 },
    );
    expected.forEach((mine, thread) => {
      const marked = [...a.forEach(0, 2 ** 20, thread)].map((f) => [Number(f.index), f.entry]);
      expect(marked).toEqual(mine.toSorted(([i], [j]) => i - j));
    });
    expect([...a.forEach()]).toHaveLength(expected.flat().length);
    for (const [index] of expected.flat()) a.erase(index);
    expect(a.empty()).toBe(true);
    expect(a.liveNodes()).toBe(0);
  });

  it('that erase the same range in batches get each value once, while a reader gathers', async () => {
    const k = racing();
    const a = newXArray(k);
    const count = 6000;
    for (let i = 0; i < count; i++) a.store(i, mk(i));
    const shadow = k.alloc(count * 4);
    const results = await k.threads(
      3,
      (kernel, thread, arg: { xa: number; shadow: number; count: number }): number => {
        const { x, words } = kernel;
        const last = BigInt(arg.count - 1);
        const [indexp, values, deltas] = [kernel.alloc(64), kernel.alloc(400), kernel.alloc(400)];
        let wrong = 0;
        kernel.setU64(indexp, 0n);
        for (let from = 0n; from <= last; from = kernel.u64(indexp)) {
          if (thread === 0) {
            const n = x.xaGather(arg.xa, indexp, last, values, deltas, 100);
            for (let i = 0; i < n; i++)
              if (BigInt(kernel.u32(values + i * 4)) !== from + BigInt(kernel.u32(deltas + i * 4))) wrong++;
          } else {
            const n = x.xaEraseRangeBatch(arg.xa, indexp, last, values, 7);
            for (let i = 0; i < n; i++) Atomics.add(words, arg.shadow / 4 + kernel.u32(values + i * 4), 1);
          }
        }
        return wrong;
      },
      { xa: a.xa, shadow, count },
    );
    expect(results).toEqual([0, 0, 0]);
    expect(Array.from({ length: count }, (_, i) => k.u32(shadow + i * 4)).every((times) => times === 1)).toBe(true);
    expect(a.empty()).toBe(true);
    expect(a.liveNodes()).toBe(0);
  });
});
