// The invalidation protocol: count, union of ranges, sequence, and what they tell a page fault.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import * as codes from '#src/kernel/abi/oops.js';
import { V_B12, V_PLANT_LOST_END } from '#src/kernel/abi/variants.js';
import { ACCESS_WRITE } from '#src/kernel/abi/vcpu.js';
import { bootKvm, EIO, newVm, PAGE, setRegion, violationsOf } from './support.js';

const INVALID = (1n << 64n) - 1n;
const k = bootKvm();

/** The calls of the protocol want mmu_lock for write. */
function locked<T>(kvm: number, body: () => T, on = k): T {
  on.x.writeLock(kvm + abi.KVM_MMU_LOCK);
  const result = body();
  on.x.writeUnlock(kvm + abi.KVM_MMU_LOCK);
  return result;
}

const state = (kvm: number, on = k): { open: number; seq: bigint; range: [bigint, bigint] } => ({
  open: on.u32(kvm + abi.KVM_INVALIDATE_IN_PROGRESS) | 0,
  seq: on.u64(kvm + abi.KVM_INVALIDATE_SEQ),
  range: [on.u64(kvm + abi.KVM_INVALIDATE_START), on.u64(kvm + abi.KVM_INVALIDATE_END)],
});

describe('begin, range_add, end', () => {
  it('a new VM has nothing open and no range', () => {
    expect(state(newVm(k))).toEqual({ open: 0, seq: 0n, range: [INVALID, INVALID] });
  });

  it('the union only grows until the last section is closed; then it starts anew', () => {
    const kvm = newVm(k);
    locked(kvm, () => {
      k.x.kvmMmuInvalidateBegin(kvm);
      k.x.kvmMmuInvalidateRangeAdd(kvm, 100n, 200n);
      k.x.kvmMmuInvalidateBegin(kvm);
      k.x.kvmMmuInvalidateRangeAdd(kvm, 50n, 60n);
      expect(state(kvm)).toEqual({ open: 2, seq: 0n, range: [50n, 200n] });
      k.x.kvmMmuInvalidateEnd(kvm);
      expect(state(kvm)).toEqual({ open: 1, seq: 1n, range: [50n, 200n] });
      k.x.kvmMmuInvalidateEnd(kvm);
      expect(state(kvm)).toMatchObject({ open: 0, seq: 2n });
      k.x.kvmMmuInvalidateBegin(kvm);
      expect(state(kvm).range).toEqual([INVALID, INVALID]);
      k.x.kvmMmuInvalidateRangeAdd(kvm, 7n, 8n);
      k.x.kvmMmuInvalidateEnd(kvm);
      expect(state(kvm)).toMatchObject({ seq: 3n, range: [7n, 8n] });
    });
  });

  it('two ranges of one section are joined; the variant of the RFC era keeps only the second (B12)', () => {
    for (const variants of [[], [V_B12]]) {
      const on = bootKvm({ variants, oracles: false });
      const kvm = newVm(on);
      locked(
        kvm,
        () => {
          on.x.kvmMmuInvalidateBegin(kvm);
          on.x.kvmMmuInvalidateRangeAdd(kvm, 10n, 20n);
          on.x.kvmMmuInvalidateRangeAdd(kvm, 30n, 40n);
          expect(state(kvm, on).range).toEqual(variants.length === 0 ? [10n, 40n] : [30n, 40n]);
          expect(on.x.mmuInvalidateRetryGfn(kvm, 0n, 15n) !== 0).toBe(variants.length === 0);
          on.x.kvmMmuInvalidateEnd(kvm);
        },
        on,
      );
    }
  });

  it('the sequence is a 64-bit number: it carries over 2^32', () => {
    const kvm = newVm(k);
    k.setU64(kvm + abi.KVM_INVALIDATE_SEQ, 0xffff_ffffn);
    locked(kvm, () => {
      k.x.kvmMmuInvalidateBegin(kvm);
      k.x.kvmMmuInvalidateRangeAdd(kvm, 1n, 2n);
      k.x.kvmMmuInvalidateEnd(kvm);
      expect(state(kvm).seq).toBe(0x1_0000_0000n);
      // A 32-bit or sign-extended comparison would take these for equal (B30).
      expect(k.x.mmuInvalidateRetry(kvm, 0n)).toBe(1);
      expect(k.x.mmuInvalidateRetryGfn(kvm, 0n, 5n)).toBe(1);
    });
  });

  it('against a plain model: union ⊇ every open range, count and sequence exact', () => {
    const gfn = fc.integer({ min: 0, max: 99 });
    const op = fc.oneof(fc.tuple(gfn, fc.integer({ min: 1, max: 20 })), fc.constant(undefined));
    fc.assert(
      fc.property(fc.array(op, { maxLength: 40 }), gfn, fc.integer({ min: 0, max: 20 }), (ops, probe, since) => {
        const kvm = newVm(k);
        const open: [number, number][] = [];
        let union: [number, number] | undefined;
        let seq = 0;
        locked(kvm, () => {
          for (const range of ops) {
            if (range !== undefined) {
              const [s, e] = [range[0], range[0] + range[1]];
              if (open.length === 0) union = undefined;
              open.push([s, e]);
              union = union === undefined ? [s, e] : [Math.min(union[0], s), Math.max(union[1], e)];
              k.x.kvmMmuInvalidateBegin(kvm);
              k.x.kvmMmuInvalidateRangeAdd(kvm, BigInt(s), BigInt(e));
            } else if (open.length > 0) {
              open.shift();
              seq++;
              k.x.kvmMmuInvalidateEnd(kvm);
            }
            expect(state(kvm)).toMatchObject({ open: open.length, seq: BigInt(seq) });
            const inUnion = open.length > 0 && probe >= union![0] && probe < union![1];
            const retry = inUnion || seq !== since;
            expect(k.x.mmuInvalidateRetryGfn(kvm, BigInt(since), BigInt(probe)) !== 0).toBe(retry);
            expect(k.x.mmuInvalidateRetryGfnUnsafe(kvm, BigInt(since), BigInt(probe)) !== 0).toBe(retry);
            expect(k.x.mmuInvalidateRetry(kvm, BigInt(since)) !== 0).toBe(open.length > 0 || seq !== since);
            if (open.some(([s, e]) => probe >= s && probe < e)) expect(retry).toBe(true);
          }
        });
        while (open.pop() !== undefined) locked(kvm, () => k.x.kvmMmuInvalidateEnd(kvm));
        k.x.destroyVm(kvm);
      }),
      { seed: 22, numRuns: 200 },
    );
  });
});

