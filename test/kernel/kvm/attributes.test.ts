// Memory attributes: the ioctl's checks, the stored values against a plain array, the invalidation around a change, mixed large pages.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { bootKvm, counter, EINVAL, HVA, liveObjects, newVm, PAGE, setRegion } from './support.js';

const k = bootKvm();
const PRIVATE = abi.KVM_MEMORY_ATTRIBUTE_PRIVATE;
const isPrivate = (kvm: number, gfn: number | bigint): boolean => k.x.kvmMemIsPrivate(kvm, BigInt(gfn)) !== 0;
const set = (kvm: number, start: number | bigint, end: number | bigint, attributes = PRIVATE): number =>
  k.x.kvmSetMemoryAttributes(kvm, BigInt(start), BigInt(end), attributes);

describe('KVM_SET_MEMORY_ATTRIBUTES', () => {
  it.each<[string, bigint, bigint, bigint, bigint, number]>([
    ['one page', 0x1000n, 0x1000n, 8n, 0n, 0],
    ['no attribute', 0x1000n, 0x1000n, 0n, 0n, 0],
    ['flags', 0x1000n, 0x1000n, 8n, 1n, EINVAL],
    ['an unknown attribute', 0x1000n, 0x1000n, 4n, 0n, EINVAL],
    ['an unknown attribute beside a known one', 0x1000n, 0x1000n, 9n, 0n, EINVAL],
    ['an attribute above 32 bits', 0x1000n, 0x1000n, 8n | (1n << 40n), 0n, EINVAL],
    ['size 0', 0x1000n, 0n, 8n, 0n, EINVAL],
    ['overflow', (1n << 64n) - 0x1000n, 0x2000n, 8n, 0n, EINVAL],
    ['unaligned address', 0x1001n, 0x1000n, 8n, 0n, EINVAL],
    ['unaligned size', 0x1000n, 0x1001n, 8n, 0n, EINVAL],
  ])('%s', (_, address, size, attributes, flags, expected) => {
    expect(k.x.kvmIoctlSetMemoryAttributes(newVm(k), address, size, attributes, flags)).toBe(expected);
  });

  it('covers exactly the gfns of its byte range', () => {
    const kvm = newVm(k);
    expect(k.x.kvmIoctlSetMemoryAttributes(kvm, 0x3000n, 0x2000n, 8n, 0n)).toBe(0);
    expect([2, 3, 4, 5].map((gfn) => isPrivate(kvm, gfn))).toEqual([false, true, true, false]);
  });

  it('does nothing when every gfn has the value already', () => {
    const kvm = newVm(k);
    setRegion(k, kvm, { gpa: 0n, size: 16n * PAGE });
    expect(set(kvm, 0, 8)).toBe(0);
    const [begins, updates] = [counter(k, kvm, abi.KC_BEGINS), counter(k, kvm, abi.KC_ATTR_UPDATES)];
    expect(set(kvm, 2, 6)).toBe(0);
    expect(set(kvm, 8, 16, 0)).toBe(0);
    expect([counter(k, kvm, abi.KC_BEGINS), counter(k, kvm, abi.KC_ATTR_UPDATES)]).toEqual([begins, updates]);
  });

  it('is one invalidation, however many slots it covers; without a slot it is none', () => {
    const kvm = newVm(k);
    expect(set(kvm, 0, 64)).toBe(0);
    expect(counter(k, kvm, abi.KC_BEGINS)).toBe(0);
    setRegion(k, kvm, { id: 0, gpa: 0n, size: 16n * PAGE });
    setRegion(k, kvm, { id: 1, gpa: 32n * PAGE, size: 16n * PAGE });
    setRegion(k, kvm, { id: 2, asId: 1, gpa: 8n * PAGE, size: 64n * PAGE });
    expect(set(kvm, 4, 40, 0)).toBe(0);
    expect([abi.KC_BEGINS, abi.KC_ENDS].map((n) => counter(k, kvm, n))).toEqual([1, 1]);
    // The union of the three pieces [4,16) [32,40) [8,40).
    expect(k.u64(kvm + abi.KVM_INVALIDATE_START)).toBe(4n);
    expect(k.u64(kvm + abi.KVM_INVALIDATE_END)).toBe(40n);
    expect(k.u64(kvm + abi.KVM_INVALIDATE_SEQ)).toBe(1n);
  });

  it('converts half a terabyte at once, and a hole in it', () => {
    const kvm = newVm(k);
    const pages = 1n << 27n;
    expect(set(kvm, 0, pages)).toBe(0);
    expect(set(kvm, pages / 2n, pages / 2n + 1n, 0)).toBe(0);
    expect(
      [0n, pages / 2n - 1n, pages / 2n, pages / 2n + 1n, pages - 1n, pages].map((gfn) => isPrivate(kvm, gfn)),
    ).toEqual([true, true, false, true, true, false]);
    k.x.destroyVm(kvm);
  });
});

