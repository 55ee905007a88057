// KVM_SET_USER_MEMORY_REGION2: what it refuses, with which error, in which order.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { PROTOCOL_GUEST_MEMFD } from '#src/kernel/abi/layout.js';
import { TDP_MAX_GFN } from '#src/kernel/abi/vcpu.js';
import {
  bootKvm,
  EEXIST,
  EINVAL,
  EIO,
  gracePeriods,
  HVA,
  MIB,
  newFile,
  newVm,
  PAGE,
  type Region,
  setRegion,
  slotIdAt,
} from './support.js';

const k = bootKvm();
const { KVM_MEM_LOG_DIRTY_PAGES: DIRTY, KVM_MEM_PRIVATE: PRIVATE, KVM_MEM_READONLY: READONLY } = abi;
/** End of the guest address space. */
const TOP = BigInt(TDP_MAX_GFN) * PAGE;
const base: Region = { id: 10, gpa: 0xc000_0000n, size: 2n * MIB };

describe('flags', () => {
  it.each(Array.from({ length: 32 }, (_, bit) => bit))('bit %i alone is refused unless it is a known flag', (bit) => {
    const kvm = newVm(k);
    const flags = (1 << bit) >>> 0;
    const known = flags === DIRTY || flags === READONLY || flags === PRIVATE;
    expect(setRegion(k, kvm, { ...base, flags, file: newFile(k, 2n * MIB) })).toBe(known ? 0 : EINVAL);
  });

  it.each([
    ['LOG_DIRTY', DIRTY, 0],
    ['READONLY', READONLY, 0],
    ['LOG_DIRTY + READONLY', DIRTY | READONLY, 0],
    ['PRIVATE', PRIVATE, 0],
    ['PRIVATE + READONLY (firmware of the RFC era)', PRIVATE | READONLY, 0],
    ['PRIVATE + LOG_DIRTY', PRIVATE | DIRTY, EINVAL],
    ['all three', PRIVATE | DIRTY | READONLY, EINVAL],
    ['the kernel-internal INVALID flag', abi.KVM_MEMSLOT_INVALID, EINVAL],
  ])('%s', (_, flags, expected) => {
    expect(setRegion(k, newVm(k), { ...base, flags, file: newFile(k, 2n * MIB) })).toBe(expected);
  });
});

describe('flags of a guest_memfd', () => {
  const gmem = bootKvm({ protocol: PROTOCOL_GUEST_MEMFD });

  it.each([
    ['PRIVATE', PRIVATE, 0],
    ['READONLY', READONLY, 0],
    ['LOG_DIRTY + READONLY', DIRTY | READONLY, 0],
    ['PRIVATE + LOG_DIRTY', PRIVATE | DIRTY, EINVAL],
    ['PRIVATE + READONLY', PRIVATE | READONLY, EINVAL],
    ['all three', PRIVATE | DIRTY | READONLY, EINVAL],
  ])('%s', (_, flags, expected) => {
    const file = newFile(gmem, 2n * MIB);
    expect(setRegion(gmem, newVm(gmem), { ...base, flags, file })).toBe(expected);
  });
});