describe('retry_gfn, the truth table', () => {
  // [section open over [10, 20), sequence moved since the snapshot, gfn, retry]
  it.each([
    [false, false, 15n, 0],
    [false, true, 15n, 1],
    [true, false, 9n, 0],
    [true, false, 10n, 1],
    [true, false, 19n, 1],
    [true, false, 20n, 0],
    [true, true, 9n, 1],
    [true, true, 15n, 1],
  ])('open %s, sequence moved %s, gfn %i: %i', (open, moved, gfn, expected) => {
    const kvm = newVm(k);
    k.setU64(kvm + abi.KVM_INVALIDATE_SEQ, 7n);
    const snapshot = moved ? 6n : 7n;
    locked(kvm, () => {
      if (open) {
        k.x.kvmMmuInvalidateBegin(kvm);
        k.x.kvmMmuInvalidateRangeAdd(kvm, 10n, 20n);
      }
      expect(k.x.mmuInvalidateRetryGfn(kvm, snapshot, gfn)).toBe(expected);
      expect(k.x.mmuInvalidateRetryGfnUnsafe(kvm, snapshot, gfn)).toBe(expected);
    });
  });

  it('an open section without a range makes every gfn retry', () => {
    const kvm = newVm(k);
    locked(kvm, () => {
      k.x.kvmMmuInvalidateBegin(kvm);
      expect(k.x.mmuInvalidateRetryGfn(kvm, 0n, 0n)).toBe(1);
      expect(k.x.mmuInvalidateRetryGfnUnsafe(kvm, 0n, 1n << 40n)).toBe(1);
    });
  });
});

