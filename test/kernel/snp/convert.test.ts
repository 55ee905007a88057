// Attribute updates carried into the RMP (sev_update_mem_attr), what B07 and B08 change about them, and the handler of RMP faults.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { OOPS_DOUBLE_ASSIGN } from '#src/kernel/abi/oops.js';
import { PFERR_GUEST_SIZEM_BIT, PFERR_RMP_BIT, PG_LEVEL_4K, SNPC_SPURIOUS_FAULTS } from '#src/kernel/abi/snp.js';
import { V_B07, V_B08 } from '#src/kernel/abi/variants.js';
import {
  access,
  BASE,
  bootGuestKernel,
  leafs,
  mapped,
  newGuest,
  PRIVATE,
  put,
  setPrivate,
  WRITE,
} from '../kvm/guest.js';
import type { Guest } from '../kvm/guest.js';
import { setRegion, violationsOf } from '../kvm/support.js';
import { counter, entryOf } from './support.js';

const slotOf = (g: Guest): number => g.k.x.gfnToMemslot(g.kvm, 0, BigInt(BASE)) >>> 0;
const update = (g: Guest, first: number, end: number, attributes: number): number =>
  g.k.x.sevUpdateMemAttr(slotOf(g), attributes, BigInt(BASE + first), BigInt(BASE + end));
const TO_PRIVATE = abi.KVM_MEMORY_ATTRIBUTE_PRIVATE;
const asidOf = (g: Guest): number => g.k.u32(g.kvm + abi.KVM_ASID);
const pages = (g: Guest): number => g.k.x.sysFilePages(g.file);

/** Pages 2, 3 and 5 are in the file, and no page is assigned. */
function threePages(...variants: number[]): { g: Guest; pfns: number[] } {
  const g = newGuest(bootGuestKernel({ variants }), { pages: 16 });
  const pfns = [2, 3, 5].map((page) => {
    put(g, page, 7);
    return mapped(g, page);
  });
  expect(update(g, 0, 16, 0)).toBe(0);
  return { g, pfns };
}