describe('a new region', () => {
  it.each<[string, Region, number]>([
    ['size not a multiple of the page size', { size: 4097n }, EINVAL],
    ['guest address unaligned', { gpa: 0xc000_0001n }, EINVAL],
    ['host address unaligned', { hva: HVA + 1n }, EINVAL],
    ['host address of the kernel half', { hva: 1n << 63n }, EINVAL],
    ['host address with a tag', { hva: HVA | (1n << 57n) }, EINVAL],
    ['host range past the end of user space', { hva: (1n << 47n) - 2n * MIB + PAGE }, EINVAL],
    ['host range up to the end of user space', { hva: (1n << 47n) - 2n * MIB }, 0],
    ['address space 2 of 2', { asId: 2 }, EINVAL],
    ['address space 1', { asId: 1 }, 0],
    ['the last user slot', { id: 32763 }, 0],
    ['the first of KVM’s own slots', { id: 32764 }, EINVAL],
    ['slot id 65535', { id: 65535 }, EINVAL],
    ['guest address plus size overflows', { gpa: (1n << 64n) - MIB }, EINVAL],
    ['the end of what nested page tables map', { gpa: TOP - 2n * MIB }, 0],
    ['one page past what nested page tables map', { gpa: TOP - 2n * MIB + PAGE }, EINVAL],
    ['the most pages a slot may have', { size: 0x7fff_ffffn * PAGE, hva: 0n }, 0],
    ['one page more', { size: 0x8000_0000n * PAGE, hva: 0n }, EINVAL],
    ['size 0 without a slot', { size: 0n }, EINVAL],
  ])('%s', (_, change, expected) => {
    const kvm = newVm(k);
    expect(setRegion(k, kvm, { ...base, ...change })).toBe(expected);
    k.x.destroyVm(kvm);
  });

  it('refuses every unaligned file offset, then takes offset 0', () => {
    const kvm = newVm(k);
    const file = newFile(k, 2n * MIB);
    for (let offset = 1n; offset < PAGE; offset++) {
      expect(setRegion(k, kvm, { ...base, flags: PRIVATE, file, offset })).toBe(EINVAL);
    }
    expect(setRegion(k, kvm, { ...base, flags: PRIVATE, file })).toBe(0);
  });

  it.each<[string, Region]>([
    ['a file offset whose end overflows', { offset: (1n << 64n) - PAGE }],
    ['a negative file offset', { offset: 1n << 63n }],
  ])('refuses %s', (_, change) => {
    expect(setRegion(k, newVm(k), { ...base, flags: PRIVATE, file: newFile(k, 2n * MIB), ...change })).toBe(EINVAL);
  });

  it('refuses descriptors that are no restricted file', () => {
    const kvm = newVm(k);
    const heap = k.alloc(64);
    for (const file of [0, 0xffff_ffff, kvm, heap, 3]) {
      expect(setRegion(k, kvm, { ...base, flags: PRIVATE, file })).toBe(EINVAL);
    }
    expect(slotIdAt(k, kvm, base.gpa! / PAGE)).toBe(-1);
  });

  it('checks the region before it looks at slots: an unaligned size beats an overlap', () => {
    const kvm = newVm(k);
    expect(setRegion(k, kvm, base)).toBe(0);
    expect(setRegion(k, kvm, { ...base, id: 11, size: 4097n })).toBe(EINVAL);
    expect(setRegion(k, kvm, { ...base, id: 11 })).toBe(EEXIST);
    expect(setRegion(k, kvm, { ...base, id: 11, flags: PRIVATE, file: 0 })).toBe(EEXIST);
  });

  it('fails with EIO when the page account says less than the slot has', () => {
    const kvm = newVm(k);
    expect(setRegion(k, kvm, base)).toBe(0);
    k.setU64(kvm + abi.KVM_NR_MEMSLOT_PAGES, 511n);
    expect(setRegion(k, kvm, { id: 10 })).toBe(EIO);
    k.setU64(kvm + abi.KVM_NR_MEMSLOT_PAGES, 512n);
    expect(setRegion(k, kvm, { id: 10 })).toBe(0);
  });
});

describe('overlap', () => {
  it.each([
    [-2n, 1n, 0],
    [-1n, 1n, 0],
    [-1n, 2n, EEXIST],
    [0n, 4n, EEXIST],
    [1n, 1n, EEXIST],
    [3n, 4n, EEXIST],
    [4n, 1n, 0],
    [-8n, 32n, EEXIST],
  ])('slot of 4 pages at 0, another at page %i of %i pages: %i', (first, pages, expected) => {
    const kvm = newVm(k);
    expect(setRegion(k, kvm, { id: 1, gpa: MIB, size: 4n * PAGE })).toBe(0);
    expect(setRegion(k, kvm, { id: 2, gpa: MIB + first * PAGE, size: pages * PAGE })).toBe(expected);
    expect(setRegion(k, kvm, { id: 2, asId: 1, gpa: MIB + first * PAGE, size: pages * PAGE })).toBe(0);
  });
});

