// Memslots against a plain model: random creates, deletes, moves and flag changes; then every look-up, count and generation must agree.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { bootKvm, counter, EEXIST, EINVAL, HVA, newVm, PAGE, type Region, setRegion, slotIdAt } from './support.js';

const k = bootKvm();
const GFNS = 48;

interface Slot {
  gfn: number;
  pages: number;
  hva: number;
  flags: number;
}

type Change = { asId: number; id: number; gfn: number; pages: number; hva: number; flags: number };
const change: fc.Arbitrary<Change> = fc.record({
  asId: fc.integer({ min: 0, max: 1 }),
  id: fc.integer({ min: 0, max: 5 }),
  gfn: fc.integer({ min: 0, max: GFNS - 1 }),
  pages: fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.integer({ min: 1, max: 12 }) }),
  hva: fc.integer({ min: 0, max: 3 }),
  flags: fc.constantFrom(0, 0, abi.KVM_MEM_LOG_DIRTY_PAGES),
});

/** The model of one address space: slots by id. Returns errno and grace periods of a change. */
function apply(slots: Map<number, Slot>, { id, gfn, pages, hva, flags }: Change): [ret: number, periods: number] {
  const old = slots.get(id);
  if (pages === 0) {
    if (old === undefined) return [EINVAL, 0];
    slots.delete(id);
    return [0, 2];
  }
  if (old !== undefined && (old.pages !== pages || old.hva !== hva)) return [EINVAL, 0];
  const moved = old === undefined || old.gfn !== gfn;
  const taken = [...slots].some(([other, s]) => other !== id && s.gfn < gfn + pages && gfn < s.gfn + s.pages);
  if (moved && taken) return [EEXIST, 0];
  if (!moved && old.flags === flags) return [0, 0];
  slots.set(id, { gfn, pages, hva, flags });
  return [0, old !== undefined && moved ? 2 : 1];
}

function generations(kvm: number): bigint[] {
  return [0, 1].map((asId) => k.x.kvmMemslotsGeneration(kvm, asId));
}

function compare(kvm: number, model: Map<number, Slot>[]): void {
  let pages = 0;
  for (const [asId, slots] of model.entries()) {
    for (let gfn = 0; gfn < GFNS + 12; gfn++) {
      const owner = [...slots].find(([, s]) => gfn >= s.gfn && gfn < s.gfn + s.pages);
      expect(slotIdAt(k, kvm, BigInt(gfn), asId)).toBe(owner?.[0] ?? -1);
    }
    pages += [...slots.values()].reduce((sum, s) => sum + s.pages, 0);
    // Both sets are the same again after each update.
    for (const set of [0, 4])
      expect(k.u32(k.u32(kvm + abi.KVM_MEMSLOT_SETS + 8 * asId + set) + abi.SLOTS_COUNT)).toBe(slots.size);
  }
  expect(k.u64(kvm + abi.KVM_NR_MEMSLOT_PAGES)).toBe(BigInt(pages));
}

describe('memslot updates', () => {
  it('agree with a plain map: results, look-ups, page account, grace periods, generations', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const kvm = newVm(k);
        const model = [new Map<number, Slot>(), new Map<number, Slot>()];
        for (const step of changes) {
          const before = generations(kvm);
          const periodsBefore = counter(k, kvm, abi.KC_GRACE_PERIODS);
          const region: Region = {
            ...step,
            gpa: BigInt(step.gfn) * PAGE,
            size: BigInt(step.pages) * PAGE,
            hva: HVA + BigInt(step.hva) * 64n * PAGE,
          };
          const [ret, periods] = apply(model[step.asId]!, step);
          expect(setRegion(k, kvm, region)).toBe(ret);
          expect(counter(k, kvm, abi.KC_GRACE_PERIODS) - periodsBefore).toBe(periods);
          const after = generations(kvm);
          expect(after[step.asId]! - before[step.asId]!).toBe(BigInt(periods) * 2n);
          expect(after[1 - step.asId]).toBe(before[1 - step.asId]);
          expect(after.every((generation) => generation >> 63n === 0n)).toBe(true);
        }
        compare(kvm, model);
        k.x.destroyVm(kvm);
      }),
      { seed: 20230220, numRuns: 150 },
    );
  });

  it('give the two address spaces generations that never meet', () => {
    const kvm = newVm(k);
    const seen = new Set<bigint>(generations(kvm));
    for (let n = 0; n < 20; n++) {
      const asId = n % 2;
      setRegion(k, kvm, { id: 0, asId, gpa: 0n, size: n % 4 < 2 ? PAGE : 0n, hva: HVA });
      const generation = generations(kvm)[asId]!;
      expect(seen.has(generation)).toBe(false);
      seen.add(generation);
    }
  });

  it('find every slot of a host range: each start of a notifier call meets exactly the slots that hold it', () => {
    const slot = fc.record({ page: fc.integer({ min: 0, max: 40 }), pages: fc.integer({ min: 1, max: 10 }) });
    const range = fc.tuple(fc.integer({ min: 0, max: 50 * 4096 }), fc.integer({ min: 1, max: 8 * 4096 }));
    fc.assert(
      fc.property(fc.array(slot, { maxLength: 12 }), fc.array(range, { maxLength: 6 }), (slots, ranges) => {
        const kvm = newVm(k);
        // Host ranges may overlap; guest ranges are 16 pages apart.
        for (const [id, { page, pages }] of slots.entries()) {
          const region = {
            id,
            gpa: BigInt(id * 16) * PAGE,
            size: BigInt(pages) * PAGE,
            hva: HVA + BigInt(page) * PAGE,
          };
          expect(setRegion(k, kvm, region)).toBe(0);
        }
        for (const [start, bytes] of ranges) {
          const pieces = slots.flatMap(({ page, pages }, id) => {
            const first = Math.max(Math.floor(start / 4096), page);
            const end = Math.min(Math.ceil((start + bytes) / 4096), page + pages);
            return first < end ? [[id * 16 + first - page, id * 16 + end - page]] : [];
          });
          const begins = counter(k, kvm, abi.KC_BEGINS);
          const s = HVA + BigInt(start);
          k.x.kvmMmuNotifierInvalidateRangeStart(kvm, s, s + BigInt(bytes), 1);
          expect(counter(k, kvm, abi.KC_BEGINS) - begins).toBe(pieces.length === 0 ? 0 : 1);
          if (pieces.length > 0) {
            expect(k.u64(kvm + abi.KVM_INVALIDATE_START)).toBe(BigInt(Math.min(...pieces.map(([first]) => first!))));
            expect(k.u64(kvm + abi.KVM_INVALIDATE_END)).toBe(BigInt(Math.max(...pieces.map(([, end]) => end!))));
          }
          k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, s, s + BigInt(bytes));
          expect(k.u32(kvm + abi.KVM_INVALIDATE_IN_PROGRESS)).toBe(0);
        }
        k.x.destroyVm(kvm);
      }),
      { seed: 52, numRuns: 100 },
    );
  });
});