describe('sev_update_mem_attr', () => {
  it('to shared gives back, to private assigns, exactly the present pages of [start, end)', () => {
    const { g, pfns } = threePages();
    const assigned = (): boolean[] => pfns.map((pfn) => entryOf(g.k, pfn).assigned);
    expect(assigned()).toEqual([false, false, false]);
    expect(update(g, 3, 5, TO_PRIVATE)).toBe(0);
    expect(assigned()).toEqual([false, true, false]);
    expect(update(g, 0, 16, TO_PRIVATE)).toBe(0);
    expect(assigned()).toEqual([true, true, true]);
    expect(update(g, 3, 5, 0)).toBe(0);
    expect(assigned()).toEqual([true, false, true]);
  });

  it('to shared stops at the first page that cannot be given back, with -EINVAL; what was done stays', () => {
    const { g, pfns } = threePages();
    expect(update(g, 0, 16, TO_PRIVATE)).toBe(0);
    expect(g.k.x.rmpMakePrivate(pfns[1]!, BigInt(BASE + 3) << 12n, PG_LEVEL_4K, asidOf(g), 1)).toBe(0);
    expect(update(g, 0, 16, 0)).toBe(-22);
    expect(pfns.map((pfn) => entryOf(g.k, pfn).assigned)).toEqual([false, true, true]);
    expect(g.k.x.snpLeakListLength()).toBe(0);
  });

  it('to private leaves a page alone that the firmware is to hand over, and one owner is one owner', () => {
    const { g, pfns } = threePages();
    const gpa = BigInt(BASE + 3) << 12n;
    expect(g.k.x.rmpMakePrivate(pfns[1]!, gpa, PG_LEVEL_4K, asidOf(g), 1)).toBe(0);
    expect(violationsOf(() => expect(update(g, 3, 4, TO_PRIVATE)).toBe(-22))).toEqual([]);
    expect(g.k.x.snpPageReclaim(pfns[1]!)).toBe(0);
    expect(update(g, 3, 4, TO_PRIVATE)).toBe(0);
    expect(g.k.x.rmpMakePrivate(pfns[1]!, gpa + 0x1000n, PG_LEVEL_4K, asidOf(g), 0)).toBe(0);
    expect(violationsOf(() => update(g, 3, 4, TO_PRIVATE))).toEqual([OOPS_DOUBLE_ASSIGN]);
  });

  it('is -EPERM for a slot without private memory', () => {
    const g = newGuest(bootGuestKernel(), { pages: 16 });
    expect(setRegion(g.k, g.kvm, { id: 1, gpa: 0n, size: 0x10000n })).toBe(0);
    const slot = g.k.x.gfnToMemslot(g.kvm, 0, 0n) >>> 0;
    expect(g.k.x.sevUpdateMemAttr(slot, TO_PRIVATE, 0n, 16n)).toBe(-1);
  });

  it.each([
    ['leaves the holes of the file to the fault', [], 3],
    ['as posted (B07), fills them', [V_B07], 16],
  ] as const)('%s', (_, variants, expected) => {
    const { g } = threePages(...variants);
    expect(update(g, 0, 16, TO_PRIVATE)).toBe(0);
    expect(pages(g)).toBe(expected);
  });

  it.each([
    ['assigns nothing inside a range that is being invalidated', [], false],
    ['as posted (B08), assigns there too', [V_B08], true],
  ] as const)('%s', (_, variants, expected) => {
    const { g, pfns } = threePages(...variants);
    g.k.setU64(g.kvm + abi.KVM_INVALIDATE_START, BigInt(BASE));
    g.k.setU64(g.kvm + abi.KVM_INVALIDATE_END, BigInt(BASE + 16));
    g.k.setU32(g.kvm + abi.KVM_INVALIDATE_IN_PROGRESS, 1);
    expect(update(g, 2, 3, TO_PRIVATE)).toBe(0);
    expect(entryOf(g.k, pfns[0]!).assigned).toBe(expected);
    g.k.setU32(g.kvm + abi.KVM_INVALIDATE_IN_PROGRESS, 0);
  });
});

describe('handle_rmp_page_fault', () => {
  const RMP = 1n << BigInt(PFERR_RMP_BIT);
  const SIZE = 1n << BigInt(PFERR_GUEST_SIZEM_BIT);
  const handle = (g: Guest, page: number, code: bigint): number =>
    g.k.x.handleRmpPageFault(g.vcpu, BigInt(BASE + page) << 12n, code);

  it('smashes the 2M entry, drops its mapping, and takes a second fault of the same kind for spurious', () => {
    const g = newGuest(bootGuestKernel(), { pages: 512, huge: true });
    expect(access(g, 9, WRITE | PRIVATE, 7).ret).toBe(0);
    const head = leafs(g.k, g.kvm)[0]!.pfn;
    expect(entryOf(g.k, head).is2m).toBe(true);
    expect(handle(g, 9, RMP | SIZE)).toBe(0);
    expect(entryOf(g.k, head).is2m).toBe(false);
    expect(entryOf(g.k, head).assigned).toBe(true);
    expect(leafs(g.k, g.kvm)).toEqual([]);
    expect(counter(g.k, SNPC_SPURIOUS_FAULTS)).toBe(0);
    expect(handle(g, 9, RMP | SIZE)).toBe(0);
    expect(counter(g.k, SNPC_SPURIOUS_FAULTS)).toBe(1);
  });

  it('is -EINVAL without the RMP or the size bit, for a shared gfn, and without a slot', () => {
    const g = newGuest(bootGuestKernel(), { pages: 16 });
    put(g, 1, 7);
    expect([handle(g, 1, RMP), handle(g, 1, SIZE), handle(g, 99, RMP | SIZE)]).toEqual([-22, -22, -22]);
    setPrivate(g, 1, 1, false);
    expect(handle(g, 1, RMP | SIZE)).toBe(-22);
  });
});