describe('the balance oracle', () => {
  it('fires when an end has no begin, and the VM is bugged', () => {
    const on = bootKvm();
    const kvm = newVm(on);
    on.x.writeLock(kvm + abi.KVM_MMU_LOCK);
    expect(violationsOf(() => on.x.kvmMmuInvalidateEnd(kvm))).toEqual([codes.OOPS_BALANCE_NEGATIVE]);
    expect(on.u32(kvm + abi.KVM_BUGGED)).toBe(1);
  });

  it('without oracles a bugged VM runs no more, also on a vCPU that has its page tables', () => {
    const off = bootKvm({ oracles: false });
    const kvm = newVm(off);
    setRegion(off, kvm, { id: 1, gpa: PAGE, size: PAGE });
    const vcpu = off.x.vcpuCreate(kvm) >>> 0;
    expect(off.x.vcpuAccess(vcpu, 1n, ACCESS_WRITE, 7)).toBe(0);
    off.x.writeLock(kvm + abi.KVM_MMU_LOCK);
    off.x.kvmMmuInvalidateEnd(kvm);
    off.x.writeUnlock(kvm + abi.KVM_MMU_LOCK);
    expect(off.x.vcpuAccess(vcpu, 1n, 0, 0)).toBe(EIO);
  });

  it('fires when a section ends without a range', () => {
    const on = bootKvm();
    const kvm = newVm(on);
    on.x.writeLock(kvm + abi.KVM_MMU_LOCK);
    on.x.kvmMmuInvalidateBegin(kvm);
    expect(violationsOf(() => on.x.kvmMmuInvalidateEnd(kvm))).toEqual([codes.OOPS_END_WITHOUT_RANGE]);
  });

  it('fires when a range is added outside a section', () => {
    const on = bootKvm();
    const kvm = newVm(on);
    on.x.writeLock(kvm + abi.KVM_MMU_LOCK);
    expect(violationsOf(() => on.x.kvmMmuInvalidateRangeAdd(kvm, 1n, 2n))).toEqual([codes.OOPS_RANGE_WITHOUT_BEGIN]);
  });

  it('fires when the second range of a section throws the first one away (B12)', () => {
    const on = bootKvm({ variants: [V_B12] });
    const kvm = newVm(on);
    on.x.writeLock(kvm + abi.KVM_MMU_LOCK);
    on.x.kvmMmuInvalidateBegin(kvm);
    on.x.kvmMmuInvalidateRangeAdd(kvm, 10n, 20n);
    expect(violationsOf(() => on.x.kvmMmuInvalidateRangeAdd(kvm, 30n, 40n))).toEqual([codes.OOPS_RANGE_SHRANK]);
  });

  it('fires at VM destruction when one end was lost (planted)', () => {
    const on = bootKvm({ variants: [V_PLANT_LOST_END] });
    const kvm = newVm(on);
    for (let n = 0; n < 2; n++) {
      locked(
        kvm,
        () => {
          on.x.kvmMmuInvalidateBegin(kvm);
          on.x.kvmMmuInvalidateRangeAdd(kvm, 1n, 2n);
          on.x.kvmMmuInvalidateEnd(kvm);
        },
        on,
      );
    }
    expect(state(kvm, on)).toMatchObject({ open: 1, seq: 1n });
    expect(violationsOf(() => on.x.destroyVm(kvm))).toEqual([codes.OOPS_INVALIDATE_LEFT_OPEN]);
  });
});
