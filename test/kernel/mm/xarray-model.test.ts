// The XArray against a flat list of entries, over random operations. The list knows nothing of nodes: an entry is a run of slots of one size, and
// the rules for what a store does to the entries it meets are those of the kernel's xas_store, said in terms of runs.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EBUSY } from '#src/kernel/abi/errno.js';
import { bootKernel } from '../harness.js';
import { liveNodes, mk, newXArray, ULONG_MAX, type XArray, ZERO_ENTRY } from './xarray-kit.js';

interface Entry {
  first: number;
  end: number;
  /** Bits of one slot. */
  shift: number;
  entry: number;
  marks: Set<number>;
}

class Model {
  entries: Entry[] = [];

  at(index: number): Entry | undefined {
    return this.entries.find((e) => e.first <= index && index < e.end);
  }

  /** What the tree holds there, ZERO included. */
  raw(index: number): number {
    return this.at(index)?.entry ?? 0;
  }

  load(index: number): number {
    const entry = this.raw(index);
    return entry === ZERO_ENTRY ? 0 : entry;
  }

  piece(first: number, shift: number, slots: number, entry: number): void {
    const there = this.at(first);
    if (there !== undefined && there.shift > shift) {
      if (entry === 0) this.entries = this.entries.filter((e) => e !== there);
      else there.entry = entry;
      return;
    }
    const start = there !== undefined && there.shift === shift ? there.first : first;
    const end = start + slots * 2 ** shift;
    const touched = this.entries.filter((e) => e.first < end && start < e.end);
    this.entries = this.entries.filter((e) => !touched.includes(e));
    if (entry === 0) return;
    const marks = new Set(touched.flatMap((e) => [...e.marks]));
    this.entries.push({ first: start, end: Math.max(end, ...touched.map((e) => e.end)), shift, entry, marks });
    this.entries.sort((e, f) => e.first - f.first);
  }

  order(index: number, order: number, entry: number): void {
    const size = 2 ** order;
    const shift = Math.floor(order / 6) * 6;
    this.piece(Math.floor(index / size) * size, shift, size / 2 ** shift, entry);
  }

  range(first: number, last: number, entry: number): void {
    for (let at = first; at <= last;) {
      const left = last - at + 1;
      let shift = 0;
      while (at % 2 ** (shift + 6) === 0 && left >= 2 ** (shift + 6)) shift += 6;
      const slots = Math.min(64 - (Math.floor(at / 2 ** shift) % 64), Math.floor(left / 2 ** shift));
      this.piece(at, shift, slots, entry);
      at += slots * 2 ** shift;
    }
  }

  cmpxchg(index: number, old: number, entry: number): number {
    const seen = this.raw(index);
    if (seen === old) this.piece(index, 0, 1, entry);
    return seen === ZERO_ENTRY ? 0 : seen;
  }

  list(mark?: number): [index: number, entry: number][] {
    return this.entries
      .filter((e) => e.entry !== ZERO_ENTRY && (mark === undefined || e.marks.has(mark)))
      .map((e) => [e.first, e.entry]);
  }
}

/** One operation on both, with its name for the counterexample; throws when their results differ. */
type Step = [name: string, run: (a: XArray, model: Model) => void];

const same = (what: string, is: number | boolean, expected: number | boolean): void => {
  if (is !== expected) throw new Error(`${what}: ${is}, expected ${expected}`);
};

const index = fc.oneof(
  { weight: 6, arbitrary: fc.nat(300) },
  { weight: 3, arbitrary: fc.nat(20000) },
  { weight: 1, arbitrary: fc.nat(200).map((n) => 2 ** 40 + n) },
);
const value = fc.oneof(
  fc.nat(50).map(mk),
  fc.nat(50).map((n) => 0x1000 + n * 4),
);
const valueOrNull = fc.oneof(value, fc.constant(0));
const mark = fc.nat(2);