describe('an existing slot', () => {
  it.each<[string, Region, number, number]>([
    ['same again: nothing to do', {}, 0, 0],
    ['other size', { size: MIB }, EINVAL, 0],
    ['other host address', { hva: HVA }, EINVAL, 0],
    ['becomes read-only', { flags: READONLY }, EINVAL, 0],
    ['becomes private', { flags: PRIVATE }, EINVAL, 0],
    ['starts to log dirty pages: FLAGS_ONLY, one grace period', { flags: DIRTY }, 0, 1],
    ['moves: two grace periods', { gpa: 0xd000_0000n }, 0, 2],
    ['moves to where a page overlaps itself', { gpa: 0xc000_1000n }, 0, 2],
    ['is deleted: two grace periods', { size: 0n }, 0, 2],
    ['moves out of reach of the page tables: put back, two grace periods', { gpa: TOP }, EINVAL, 2],
  ])('%s', (_, change, expected, periods) => {
    const kvm = newVm(k);
    const whole = { ...base, hva: HVA + 64n * MIB };
    expect(gracePeriods(k, kvm, () => expect(setRegion(k, kvm, whole)).toBe(0))).toBe(1);
    expect(gracePeriods(k, kvm, () => expect(setRegion(k, kvm, { ...whole, ...change })).toBe(expected))).toBe(periods);
    const gpa = expected === 0 && change.size !== 0n ? (change.gpa ?? base.gpa!) : base.gpa!;
    expect(slotIdAt(k, kvm, gpa / PAGE)).toBe(change.size === 0n ? -1 : 10);
    k.x.destroyVm(kvm);
  });

  it('that is private can only be deleted', () => {
    const kvm = newVm(k);
    const file = newFile(k, 2n * MIB);
    const slot: Region = { ...base, flags: PRIVATE, file };
    expect(setRegion(k, kvm, slot)).toBe(0);
    for (const change of [{}, { flags: 0 }, { gpa: 0xd000_0000n }, { flags: PRIVATE | READONLY }, { offset: PAGE }]) {
      expect(setRegion(k, kvm, { ...slot, ...change })).toBe(EINVAL);
    }
    expect(setRegion(k, kvm, { id: 10, file })).toBe(0);
    expect(slotIdAt(k, kvm, base.gpa! / PAGE)).toBe(-1);
  });

  it('cannot move onto another one', () => {
    const kvm = newVm(k);
    expect(setRegion(k, kvm, base)).toBe(0);
    expect(setRegion(k, kvm, { id: 11, gpa: 0xd000_0000n, size: 2n * MIB, hva: HVA })).toBe(0);
    expect(setRegion(k, kvm, { id: 11, gpa: 0xc01f_f000n, size: 2n * MIB, hva: HVA })).toBe(EEXIST);
    expect(slotIdAt(k, kvm, 0xd0000n)).toBe(11);
  });
});

describe('the number of slots', () => {
  it('is 32764; each is found by its gfn, one more is refused', () => {
    const kvm = newVm(k);
    for (let id = 0; id < abi.KVM_USER_MEM_SLOTS; id++) {
      const gpa = BigInt(id) * 2n * MIB;
      if (setRegion(k, kvm, { id, gpa, size: 2n * MIB, hva: HVA + gpa }) !== 0) throw new Error(`slot ${id}`);
    }
    const gpa = BigInt(abi.KVM_USER_MEM_SLOTS) * 2n * MIB;
    expect(setRegion(k, kvm, { id: abi.KVM_USER_MEM_SLOTS, gpa, size: 2n * MIB })).toBe(EINVAL);
    for (let id = 0; id < abi.KVM_USER_MEM_SLOTS; id += 7) {
      const first = BigInt(id) * 512n;
      if (slotIdAt(k, kvm, first) !== id || slotIdAt(k, kvm, first + 511n) !== id)
        throw new Error(`slot ${id} not found`);
    }
    expect(slotIdAt(k, kvm, gpa / PAGE)).toBe(-1);
    k.x.destroyVm(kvm);
  });
});
