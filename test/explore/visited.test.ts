// The visited set and the incremental state hash: against a plain Set and against hashing from scratch; and the set from several threads at once.
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StateHash } from '#src/explore/state-hash.js';
import { Seen, VisitedSet } from '#src/explore/visited.js';

const u32 = fc.integer({ min: 0, max: 0xffffffff });
/** Few values, so that states come again; also the halves that are 0 or equal. */
const half = fc.oneof(fc.constantFrom(0, 1, 0xffffffff, 0x80000000), fc.integer({ min: 0, max: 40 }), u32);

describe('the visited set', () => {
  it('tells new states from old ones as a Set does, and keeps a word for each', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(half, half, u32), { maxLength: 200 }), (states) => {
        const set = VisitedSet.create(1 << 16);
        const model = new Map<string, number>();
        for (const [low, high, word] of states) {
          // 0 and 1 are one and the same half to the set: an empty slot is 0.
          const key = `${low || 1} ${high || 1}`;
          expect(set.insert(low, high, word)).toBe(model.has(key) ? Seen.Again : Seen.New);
          if (!model.has(key)) model.set(key, word | 0);
          expect(set.word(low, high)).toBe(model.get(key));
        }
        expect(set.states).toBe(model.size);
        expect(set.bitStates).toBe(0);
      }),
      { seed: 20261123, numRuns: 200 },
    );
  });

  it('keeps every state and its word when it grows, and takes to bits only at the end of its room', () => {
    const set = VisitedSet.growing(1 << 22);
    const count = 2 ** 17;
    const high = (n: number): number => Math.imul(n, 0x9e3779b1) >>> 0;
    let fresh = 0;
    for (let n = 1; n <= count; n++) if (set.insert(n, high(n), n) === Seen.New) fresh++;
    expect([fresh, set.states, set.bitStates]).toEqual([count, count, 0]);
    let kept = 0;
    for (let n = 1; n <= count; n++) if (set.word(n, high(n)) === n) kept++;
    expect(kept).toBe(count);
    for (let n = count + 1; n <= 3 * count; n++) set.insert(n, high(n));
    expect(set.bitStates).toBeGreaterThan(0);
  });

  it('knows no state that was not inserted, and changes a word only from what it was', () => {
    const set = VisitedSet.create(1 << 12);
    expect(set.word(3, 4)).toBeUndefined();
    set.insert(3, 4, 10);
    expect(set.exchangeWord(3, 4, 9, 11)).toBe(10);
    expect(set.exchangeWord(3, 4, 10, 11)).toBe(10);
    expect(set.word(3, 4)).toBe(11);
    expect(() => set.exchangeWord(5, 6, 0, 1)).toThrow(RangeError);
  });

  it('falls back to bits when the table is full, says so, and forgets no state it has seen', () => {
    const set = VisitedSet.create(4096);
    const hashes = Array.from(
      { length: 2000 },
      (_, n) => [Math.imul(n + 1, 0x9e3779b1) >>> 0, Math.imul(n + 7, 0x85ebca6b) >>> 0] as const,
    );
    const first = hashes.map(([low, high]) => set.insert(low, high));
    expect(first[0]).toBe(Seen.New);
    expect(first).toContain(Seen.NewByBits);
    expect(set.bitStates).toBeGreaterThan(0);
    expect(set.states).toBeLessThan(300);
    for (const [low, high] of hashes) expect([Seen.Again, Seen.AgainByBits]).toContain(set.insert(low, high));
  });

  it('costs at most 100 bytes a state', () => {
    expect(VisitedSet.create(1 << 20).bytesPerState).toBeLessThan(24);
  });

  it('gives each state to exactly one of four threads', async () => {
    const set = VisitedSet.create(1 << 22);
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData.module).then(({ VisitedSet }) => {
        const set = VisitedSet.attach(workerData.handle);
        let won = 0;
        for (let n = 1; n <= 50000; n++) if (set.insert(Math.imul(n, 0x9e3779b1), Math.imul(n, 0x85ebca6b), n) === 0) won++;
        parentPort.postMessage(won);
      });`;
    const module = new URL('../../dist/src/explore/visited.js', import.meta.url).href;
    const won = await Promise.all(
      Array.from({ length: 4 }, () => {
        const worker = new Worker(source, { eval: true, workerData: { module, handle: set.handle() } });
        return new Promise<number>((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
        });
      }),
    );
    expect(won.reduce((sum, n) => sum + n, 0)).toBe(50000);
    expect(set.states).toBe(50000);
    for (let n = 1; n <= 50000; n += 997) expect(set.word(Math.imul(n, 0x9e3779b1), Math.imul(n, 0x85ebca6b))).toBe(n);
  });
});

describe('the state hash', () => {
  const START = 64;
  const END = 1024;

  it('is the same however the state was reached, and another for another state', () => {
    const seen = new Map<string, string>();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: START / 4, max: END / 4 - 1 }), fc.nat({ max: 3 })), { maxLength: 30 }),
        (writes) => {
          const memory = new Int32Array(END / 4);
          const hash = new StateHash(memory.buffer, START, END);
          for (const [word, value] of writes) {
            memory[word] = value;
            hash.update(word * 4, 4);
          }
          const fresh = new StateHash(memory.buffer, START, END);
          expect([hash.low, hash.high]).toEqual([fresh.low, fresh.high]);
          const key = `${hash.low} ${hash.high}`;
          const content = memory.join(',');
          expect(seen.get(key) ?? content).toBe(content);
          seen.set(key, content);
        },
      ),
      { seed: 20261123, numRuns: 1000 },
    );
    expect(seen.size).toBeGreaterThan(500);
  });

  it('looks at every word that a range touches, and at no other', () => {
    const memory = new Int32Array(END / 4);
    const hash = new StateHash(memory.buffer, START, END);
    memory.fill(7, 20, 24);
    hash.update(83, 6);
    const part = new Int32Array(END / 4);
    part.fill(7, 20, 23);
    const expected = new StateHash(part.buffer, START, END);
    expect([hash.low, hash.high]).toEqual([expected.low, expected.high]);
  });

  it('has no two equal hashes among a million states that differ in one small word', () => {
    const memory = new Int32Array(END / 4);
    const hash = new StateHash(memory.buffer, START, END);
    const set = VisitedSet.create(1 << 25);
    for (let word = 16; word < 116; word++) {
      for (let value = 1; value <= 10_000; value++) {
        memory[word] = value;
        hash.update(word * 4, 4);
        set.insert(hash.low, hash.high);
      }
      memory[word] = 0;
      hash.update(word * 4, 4);
    }
    expect(set.states + set.bitStates).toBe(1_000_000);
  });
});
