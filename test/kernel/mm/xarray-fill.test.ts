// xaFillLocked, the page cache's short way to store at an empty index, against xaInsert, which goes by the cursor: same answers, same tree.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EEXIST } from '#src/kernel/abi/errno.js';
import { bootKernel } from '../harness.js';
import { mk, newXArray } from './xarray-kit.js';

// A kernel each: nodes are counted by kernel.
const kernels = [bootKernel(), bootKernel()] as const;

const index = fc.oneof(
  fc.bigInt({ min: 0n, max: 130n }),
  fc.bigInt({ min: 0n, max: 5000n }),
  fc.constantFrom(0n, 63n, 64n, 4095n, 4096n, 262143n, 262144n),
);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant('fill' as const), at: index }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('erase' as const), at: index }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('reserve' as const), at: index }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('range' as const), at: index }) },
);

describe('xaFillLocked', () => {
  it('stores where nothing is, refuses entries, siblings and reservations, and leaves the tree that xaInsert leaves', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const [filled, inserted] = [newXArray(kernels[0]), newXArray(kernels[1])];
        for (const [n, { op, at }] of steps.entries()) {
          const entry = mk(n + 1);
          if (op === 'erase') for (const a of [filled, inserted]) a.k.x.xaErase(a.xa, at);
          else if (op === 'reserve') for (const a of [filled, inserted]) a.k.x.xaReserve(a.xa, at);
          else if (op === 'range') for (const a of [filled, inserted]) a.k.x.xaStoreRange(a.xa, at, at + 100n, entry);
          else {
            filled.k.x.xaLock(filled.xa);
            const error = filled.k.x.xaFillLocked(filled.xa, at, entry);
            filled.k.x.xaUnlock(filled.xa);
            expect(error === -EEXIST).toBe(inserted.k.x.xaInsert(inserted.xa, at, entry) !== 0);
          }
          expect(filled.load(at)).toBe(inserted.load(at));
        }
        expect(filled.liveNodes()).toBe(inserted.liveNodes());
        for (const a of [filled, inserted]) a.k.x.xaDestroy(a.xa);
      }),
      { seed: 20261123, numRuns: 300 },
    );
  });
});