const step: fc.Arbitrary<Step> = fc.oneof<fc.Arbitrary<Step>[]>(
  fc.tuple(index, valueOrNull).map(([i, v]) => [
    `store ${i} ${v}`,
    (a, m) => {
      same(`xaStore ${i}`, a.store(i, v), m.load(i));
      m.piece(i, 0, 1, v);
    },
  ]),
  fc.tuple(index, fc.nat(14), valueOrNull).map(([i, order, v]) => [
    `storeOrder ${i} ${order} ${v}`,
    (a, m) => {
      a.storeOrder(i, order, v);
      m.order(i, order, v);
    },
  ]),
  fc.tuple(index, fc.oneof(fc.nat(200), fc.nat(10000)), valueOrNull).map(([i, length, v]) => [
    `storeRange ${i} ${i + length} ${v}`,
    (a, m) => {
      same(`xaStoreRange ${i} +${length}`, a.storeRange(i, i + length, v), 0);
      m.range(i, i + length, v);
    },
  ]),
  index.map((i) => [
    `erase ${i}`,
    (a, m) => {
      same(`xaErase ${i}`, a.erase(i), m.load(i));
      m.piece(i, 0, 1, 0);
    },
  ]),
  fc.tuple(index, mark, fc.boolean()).map(([i, bit, set]) => [
    `mark ${i} ${bit} ${set}`,
    (a, m) => {
      if (set) {
        a.k.x.xaSetMark(a.xa, BigInt(i), bit);
        m.at(i)?.marks.add(bit);
      } else {
        a.k.x.xaClearMark(a.xa, BigInt(i), bit);
        m.at(i)?.marks.delete(bit);
      }
    },
  ]),
  index.map((i) => [
    `reserve ${i}`,
    (a, m) => {
      same(`xaReserve ${i}`, a.k.x.xaReserve(a.xa, BigInt(i)), 0);
      m.cmpxchg(i, 0, ZERO_ENTRY);
    },
  ]),
  index.map((i) => [
    `release ${i}`,
    (a, m) => {
      a.k.x.xaRelease(a.xa, BigInt(i));
      m.cmpxchg(i, ZERO_ENTRY, 0);
    },
  ]),
  fc.tuple(index, value).map(([i, v]) => [
    `insert ${i} ${v}`,
    (a, m) => {
      same(`xaInsert ${i}`, a.k.x.xaInsert(a.xa, BigInt(i), v), m.raw(i) === 0 ? 0 : -EBUSY);
      m.cmpxchg(i, 0, v);
    },
  ]),
  fc.tuple(index, valueOrNull, valueOrNull).map(([i, old, v]) => [
    `cmpxchg ${i} ${old} ${v}`,
    (a, m) => {
      same(`xaCmpxchg ${i}`, a.k.x.xaCmpxchg(a.xa, BigInt(i), old, v) >>> 0, m.cmpxchg(i, old, v));
    },
  ]),
  fc.tuple(index, index).map(([i, last]) => [
    `find ${i} ${last}`,
    (a, m) => {
      const found = a.find(i, last);
      const entry = m.entries.find((e) => e.end > i && e.first <= last && i <= last && e.entry !== ZERO_ENTRY);
      same(`xaFind ${i}..${last}`, found?.entry ?? 0, entry?.entry ?? 0);
      if (entry !== undefined) same('index found', Number(found?.index), Math.max(i, entry.first));
    },
  ]),
  fc.tuple(index, fc.nat(400), fc.integer({ min: 1, max: 5 }), fc.boolean()).map(([i, length, max, erase]) => [
    `${erase ? 'eraseBatch' : 'gather'} ${i} ${i + length} by ${max}`,
    (a, m) => {
      const last = i + length;
      const met = m.entries.filter((e) => e.first <= last && i < e.end && (e.entry & 1) !== 0);
      expect(batches(a, i, last, max, erase)).toEqual(met.map((e) => e.entry >>> 1));
      if (erase) m.entries = m.entries.filter((e) => !met.includes(e));
    },
  ]),
);

/** The values of [first, last], read or erased `max` at a time. */
function batches(a: XArray, first: number, last: number, max: number, erase: boolean): number[] {
  const { k, xa } = a;
  const buffer = k.alloc(128);
  const values: number[] = [];
  k.setU64(buffer, BigInt(first));
  while (k.u64(buffer) <= BigInt(last)) {
    const count = erase
      ? k.x.xaEraseRangeBatch(xa, buffer, BigInt(last), buffer + 32, max)
      : k.x.xaGather(xa, buffer, BigInt(last), buffer + 32, buffer + 64, max);
    for (let n = 0; n < count; n++) values.push(k.u32(buffer + 32 + n * 4));
  }
  return values;
}

/** Slots in use and values, node by node, from the tree's own words. */
function checkCounts(a: XArray, node: number): void {
  const slots = Array.from({ length: 64 }, (_, i) => a.k.u32(node + 64 + i * 4));
  const owner = (entry: number): number => ((entry & 3) === 2 && entry < 256 ? owner(slots[entry >> 2]!) : entry);
  const counts = {
    count: slots.filter((e) => e !== 0).length,
    values: slots.filter((e) => (owner(e) & 1) !== 0).length,
  };
  expect(a.counts(node)).toEqual(counts);
  expect(counts.count).toBeGreaterThan(0);
  for (const entry of slots) if ((entry & 3) === 2 && entry > 4096) checkCounts(a, entry - 2);
}

describe('any sequence of operations', () => {
  const k = bootKernel();

  it('leaves the entries, marks and node counts that the list of entries says, and no node behind', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 60 }),
        fc.array(index, { maxLength: 30 }),
        (steps, probes) => {
          const before = liveNodes(k);
          const a = newXArray(k);
          const model = new Model();
          for (const [, run] of steps) run(a, model);
          const listOf = (filter?: number): [number, number][] =>
            [...a.forEach(0, ULONG_MAX, filter)].map((f) => [Number(f.index), f.entry]);
          expect(listOf()).toEqual(model.list());
          for (const bit of [0, 1, 2]) {
            expect(listOf(bit)).toEqual(model.list(bit));
            expect(Boolean(k.x.xaMarked(a.xa, bit))).toBe(model.entries.some((e) => e.marks.has(bit)));
          }
          for (const i of [...probes, ...model.entries.flatMap((e) => [e.first - 1, e.first, e.end - 1, e.end])]) {
            if (i < 0) continue;
            expect([i, a.load(i)]).toEqual([i, model.load(i)]);
            expect(Boolean(k.x.xaGetMark(a.xa, BigInt(i), 1))).toBe(model.at(i)?.marks.has(1) ?? false);
            const at = model.at(i);
            expect(k.x.xaGetOrder(a.xa, BigInt(i))).toBe(
              at === undefined ? 0 : at.shift + Math.ceil(Math.log2((at.end - at.first) / 2 ** at.shift)),
            );
          }
          expect(a.empty()).toBe(model.entries.length === 0);
          if (a.topNode() !== 0) checkCounts(a, a.topNode());
          for (const e of model.entries) k.x.xaErase(a.xa, BigInt(e.end - 1));
          for (const e of model.entries) if (e.entry === ZERO_ENTRY) k.x.xaRelease(a.xa, BigInt(e.first));
          expect(a.empty()).toBe(true);
          expect(a.liveNodes()).toBe(before);
        },
      ),
      { numRuns: 300, seed: 20230220 },
    );
  });
});