describe('against a plain array', () => {
  // Ranges around the borders of 2M chunks (512 gfns).
  const LIMIT = 2200;
  const edge = fc.oneof(
    fc.integer({ min: 0, max: LIMIT }),
    fc.constantFrom(0, 1, 511, 512, 513, 1023, 1024, 1536, 2048),
  );
  const change = fc.record({ a: edge, b: edge, on: fc.boolean() });

  it('every gfn has the value stored last; uniform ranges and mixed large pages agree', () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 16 }),
        fc.array(fc.tuple(edge, edge), { maxLength: 6 }),
        (changes, probes) => {
          const kvm = newVm(k);
          const model = new Uint8Array(LIMIT + 1);
          // A slot from the middle of one 2M page to the middle of another; half of the changes come before it exists.
          const makeSlot = (): number =>
            setRegion(k, kvm, { gpa: 256n * PAGE, size: 1700n * PAGE, hva: HVA + 256n * PAGE });
          for (const [n, { a, b, on }] of changes.entries()) {
            if (n === changes.length >> 1) expect(makeSlot()).toBe(0);
            const [start, end] = [Math.min(a, b), Math.max(a, b)];
            expect(set(kvm, start, end, on ? PRIVATE : 0)).toBe(start === end ? EINVAL : 0);
            model.fill(on ? 1 : 0, start, end);
          }
          if (changes.length === 0) makeSlot();
          for (let gfn = 0; gfn <= LIMIT; gfn++)
            if (isPrivate(kvm, gfn) !== (model[gfn] === 1)) throw new Error(`gfn ${gfn}`);
          for (const [a, b] of probes) {
            const [start, end] = [Math.min(a, b), Math.max(a, b) + 1];
            const values = new Set(model.subarray(start, end));
            expect(k.x.kvmRangeMixed(kvm, BigInt(start), BigInt(end)) !== 0).toBe(values.size > 1);
            expect(k.x.kvmRangeHasAttributes(kvm, BigInt(start), BigInt(end), PRIVATE) !== 0).toBe(
              values.size === 1 && values.has(1),
            );
          }
          const slot = k.x.gfnToMemslot(kvm, 0, 256n);
          for (const head of [512, 1024]) {
            const mixed = new Set(model.subarray(head, head + 512)).size > 1;
            expect(k.x.kvmLpageInfo(slot, BigInt(head), 2)).toBe(mixed ? abi.LPAGE_MIXED : 0);
          }
          k.x.destroyVm(kvm);
        },
      ),
      { seed: 25, numRuns: 120 },
    );
  });

  it('1G pages are mixed as soon as one 2M page differs', () => {
    const kvm = newVm(k);
    const gib = 1n << 18n;
    setRegion(k, kvm, { gpa: 0n, size: 3n * gib * PAGE, hva: HVA - (HVA % (1n << 30n)) });
    const slot = k.x.gfnToMemslot(kvm, 0, 0n);
    const mixed = (): number[] => [0n, gib, 2n * gib].map((gfn) => k.x.kvmLpageInfo(slot, gfn, 3));
    set(kvm, 0, 3n * gib);
    expect(mixed()).toEqual([0, 0, 0]);
    set(kvm, gib + 512n, gib + 1024n, 0);
    expect(mixed()).toEqual([0, abi.LPAGE_MIXED, 0]);
    expect(k.x.kvmLpageInfo(slot, gib + 512n, 2)).toBe(0); // that 2M page is uniform: all shared
    set(kvm, gib + 512n, gib + 1024n);
    expect(mixed()).toEqual([0, 0, 0]);
  });

  it('a destroyed VM leaves no attribute memory behind', () => {
    newVm(k);
    const before = liveObjects(k);
    const kvm = newVm(k);
    for (let gfn = 0; gfn < 5000; gfn += 37) set(kvm, gfn, gfn + 11);
    expect(liveObjects(k)).toBeGreaterThan(before);
    k.x.destroyVm(kvm);
    expect(liveObjects(k)).toBe(before);
  });
});
